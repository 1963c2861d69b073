"""What a reply means for its delivery: one table, from (phase, code, enhanced code, words) to an outcome.

    2xx dot ─▶ sent      421, 4xx, lost before the dot ─▶ deferred     no reply to the dot ─▶ unknown
    5xx ─▶ failed        5.1.1 5.1.2 5.1.6 5.2.1 ─▶ and suppressed     5.7.x 530 535 policy ─▶ and the issue pauses

Sources: RFC 5321 §4.2 (codes, 421 and 5yz), §4.5.3.2.6 and RFC 1047 (the gap after the dot), RFC 2034 and 3463 with the
IANA registry of enhanced codes; each row of `NEGATIVE` names its own.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from milepost.records import Reply

Outcome = Literal["accepted", "sent", "deferred", "failed", "unknown"]

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
_POLICY_WORDS = re.compile(
    r"\b(?:policy|spam|spf|dkim|dmarc|blacklist\w*|blocklist\w*|block(?:ed)? list|blocked|reputation|banned"
    r"|not authori[sz]ed|authentication required|relay(?:ing)?(?: access)? (?:denied|not permitted|not allowed))\b",
    re.IGNORECASE,
)


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
    words: re.Pattern[str] | None = None
    then: Literal["fail", "suppress", "pause"]
    why: str  # and where it is written

    def fits(self, code: int, enhanced: str, phase: str, text: str) -> bool:
        return (
            (not self.phases or phase in self.phases)
            and (not self.codes or code in self.codes)
            and (self.enhanced is None or re.fullmatch(self.enhanced, enhanced) is not None)
            and (self.words is None or self.words.search(text) is not None)
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
    Row(enhanced=r"5\.2\.2", then="fail", why="the mailbox is full (RFC 3463 §3.3): counted, see delivery.strikes"),
    Row(codes=frozenset({552}), enhanced="", then="fail", why="the mailbox is full (RFC 5321 §4.2.3): counted"),
    Row(enhanced=r"5\.3\.4", then="pause", why="too big for the server (RFC 3463 §3.4), whoever it is for"),
    Row(enhanced=r"5\.7\..*", then="pause", why="security and policy (RFC 3463 §3.8, RFC 7372): our fault"),
    Row(codes=frozenset({530, 534, 535, 538}), then="pause", why="authentication (RFC 4954 §6)"),
    Row(enhanced=r"5\.5\.(?!3$).*", then="pause",
        why="we don't speak as it wants (RFC 3463 §3.6); 5.5.3 is about the number of recipients"),
    Row(codes=frozenset({500, 502, 503, 504, 555}), enhanced="", then="pause",
        why="a command or parameter it does not know (RFC 5321 §4.2.2): the same for everybody"),
    Row(codes=frozenset({550, 554}), enhanced="", words=_POLICY_WORDS, then="pause",
        why="servers without enhanced codes say 550 for a missing mailbox and for “we won't take your mail” alike"),
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
    return Verdict(
        outcome="failed", suppress=f"{code} {enhanced}".rstrip() if row.then == "suppress" else None,
        pause=row.then == "pause", hang_up=phase in _BEFORE_MAIL,
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
