"""What a reply means for its delivery: one table, from (phase, code, enhanced code, words) to an outcome.

    2xx dot ─▶ sent      421, 4xx, lost before the dot ─▶ deferred     no reply to the dot ─▶ unknown
    5xx ─▶ failed        5.1.1 5.1.2 5.1.6 5.2.1 ─▶ and suppressed
    5.7.x 530 535 policy ─▶ refused: it is about us, the delivery waits on and the issue pauses

Whom a refusal is about is told by its place and words: one that names a mailbox is that reader's, whatever its code.

Sources: RFC 5321 §4.2 (codes, 421 and 5yz), §4.5.3.2.6 and RFC 1047 (the gap after the dot), RFC 2034 and 3463 with the
IANA registry of enhanced codes; each row of `NEGATIVE` names its own.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from milepost.records import Reply

Outcome = Literal["accepted", "sent", "deferred", "failed", "refused", "unknown"]

GIVE_UP = timedelta(hours=72)
FIRST_RETRY_S = 300.0
LONGEST_RETRY_S = 3 * 3600.0  # twenty refusals in a row still fit into the 72 h

_BEFORE_MAIL = frozenset({"connect", "ehlo", "tls", "auth"})
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?=\s|$)", re.ASCII)
_QUEUE_IDS = (
    # Postfix, OpenSMTPD, aiosmtpd, Exim ("OK id=…"), Exchange ("… [InternalId=…]")
    re.compile(r"\bqueued (?:mail )?(?:as|for delivery as|with id) <?([A-Za-z0-9._:-]{1,100})", re.IGNORECASE),
    re.compile(r"\b(?:id|InternalId)=<?([A-Za-z0-9._:-]{1,100})", re.IGNORECASE),
    re.compile(r"\b([A-Za-z0-9]{4,100}) Message accepted for delivery\b", re.IGNORECASE),  # Sendmail
    re.compile(r"\bok \d+ qp (\d{1,20})\b", re.IGNORECASE),  # qmail
    re.compile(r"\bok +\d{9,11} ([A-Za-z0-9.-]{10,100}) - gsmtp\b", re.IGNORECASE),  # Gmail
    re.compile(r"\bOk ([0-9a-f]{16}-[0-9a-f-]{20,80})", re.IGNORECASE),  # Amazon SES
)
# Servers without enhanced codes say 550 for a missing mailbox and for "we won't take your mail" alike.
_ABOUT_US = re.compile(
    r"\b(?:policy|spam\w*|junk ?mail|spf|dkim|dmarc|rbl|dnsbl|blacklist\w*|blocklist\w*|block(?:ed)? list"
    r"|blocked (?:by|using|due to)|listed|reputation|banned|not authori[sz]ed|unauthenticated|authenticat\w+"
    r"|relay\w*|your (?:ip|host|server|domain|message|sender|address)|client host|helo|ehlo|ptr|dns|reverse"
    r"|sender(?: \S+)? (?:rejected|refused|denied|invalid|unknown|verif\w+))\b",
    re.IGNORECASE,
)
_BLOCKED = re.compile(r"\bblocked\b", re.IGNORECASE)
# Words that name the mailbox or the reader that a command was about.
_MAILBOX = re.compile(
    r"\bmailbox\b|\brecipient (?:address )?(?:rejected|disabled|refused|unavailable|unknown|not found|inactive)\b"
    r"|\bdisabled recipient\b|\b(?:unknown|no such|invalid) (?:user|recipient|account)\b"
    r"|\b(?:user|recipient)(?: \S+)?(?: is)? (?:unknown|not found|disabled|inactive|locked|suspended|over quota)\b",
    re.IGNORECASE,
)
_GONE = re.compile(
    r"\bdisabled recipient\b|\brecipient (?:address )?(?:is )?disabled\b"
    r"|^5\.5\.0 requested action not taken: mailbox unavailable\W*(?:[\[(].*)?$",
    re.IGNORECASE,
)
_PASSES = re.compile(r"\btemporar(?:y|ily)\b|\btry (?:again )?later\b|\bat this time\b", re.IGNORECASE)
_ABOUT_ONE = frozenset({"rcpt", "data", "dot"})  # each transaction has one recipient
SHARE = 0.5  # of the readers asked for that may be refused by name; beyond it the fault is not theirs
FEW = 10  # refusals that prove nothing about a share


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What to do about one reply."""

    outcome: Outcome  # "accepted": go on with the transaction
    suppress: str | None = None  # the address is never to be mailed again, and why
    pause: bool = False  # it is our fault: the whole issue waits for an operator
    hang_up: bool = False  # this connection is of no more use; what it still holds is given back


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of the table of 5yz replies: what is None or empty fits anything."""

    phases: frozenset[str] = frozenset()
    codes: frozenset[int] = frozenset()
    enhanced: str | None = None  # a regular expression for the whole enhanced code; "" fits a reply without one
    words: tuple[re.Pattern[str], ...] = ()  # all of them are found in the text
    then: Literal["fail", "suppress", "defer", "pause"]
    why: str  # and where it is written

    def fits(self, code: int, enhanced: str, phase: str, text: str) -> bool:
        return (
            (not self.phases or phase in self.phases)
            and (not self.codes or code in self.codes)
            and (self.enhanced is None or re.fullmatch(self.enhanced, enhanced) is not None)
            and all(words.search(text) is not None for words in self.words)
        )


# The first row that fits decides; the last one fits all.
NEGATIVE: tuple[Row, ...] = (
    Row(phases=_BEFORE_MAIL | {"mail"}, then="pause",
        why="nobody has been named yet, so it can only be about us (RFC 5321 §3.3)"),
    Row(enhanced=r"5\.1\.1|5\.1\.2|5\.1\.6|5\.1\.10|5\.1\.351|5\.2\.1", then="suppress",
        why="no such mailbox or domain, moved away, null MX (RFC 7505), mailbox disabled (RFC 3463 §3.2, §3.3); "
        "351 is Exchange Online's for a forward to such a one"),
    Row(enhanced=r"5\.7\.1[78]", then="suppress",
        why="the mailbox, or the domain, belongs to somebody else since the reader signed up (RFC 7293)"),
    Row(codes=frozenset({556}), enhanced="", then="suppress",
        why="the domain takes no mail at all (RFC 7504)"),
    Row(enhanced=r"5\.2\.2", then="fail",
        why="the mailbox is full (RFC 3463 §3.3): counted, see delivery.bounces.soft_bounce_limit"),
    Row(codes=frozenset({552}), enhanced="", then="fail", why="the mailbox is full (RFC 5321 §4.2.3): counted"),
    Row(enhanced=r"5\.3\.4", then="pause", why="too big for the server (RFC 3463 §3.4), whoever it is for"),
    Row(codes=frozenset({530, 534, 535, 538}), then="pause", why="authentication (RFC 4954 §6)"),
    Row(enhanced=r"5\.7\..*|5\.5\.0", words=(_ABOUT_US,), then="pause", why="in words about us (RFC 3463 §3.8)"),
    Row(codes=frozenset({550, 554}), enhanced="", words=(_ABOUT_US,), then="pause",
        why="servers without enhanced codes say 550 for a missing mailbox and for “we won't take your mail” alike"),
    Row(phases=_ABOUT_ONE, enhanced=r"5\.7\..*|5\.5\.0|", words=(_GONE,), then="suppress",
        why="an account that was closed, or never was, in the words of Outlook.com and of hosts with 525 (RFC 5248)"),
    Row(phases=_ABOUT_ONE, enhanced=r"5\.7\..*|5\.5\.0|", words=(_MAILBOX, _PASSES), then="defer",
        why="a mailbox that is locked for a while; RFC 5321 §4.2.1 allows a later try"),
    Row(phases=_ABOUT_ONE, enhanced=r"5\.7\..*|5\.5\.0|", words=(_MAILBOX,), then="fail",
        why="one mailbox, named by the words: nobody else has to wait for it (RFC 5321 §4.2.3, 550)"),
    Row(phases=frozenset({"rcpt"}), enhanced=r"5\.7\.(?:[012]|1[23]\d)", then="defer",
        why="not authorized, list expansion, restricted recipients (RFC 3463 §3.8): about the two of us; see Judge"),
    Row(enhanced=r"5\.7\..*", then="pause", why="security and policy (RFC 3463 §3.8, RFC 7372): our fault"),
    Row(enhanced=r"5\.5\.(?!3$).*", then="pause",
        why="we don't speak as it wants (RFC 3463 §3.6); 5.5.3 is about the number of recipients"),
    Row(codes=frozenset({500, 502, 503, 504, 555}), enhanced="", then="pause",
        why="a command or parameter it does not know (RFC 5321 §4.2.2): the same for everybody"),
    Row(codes=frozenset({550, 554}), enhanced="", words=(_BLOCKED,), then="pause",
        why="nothing says that it is a mailbox that is blocked"),
    Row(then="fail", why="a permanent failure of this delivery alone (RFC 5321 §4.2.1)"),
)

# (phases, codes, enhanced codes, words) of a refusal → what to do about it; the first that fits.
_ADVICE: tuple[tuple[frozenset[str], frozenset[int], re.Pattern[str] | None, re.Pattern[str] | None, str], ...] = (
    (frozenset({"auth"}), frozenset(), None, None, "Check user and password, or the token, in the settings of [mail]."),
    (frozenset(), frozenset({530, 534, 535, 538}), None, None,
     "Check user and password, or the token, in the settings of [mail]."),
    (frozenset({"tls"}), frozenset(), None, None, "Use smtps:// or another port of the relay."),
    (frozenset(), frozenset(), re.compile(r"5\.7\.25"), None,
     "Give the sending machine's address a PTR record; `milepost doctor` looks it up."),
    (frozenset(), frozenset(), re.compile(r"5\.7\.(?:2\d|9|509)"), None,
     "Publish SPF, DKIM and DMARC for the sender; `milepost doctor` prints the records."),
    (frozenset(), frozenset(), None, re.compile(r"\b(?:spf|dkim|dmarc|unauthenticated)\b", re.IGNORECASE),
     "Publish SPF, DKIM and DMARC for the sender; `milepost doctor` prints the records."),
    (frozenset(), frozenset(), None, re.compile(r"\brelay(?:ing)?\b|authentication required", re.IGNORECASE),
     "The relay does not send for us: log in (mail.url), or let it relay for this machine."),
    (frozenset(), frozenset(), None,
     re.compile(r"\b(?:block(?:ed)?[ -]?list\w*|blacklist\w*|reputation|spam|banned)\b", re.IGNORECASE),
     "Look the sending address up on the list that the words name, and have it taken off before going on."),
    (frozenset(), frozenset(), re.compile(r"5\.3\.4"), None,
     "Make the issue smaller, or have the relay's size limit raised."),
    (frozenset({"mail"}), frozenset(), None, None,
     "Check that the relay may send for mail.from, and for bounce_domain or return_path."),
    (frozenset({"connect", "ehlo"}), frozenset(), None, None,
     "The relay refuses this machine: ask whoever runs it; `milepost doctor` shows what it says."),
)


_SENT, _ACCEPTED = Verdict(outcome="sent"), Verdict(outcome="accepted")


def enhanced_code(code: int, text: str) -> str | None:
    """The enhanced status code that opens `text`, when it is of the class of `code` (RFC 2034 §3); else None."""
    match = _ENHANCED.match(text.lstrip())
    return match.group(1) if match and match.group(1)[0] == str(code)[0] else None


def read(code: int, raw: bytes | str, phase: str) -> Reply:
    """The record of a reply: its lines as one, without controls, at most 500 characters."""
    words = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
    text = " ".join(words.split())
    if not text.isprintable():
        text = "".join(sign for sign in text if sign.isprintable())
    text = text[:500]
    return Reply(code=code, enhanced=enhanced_code(code, text), text=text, phase=phase)


def queue_id(text: str) -> str | None:
    """The relay's own name for a message it took ("queued as 4Xk2…"), when its reply tells it."""
    for pattern in _QUEUE_IDS:
        if (match := pattern.search(text)) is not None:
            return match.group(1).rstrip(".:")
    return None


def classify(reply: Reply) -> Verdict:
    """The verdict on `reply`; pure, total, never raises."""
    code, enhanced, phase = reply.code, reply.enhanced or "", reply.phase
    if code is None:
        return Verdict(outcome="unknown" if phase == "dot" else "deferred", hang_up=True)
    match code // 100:
        case 2:
            return _positive(phase)
        case 3 if phase == "data":
            return Verdict(outcome="accepted")
        case 4:
            return Verdict(outcome="deferred", hang_up=code == 421 or phase in _BEFORE_MAIL)
        case 5:
            return _negative(code, enhanced, phase, reply.text)
    # A reply that SMTP doesn't know there: after the dot nobody can say what became of the message.
    return Verdict(outcome="unknown" if phase == "dot" else "deferred", hang_up=True)


def _positive(phase: str) -> Verdict:
    match phase:
        case "dot":
            return _SENT
        case "data":  # 2yz where only 354 makes sense: the server and we have lost step
            return Verdict(outcome="deferred", hang_up=True)
    return _ACCEPTED


def _negative(code: int, enhanced: str, phase: str, text: str) -> Verdict:
    row = next(row for row in NEGATIVE if row.fits(code, enhanced, phase, text))
    hang_up = phase in _BEFORE_MAIL
    match row.then:
        case "pause":
            return Verdict(outcome="refused", pause=True, hang_up=hang_up)
        case "defer":
            return Verdict(outcome="deferred", hang_up=hang_up)
        case "suppress":
            return Verdict(outcome="failed", suppress=f"{code} {enhanced}".rstrip(), hang_up=hang_up)
    return Verdict(outcome="failed", hang_up=hang_up)


def not_begun(reply: Reply, used: int) -> bool:
    """Whether a connection ended before its `used`-th letter began, so that the letter may go over a new one at once.

    Relays end a session after so many messages, with 421 to the next MAIL or without a word (RFC 5321 §3.8). The first
    letter of a connection is no such case: that relay has no time for us at all.
    """
    return reply.phase == "mail" and reply.code in (None, 421) and used > 1


class Judge:
    """The verdicts of one dispatch: `classify`, and a pause where refusals by name are too many to be the readers'."""

    def __init__(self) -> None:
        self._asked = self._refused = 0

    def __call__(self, reply: Reply) -> Verdict:
        """The verdict on the last reply about one delivery; each delivery is told once."""
        verdict = classify(reply)
        if reply.phase not in _ABOUT_ONE or verdict.pause:
            return verdict
        self._asked += 1
        if reply.phase == "rcpt" and reply.code is not None and reply.code // 100 == 5:
            self._refused += 1
            if self.too_many:
                return Verdict(outcome="refused", pause=True)
        return verdict

    @property
    def too_many(self) -> bool:
        """Whether more were refused than readers can be at fault."""
        return self._refused >= FEW and self._refused > SHARE * self._asked

    def why(self, reply: Reply) -> str:
        """The sentence for an issue that `reply` paused."""
        said = f"{reply.code} {reply.text}".strip()
        if self.too_many and not classify(reply).pause:
            return (
                f"The mail server refuses {self._refused} of {self._asked} readers by name, the last with: {said}."
                f" Look whether it still knows them, or the list is an old one, then resume the issue."
            )
        return (
            f"The mail server refuses us, not a reader: {said} (at {reply.phase.upper()})."
            f" {advice(reply) or 'Mend the sending side (sender, authentication, reputation).'}"
            f" Then resume the issue."
        )


def advice(reply: Reply) -> str:
    """What an operator can do about a refusal that paused an issue, one sentence; "" where the table knows nothing."""
    code = reply.code or 0
    for phase, codes, enhanced, words, todo in _ADVICE:
        if (
            (not phase or reply.phase in phase) and (not codes or code in codes)
            and (not enhanced or enhanced.fullmatch(reply.enhanced or "")) and (not words or words.search(reply.text))
        ):
            return todo
    return ""


def backoff(attempts: int, seed: str) -> float:
    """Seconds to wait after the attempt that followed `attempts` earlier ones: doubling from 5 min to 3 h, ± 20 %.

    The jitter comes from `seed` (the delivery and the attempt), so the same attempt always gives the same wait.
    """
    wait = min(FIRST_RETRY_S * 2.0 ** min(attempts, 16), LONGEST_RETRY_S)
    share = int.from_bytes(hashlib.sha256(f"{seed}/{attempts}".encode()).digest()[:4], "big") / 2**32
    return wait * (0.8 + 0.4 * share)
