"""What a remote host's own words mean, whatever code stands before them: one table, a row per way of saying it.

    words of a reply ─▶ addresses and links taken out ─▶ the first row that fits
                     ─▶ dead | full | rate | later | shut | mailbox (one that is named, and nothing said of it) | ours

Order is mercy: words about us, about a full mailbox or about "later" win over "no such user" beside them, since calling
a living mailbox dead is the worst mistake of all. What follows from them, at hand-over and in a report alike, is in
`delivery.smtp.replies`, which asks the words first: servers put one code before many meanings (550 5.1.1 before "over
quota").
"""

import re
from dataclasses import dataclass
from typing import Literal

Meaning = Literal["dead", "full", "rate", "later", "shut", "mailbox", "ours"]

_LONGEST = 2000  # characters of a reply worth reading
# Names say nothing: spam@…, policy.example, and links to pages about block lists that are in every reply of some hosts.
# What stands before the remote host's words: the kind of diagnostic, and IronPort's own reading of them ("5.1.0 -
# Unknown address error 550-'…'").
_BEFORE = re.compile(r"^\s*[\w-]{1,40};|\b5\.\d\.\d - [\w ]{1,40}(?=\b\d{3}[ -])", re.ASCII)
_NAMES = re.compile(r"https?://\S+|<?[^\s<>@]{0,80}@[^\s<>@]{1,255}>?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """One row: words (a regular expression, without case), what they mean, and who says so where."""

    words: re.Pattern[str]
    meaning: Meaning
    source: str


def _row(meaning: Meaning, source: str, *words: str) -> Words:
    return Words(words=re.compile("|".join(words), re.IGNORECASE), meaning=meaning, source=source)


_MAILBOX = r"(?:user|recipient|mail ?box|account|address(?:ee)?|e-?mail address|local[ -]part|person|destinataire)"
_NOT = r"(?:n['’]?t| not)"
_GONE = rf"(?:unknown|not found|no(?:t| longer) exists?|does{_NOT}(?: currently)? exists?|non-?existent)"

# The first row that fits decides.
TABLE: tuple[Words, ...] = (
    _row("later", "words that only guess (cPanel's Exim, Google Groups: “may not exist, …”) decide nothing",
         r"\bmay not exist\b"),
    _row("rate", "Gmail, 550 5.2.1: the mailbox gets too much at once, https://support.google.com/a/answer/3726730",
         r"receiving mail (?:at a rate|too quickly)"),
    _row("rate", "Yahoo 450, Exchange Online 5.2.122 and others count messages or recipients by the hour",
         r"\btoo many (?:recipients|messages|mails|emails|connections|sessions|concurrent)\b(?! in)",
         r"\brate[ -]?limit", r"\bthrottl", r"\b(?:hourly|daily) (?:limit|quota)\b", r"\bthis hour\b"),
    _row("full", "RFC 3463 §3.3 (5.2.2) as Postfix, Exim, Sendmail, Dovecot, Exchange (QuotaExceededException) say it",
         r"\bover ?quota\b", r"\bquota\b.{0,40}\bexceed", r"\bexceed\w*.{0,40}\b(?:quota|storage|allotted space)\b",
         r"QuotaExceeded", r"\bmail ?box(?: \S{1,80})?(?: is| for \S+ is)? full\b",
         r"\b(?:mail ?box|inbox|account|user|maildir|folder|mail drop)\b.{0,30}\bis full\b",
         r"\bmail ?box size limit\b",
         r"\b(?:out of|not enough|insufficient|no)(?: \w+)? (?:storage|disk|space|room)\b", r"\bMailbox Full\b"),
    _row("ours", "the sender's address or machine is refused: Postfix access(5), Sendmail check_mail, RFC 3463 §3.2",
         r"\bsender\b.{0,40}\b(?:reject|denied|refused|not (?:allowed|exist|found|valid|verified))", r"\bsender verif",
         r"\bdomain of sender\b", r"\b(?:unverified|invalid|bad|unknown) sender\b", r"\breturn[ -]path\b",
         r"\bhelo\b", r"\behlo\b", r"\bclient host\b", r"\bclient \[", r"\breverse (?:dns|lookup|name)\b", r"\bPTR\b",
         r"\brdns\b", r"\bnot (?:be )?(?:a )?mail exchanger\b", r"\bmail from\b"),
    _row("ours", "reputation and lists of addresses: Spamhaus, Proofpoint, Cloudmark, Outlook's S3150 and 5.7.606",
         r"\bblack ?list", r"\bblock(?:ed)?[ -]?list", r"\bdeny ?list", r"\b(?:dns|r|s)bl\b", r"\bspamhaus\b",
         r"\bspamcop\b", r"\breputation\b", r"\bbanned\b", r"\byour (?:ip|server|host|network|domain)\b",
         r"\b(?:IP|network)\b.{0,40}\b(?:block|list|reject|denied|refused|bloqu)", r"\bclient host\b",
         r"\bon (?:our|a|the) list\b", r"\bblocked (?:using|by|due|for|because|-|at)\b"),
    _row("ours", "content and authentication: RFC 7372, RFC 3463 §3.8, https://sendersupport.olc.protection.outlook.com",
         r"\bspam", r"\bjunk\b", r"\bvirus", r"\bmalware\b", r"\bphish", r"\bunsolicited\b", r"\bspf\b", r"\bdkim\b",
         r"\bdmarc\b", r"\bauthenticat", r"\bunauthenticated\b", r"\bpolicy\b", r"\bcontent\b.{0,30}\b(?:reject|refus)",
         r"\brelay(?:ing)?(?: access)?(?: is)? (?:den|not (?:permit|allow)|prohibit|refus)",
         r"\b(?:unable|not allowed) to relay\b", r"\bnot authori[sz]ed\b", r"(?<!not )\blisted (?:at|in|on|by)\b",
         r"\bmessage (?:was )?(?:rejected|refused|filtered)\b", r"\bmessage (?:size|too|is too)\b"),
    _row("later", "Exim, Postfix and others that keep trying, or whose own system failed (RFC 3463 §3.4, §3.5)",
         r"\btemporar(?:y|ily)\b", r"\btry (?:again )?later\b", r"\bat this time\b", r", try again\b",
         r"\bin the queue too long\b",
         r"\bgr[ae]y-?list", r"\btimed? ?-?out\b",
         r"\bconnection (?:refused|reset|lost)\b", r"\bcould(?:n['’]?t| not) (?:create|open|write|lock)\b",
         r"\bcan(?:n?ot|['’]?t) (?:create|open|write|lock)\b", r"\bpermission denied\b", r"\bread-only\b",
         r"\b(?:system|internal|local|configuration) error\b", r"\bfrozen\b"),
    _row("shut", "a reader's filter, or an account that may open again: Facebook RCP-P2, Orange LPN007_426, 5.7.13",
         r"\brecipient preferences\b", r"\bis inactive\b", r"\bcompte du destinataire est bloqu",
         r"\brecipient account is blocked\b", r"\bdisabled recipient\b",
         r"\baccount (?:is|has been) (?:suspended|locked)\b"),
    _row("shut", "au (KDDI) says so, without a name, after DATA when a reader's filter refuses",
         r"(?:\d\s+|:\s*):\s*user unknown"),
    _row("dead", "Postfix smtpd(8), Sendmail EX_NOUSER, Courier, Exim: no such local user",
         rf"\b{_MAILBOX}\b[^.;:]{{0,30}}?\b{_GONE}\b",
         rf"\b(?:unknown|no such|invalid|non-?existent) (?:local |e-?mail |virtual |or \w+ )?{_MAILBOX}\b",
         r"\bno one (?:at|by|with)\b",
         rf"\bnot (?:a |an )?(?:valid|known|local|our) (?:local )?(?:{_MAILBOX}|customer)\b",
         rf"\b{_MAILBOX}\b.{{0,40}}\b(?:not|isn['’]?t) (?:a )?(?:known|valid|recognized|registered|listed|local)\b"),
    _row("dead", "the registry's names of 5.1.1, 5.1.3: https://www.iana.org/assignments/smtp-enhanced-status-codes",
         r"\bbad destination mailbox address\b"),
    _row("dead", "Cisco's and IronPort's recipient table: 550 #5.1.0", r"#5\.1\.0 address rejected\b"),
    _row("dead", "qmail-send and vpopmail: https://cr.yp.to/qmail.html", r"\bno mailbox here by that name\b"),
    _row("dead", "Yahoo: https://help.yahoo.com/kb/mail-for-desktop/SLN3444.html and "
         "https://senders.yahooinc.com/smtp-error-codes/", rf"\buser does{_NOT} have an? .{{0,60}}\baccount\b"),
    _row("dead", "Exchange Online, a recipient that isn't in the directory: "
         "https://learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online",
         r"\b5\.4\.1\b.{0,20}\brecipient address rejected: access denied\b", r"\bRecip(?:ient)?NotFound\b",
         r"\bremote server returned unknown recipient\b"),
    _row("dead", "Outlook.com and Exchange for a mailbox that isn't there (5.5.0): "
         "https://sendersupport.olc.protection.outlook.com/pm/troubleshooting.aspx",
         r"\b5\.5\.0 requested action not taken: mailbox (?:unavailable|not found)\W*(?:[\[(]|$)",
         r"\brequested action not taken: mailbox (?:unavailable|not found) [\[(]"),  # else it is RFC 5321's own
    _row("dead", "Domino, Exchange 5.5 and 2003, IMail: the directory has no such person",
         r"\bnot listed in\b.{0,30}\bdirectory\b", r"\be-?mail account does not exist\b",
         r"\binvalid final delivery userid\b", r"ディレクトリ(?:に|の).{0,20}(?:見つかりません|ありません)"),
    _row("dead", "Orange: LPN007_416 and OFR_416, https://postmaster.orange.fr",
         r"\badresse destinataire invalide\b", r"\bdestinataire (?:inconnu|invalide)\b"),
    _row("dead", "Apple: 550 5.1.6, https://support.apple.com/102322; RFC 5321 §4.2.3 (551)",
         r"\bno longer (?:on|at) (?:this |the )?server\b",
         r"\bno longer (?:valid|available|in use|works here|employed)\b"),
    _row("dead", "no mailbox by that name: the domain itself is gone, as Postfix, Sendmail, qmail and Exim say it",
         r"\bhost (?:or domain name )?(?:not found|unknown)\b", r"\bhost \S+ (?:not found|unknown)\b",
         r"\b(?:unknown|no such|invalid|non-?existent) (?:host|domain)\b", r"\billegal host/domain\b", r"\bNXDOMAIN\b",
         rf"\bdomain (?:name )?(?:does{_NOT} exist|not found|is not reachable)\b",
         rf"\bdomain .{{0,80}}(?:could{_NOT} be found|not found)", rf"\bcould{_NOT} find any host named\b",
         r"\bpoint to non-existent hosts\b", r"\bunrouteable (?:mail )?(?:address|domain)\b"),
    _row("dead", "the domain takes no mail at all (RFC 7505)",
         rf"\bdoes{_NOT} (?:receive|accept) (?:e-?mail|mail)\b", r"\bnull MX\b", r"\bindicated no SMTP service\b"),
    _row("mailbox", "RFC 5321 §4.2.3 (550) and Postfix smtpd(8): it names the mailbox that was asked for, no reason",
         r"\bmail ?box\b", r"\brecipient (?:address )?(?:rejected|disabled|refused|unavailable|inactive)\b",
         r"\b(?:user|recipient)(?: \S{1,80})?(?: is)? (?:disabled|inactive|locked|suspended)\b"),
    _row("ours", "nothing says that it is a mailbox that is blocked", r"\bblocked\b"),
)


def meaning(text: str) -> Meaning | None:
    """What `text`, a reply's words with its codes or without, says about the mailbox; None: nothing the table knows."""
    words = " ".join(_NAMES.sub(" @ ", _BEFORE.sub(" ", text[:_LONGEST])).split())
    return next((row.meaning for row in TABLE if row.words.search(words)), None)


def says_why(text: str) -> bool:
    """Whether `text` says more about a mailbox than that there is one."""
    return meaning(text) not in (None, "mailbox")
