"""What a reply means for its delivery: one table, from (phase, code, enhanced code) to an outcome.

    2xx dot ─▶ sent      421, 4xx, lost before the dot ─▶ deferred     no reply to the dot ─▶ unknown
    5xx ─▶ failed        5.1.1 5.1.10 5.2.1 ─▶ and suppressed          5.7.x 530 535 policy ─▶ and the issue pauses

Sources: RFC 5321 §4.2 (codes, 421 and 5yz), §4.5.3.2.6 and RFC 1047 (the gap after the dot), RFC 3463 and the IANA
registry (enhanced codes), RFC 4954 §6 (530, 534, 535, 538), RFC 7372 and 7505 (5.7.2x, 5.1.10).
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

_GONE = frozenset({"5.1.1", "5.1.10", "5.2.1"})  # no such mailbox, null MX, mailbox disabled: never ask again
_FULL = "5.2.2"
_AUTH = frozenset({530, 534, 535, 538})
_BEFORE_MAIL = frozenset({"connect", "ehlo", "tls", "auth"})
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?=\s|$)", re.ASCII)
_QUEUE_ID = re.compile(
    r"\b(?:queued (?:mail )?(?:as|for delivery as|with id)|id[=:]?)\s*<?([A-Za-z0-9._:-]{4,100})", re.IGNORECASE
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
    match = _QUEUE_ID.search(text)
    return match.group(1) if match else None


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
            return Verdict(outcome="sent")
        case "data":  # 2yz where only 354 makes sense: the server and we have lost step
            return Verdict(outcome="deferred", hang_up=True)
    return Verdict(outcome="accepted")


def _negative(code: int, enhanced: str, phase: str, text: str) -> Verdict:
    if phase == "mail" or phase in _BEFORE_MAIL:  # no recipient has been named yet: it can only be about us
        return Verdict(outcome="failed", pause=True, hang_up=phase in _BEFORE_MAIL)
    if enhanced in _GONE:
        return Verdict(outcome="failed", suppress=f"{code} {enhanced}")
    if enhanced == _FULL or (code == 552 and not enhanced):
        return Verdict(outcome="failed")
    in_words = not enhanced and code in (550, 554) and _POLICY_WORDS.search(text) is not None
    return Verdict(outcome="failed", pause=enhanced.startswith("5.7.") or code in _AUTH or in_words)


def backoff(attempts: int, seed: str) -> float:
    """Seconds to wait after the attempt that followed `attempts` earlier ones: doubling from 5 min to 3 h, ± 20 %.

    The jitter comes from `seed` (the delivery and the attempt), so the same attempt always gives the same wait.
    """
    wait = min(FIRST_RETRY_S * 2.0 ** min(attempts, 16), LONGEST_RETRY_S)
    share = int.from_bytes(hashlib.sha256(f"{seed}/{attempts}".encode()).digest()[:4], "big") / 2**32
    return wait * (0.8 + 0.4 * share)
