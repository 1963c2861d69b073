"""What a reply means for its delivery: one table, from (phase, code, enhanced code, words) to an outcome.

    2xx dot ─▶ sent      421, 4xx, lost before the dot ─▶ deferred     no reply to the dot ─▶ unknown
    5xx ─▶ failed        5.1.1 5.1.2 5.1.6 5.2.1, dead in words ─▶ and suppressed
    5.7.x 530 535 policy ─▶ refused: it is about us, the delivery waits on and the issue pauses

Whom a refusal is about is told by its place and words (`delivery.smtp.remote_words`): one that names a mailbox is that
reader's, whatever its code. One that names nobody is vague, and ours where everybody is told so (`Judge`).

Sources: RFC 5321 §4.2 (codes, 421 and 5yz), §4.5.3.2.6 and RFC 1047 (the gap after the dot), RFC 2034 and 3463 with the
IANA registry of enhanced codes; each row of `NEGATIVE` names its own.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from delivery.smtp.remote_words import Meaning, meaning
from milepost.records import Reply

Outcome = Literal["accepted", "sent", "deferred", "failed", "refused", "unknown"]

GIVE_UP = timedelta(hours=72)
FIRST_RETRY_S = 300.0
LONGEST_RETRY_S = 3 * 3600.0  # twenty refusals in a row still fit into the 72 h

_BEFORE_MAIL = frozenset({"connect", "ehlo", "tls", "auth"})
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?=\s|$)", re.ASCII)
# Each with a word that it can't be without, in lower case: no expression is asked about a reply that lacks it.
_QUEUE_IDS = (
    # Postfix, OpenSMTPD, aiosmtpd, Exim ("OK id=…"), Exchange ("… [InternalId=…]")
    ("queued ", re.compile(
        r"\bqueued (?:mail )?(?:as|for delivery as|with id) <?([A-Za-z0-9._:-]{1,100})", re.IGNORECASE,
    )),
    ("id=", re.compile(r"\b(?:id|InternalId)=<?([A-Za-z0-9._:-]{1,100})", re.IGNORECASE)),
    ("accepted for", re.compile(  # Sendmail
        r"\b([A-Za-z0-9]{4,100}) Message accepted for delivery\b", re.IGNORECASE,
    )),
    (" qp ", re.compile(r"\bok \d+ qp (\d{1,20})\b", re.IGNORECASE)),  # qmail
    (" gsmtp", re.compile(r"\bok +\d{9,11} ([A-Za-z0-9.-]{10,100}) - gsmtp\b", re.IGNORECASE)),  # Gmail
    ("ok ", re.compile(r"\bOk ([0-9a-f]{16}-[0-9a-f-]{20,80})", re.IGNORECASE)),  # Amazon SES
)
_ABOUT_ONE = frozenset({"rcpt", "data", "dot"})  # each transaction has one recipient
_AT_ONCE = frozenset({"rcpt", "report"})  # before a filter has seen the mail; a report tells of either
_NOT_COMMANDS = frozenset(range(510, 600))  # below are those about commands (RFC 5321 §4.2.2)
_A_MAILBOX = r"5\.1\.(?!7$|8$).*|5\.2\.1|5\.7\.1[78]"  # enhanced codes that say whose fault it is by themselves
SHARE = 0.5  # of the readers asked for that may be refused by name; beyond it the fault is not theirs
FEW = 10  # refusals that prove nothing about a share


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What to do about one reply."""

    outcome: Outcome  # "accepted": go on with the transaction
    suppress: str | None = None  # the address is never to be mailed again, and why
    pause: bool = False  # it is our fault: the whole issue waits for an operator
    hang_up: bool = False  # this connection is of no more use; what it still holds is given back
    vague: bool = False  # a refusal that names neither us nor a mailbox: `Judge` tells


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of the table of 5yz replies: what is None or empty fits anything."""

    phases: frozenset[str] = frozenset()
    codes: frozenset[int] = frozenset()
    enhanced: str | None = None  # a regular expression for the whole enhanced code; "" fits a reply without one
    means: tuple[Meaning, ...] = ()  # what the words say, one of these
    then: Literal["fail", "suppress", "defer", "pause"]
    vague: bool = False
    why: str  # and where it is written

    def fits(self, code: int, enhanced: str, phase: str, meaning: Meaning | None) -> bool:
        return (
            (not self.phases or phase in self.phases)
            and (not self.codes or code in self.codes)
            and (self.enhanced is None or re.fullmatch(self.enhanced, enhanced) is not None)
            and (not self.means or meaning in self.means)
        )


# The first row that fits decides; the last one fits all.
NEGATIVE: tuple[Row, ...] = (
    Row(phases=_BEFORE_MAIL | {"mail"}, then="pause",
        why="nobody has been named yet, so it can only be about us (RFC 5321 §3.3)"),
    Row(codes=frozenset({530, 534, 535, 538}), then="pause", why="authentication (RFC 4954 §6)"),
    Row(enhanced=r"5\.1\.[78]|5\.7\.2\d", then="pause",
        why="our sender's address (RFC 3463 §3.2), its authentication (RFC 7372, RFC 7489) or null MX (RFC 7505)"),
    Row(enhanced=r"5\.3\.4", then="pause", why="too big for the server (RFC 3463 §3.4), whoever it is for"),
    Row(enhanced=r"5\.3\.[12]", then="defer", vague=True,
        why="the whole system is full, or takes nothing now (RFC 3463 §3.4): no mailbox's fault"),
    Row(means=("full",), then="fail",
        why="the mailbox is full, whatever the code: counted, see delivery.bounces.soft_bounce_limit"),
    Row(means=("rate", "later"), then="defer",
        why="it passes, as the words say; RFC 5321 §4.2.1 allows a later try"),
    Row(means=("shut",), then="fail", why="an account that may open again, or a reader's filter: nothing to suppress"),
    Row(means=("ours",), enhanced=_A_MAILBOX, then="defer", vague=True,
        why="the code speaks of a mailbox, the words of us: mercy for the reader, and nobody else waits for one such"),
    Row(means=("ours",), then="pause",
        why="in words about us (RFC 3463 §3.8); servers say 550 to a missing mailbox and to us alike"),
    Row(means=("dead",), enhanced=r"5\.1\..*|5\.2\.1", then="suppress", why="code and words say that nobody is there"),
    Row(means=("dead",), phases=_AT_ONCE, codes=_NOT_COMMANDS, then="suppress",
        why="the words say that nobody is there, whatever the code (`remote_words` has a source for each)"),
    Row(means=("dead",), codes=_NOT_COMMANDS, then="fail",
        why="after DATA some hosts (docomo, au) say “user unknown” when a reader's filter refuses"),
    Row(enhanced=r"5\.1\.1|5\.1\.2|5\.1\.6|5\.1\.10|5\.1\.351|5\.2\.1", then="suppress",
        why="no such mailbox or domain, moved away, null MX (RFC 7505), mailbox disabled (RFC 3463 §3.2, §3.3); "
        "351 is Exchange Online's for a forward to such a one"),
    Row(enhanced=r"5\.7\.1[78]", then="suppress",
        why="the mailbox, or the domain, belongs to somebody else since the reader signed up (RFC 7293)"),
    Row(codes=frozenset({556}), enhanced="", then="suppress",
        why="the domain takes no mail at all (RFC 7504)"),
    Row(enhanced=r"5\.2\.2", then="fail", why="the mailbox is full (RFC 3463 §3.3): counted"),
    Row(codes=frozenset({552}), enhanced="", then="fail", why="the mailbox is full (RFC 5321 §4.2.3): counted"),
    Row(means=("mailbox",), codes=_NOT_COMMANDS, then="fail",
        why="one mailbox, named by the words: nobody else has to wait for it (RFC 5321 §4.2.3, 550)"),
    Row(phases=frozenset({"rcpt"}), enhanced=r"5\.7\.(?:[012]|1[23]\d)", then="defer", vague=True,
        why="not authorized, list expansion, restricted recipients (RFC 3463 §3.8): about the two of us"),
    Row(enhanced=r"5\.7\..*", then="pause", why="security and policy (RFC 3463 §3.8, RFC 7372): our fault"),
    Row(enhanced=r"5\.5\.(?!3$).*", then="pause",
        why="we don't speak as it wants (RFC 3463 §3.6); 5.5.3 is about the number of recipients"),
    Row(codes=frozenset({500, 502, 503, 504, 555}), enhanced="", then="pause",
        why="a command or parameter it does not know (RFC 5321 §4.2.2): the same for everybody"),
    Row(enhanced=r"5\.[12]\..*", then="fail", why="something about this address or mailbox (RFC 3463 §3.2, §3.3)"),
    Row(then="fail", vague=True,
        why="a permanent failure of this delivery (RFC 5321 §4.2.1); nothing says that it is this one's alone"),
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
REFUSED = Verdict(outcome="refused", pause=True)


def enhanced_code(code: int, text: str) -> str | None:
    """The enhanced status code that opens `text`, when it is of the class of `code` (RFC 2034 §3); else None."""
    match = _ENHANCED.match(text.lstrip())
    return match.group(1) if match and match.group(1)[0] == str(code)[0] else None


def read(code: int, raw: bytes | str, phase: str) -> Reply:
    """The record of a reply."""
    text = words(raw)
    return Reply(code=code, enhanced=enhanced_code(code, text), text=text, phase=phase)


def words(raw: bytes | str) -> str:
    """What a server said, be it a reply or not: its lines as one, without controls, at most 500 characters."""
    said = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
    text = " ".join(said.split())
    if not text.isprintable():
        text = "".join(sign for sign in text if sign.isprintable())
    return text[:500]


def queue_id(text: str) -> str | None:
    """The relay's own name for a message it took ("queued as 4Xk2…"), when its reply tells it."""
    lower = text.lower()
    for word, pattern in _QUEUE_IDS:
        if word in lower and (match := pattern.search(text)) is not None:
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
    said = meaning(text)
    row = next(row for row in NEGATIVE if row.fits(code, enhanced, phase, said))
    match row.then:
        case "pause":
            return Verdict(outcome="refused", pause=True, hang_up=phase in _BEFORE_MAIL)
        case "defer":
            return Verdict(outcome="deferred", vague=row.vague)
        case "suppress":
            return Verdict(outcome="failed", suppress=f"{code} {enhanced}".rstrip())
    return Verdict(outcome="failed", vague=row.vague)


def not_begun(reply: Reply, used: int) -> bool:
    """Whether a connection ended before its `used`-th letter began, so that the letter may go over a new one at once.

    Relays end a session after so many messages, with 421 to the next MAIL or without a word (RFC 5321 §3.8). The first
    letter of a connection is no such case: that relay has no time for us at all.
    """
    return reply.phase == "mail" and reply.code in (None, 421) and used > 1


class Judge:
    """The verdicts of one dispatch: `classify`, and a pause where refusals are too many to be the readers' own.

    A vague one is nobody's until the server has taken a mail: `doubtful` says that it is to be kept, and what it is by
    then, or when all have been asked, is told by `on_all`. A refusal of everybody is a refusal of us.
    """

    def __init__(self) -> None:
        self._asked = self._by_name = self._refused = 0
        self._welcome = False

    def __call__(self, reply: Reply) -> Verdict:
        """The verdict on the last reply about one delivery; each delivery is told once."""
        verdict = classify(reply)
        if reply.phase not in _ABOUT_ONE or verdict.pause:
            return verdict
        self._asked += 1
        self._welcome = self._welcome or verdict.outcome == "sent"
        if reply.code is not None and reply.code // 100 == 5:
            self._refused += 1
            self._by_name += reply.phase == "rcpt"
            if self.too_many:
                return REFUSED
        return verdict

    @property
    def too_many(self) -> bool:
        """Whether more were refused than readers can be at fault."""
        by_name = self._by_name >= FEW and self._by_name > SHARE * self._asked
        return by_name or (self._refused >= FEW and self._refused == self._asked)

    def doubtful(self, verdict: Verdict) -> bool:
        """Whether nothing says yet whose fault that refusal is."""
        return verdict.vague and not self._welcome

    @property
    def welcome(self) -> bool:
        """Whether the server has taken a mail from us."""
        return self._welcome

    def on_all(self, *, taken_before: bool) -> Verdict | None:
        """When all have been asked: what vague refusals are, None where each is what it seems. `taken_before`: whether
        any mail of the issue was taken by an earlier dispatch.
        """
        return REFUSED if self._refused == self._asked and not self._welcome and not taken_before else None

    def why(self, reply: Reply) -> str:
        """The sentence for an issue that `reply` paused."""
        said = f"{reply.code} {reply.text}".strip()
        if not classify(reply).pause:
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
