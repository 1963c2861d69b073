"""Keyed names that only we can make: the unsubscribe token, and the Message-ID of a delivery."""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from functools import lru_cache

from milepost import keyed
from milepost.errors import SettingsError
from milepost.records import ReaderLink

_BY_ID, _BY_HANDLE = b"\x01", b"\x02"  # versions: the first names an id, which a restored database may give again
_HANDLE_BYTES = 10
_MAC_BYTES = 16  # half of SHA-256: the least RFC 2104 §5 allows, and a short link is one that survives line wrapping
_LONGEST = 512  # characters of a token worth looking at
_UNSUBSCRIBE = b"milepost unsubscribe 1\0"  # one purpose, one domain: a MAC of one is never a MAC of another
_MESSAGE_ID = b"milepost message-id 1\0"
_LETTER = b"milepost letter 1\0"
_DIGITS = b"abcdefghijklmnopqrstuvwxyz234567".ljust(256)
_OURS = re.compile(r"<[a-z2-7]{32}@[^<>\s]+>")  # `_DIGITS`, of 160 bits


@dataclass(frozen=True, kw_only=True, slots=True)
class Unsubscribe:
    """What a genuine token says: this subscriber wants no more of this list."""

    link: ReaderLink
    list_id: str


def key_bytes(key: str | bytes) -> bytes:
    """The signing key as bytes; raises SettingsError when it is too short to sign anything (16 bytes)."""
    raw = key.encode("utf-8") if isinstance(key, str) else key
    if len(raw) < 16:
        raise SettingsError("the key is too short", where="web.signing_key", hint="Want at least 32 characters.")
    return raw


def keyed_hash(key: str | bytes, purpose: bytes, *parts: str | int | bytes) -> bytes:
    """HMAC-SHA256 (32 bytes) over `parts`, each with its length before it, so that no two lists of parts are alike."""
    said = [purpose]
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode("utf-8")
        said.append(len(raw).to_bytes(4, "big") + raw)
    return keyed.keyed_hash(key_bytes(key), b"".join(said))


def base32(raw: bytes) -> str:
    """`raw` (a multiple of five bytes) in lower-case base32 (RFC 4648 §6), in a third of the time that base64 takes:
    the digits of all of it are drawn apart together, by halves.
    """
    digits = len(raw) * 8 // 5
    number = int.from_bytes(raw, "big")
    for stays, moves, by in _drawn_apart(digits):
        number = number & stays | (number & moves) << by
    return number.to_bytes(digits, "big").translate(_DIGITS).decode("ascii")


@lru_cache(maxsize=8)
def _drawn_apart(digits: int) -> tuple[tuple[int, int, int], ...]:
    """What makes bytes of so many digits of five bits, side by side: (the bits that stay, those that move, how far)."""
    steps = []
    half = 1 << (digits - 1).bit_length() >> 1  # of the block that one step cuts in two
    while half:
        stays = moves = 0
        for block in range(0, digits, 2 * half):
            stays |= (1 << 5 * half) - 1 << 8 * block
            moves |= (1 << 5 * half) - 1 << 8 * block + 5 * half
        steps.append((stays, moves, 3 * half))
        half //= 2
    return tuple(steps)


def make(key: str | bytes, *, handle: str, list_id: str) -> str:
    """The unsubscribe token of one subscriber on one list: URL-safe, the same every time, good for ever.

    `handle`: the subscriber's, 20 hexadecimal digits. Raises ValueError when it is none or the list is empty,
    SettingsError for a key too short.
    """
    named = bytes.fromhex(handle)
    if len(named) != _HANDLE_BYTES or not list_id:
        raise ValueError("a token names a subscriber and a list")
    payload = _BY_HANDLE + named + list_id.encode("utf-8")
    return _b64(payload + _mac(key, payload))


def verify(key: str | bytes, token: str) -> Unsubscribe | None:
    """What `token` says, or None for anything that `make`, or that of an earlier release, did not make with this key.

    Compares in constant time.
    """
    if not token or len(token) > _LONGEST or not token.isascii():
        return None
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (Base64Error, ValueError):
        return None
    payload, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    # The decoder skips foreign characters and spare bits: only the one canonical spelling is a token.
    if not hmac.compare_digest(mac, _mac(key, payload)) or _b64(raw) != token:
        return None
    if payload[:1] == _BY_HANDLE:
        end = 1 + _HANDLE_BYTES
        link = ReaderLink(handle=payload[1:end].hex())
    elif payload[:1] == _BY_ID and len(payload) > 2:
        end = 2 + payload[1]
        link = ReaderLink(subscriber_id=int.from_bytes(payload[2:end], "big"))
    else:
        return None
    return Unsubscribe(link=link, list_id=payload[end:].decode("utf-8"))


def message_id(key: str | bytes, *, issue: int | str, reader: int | str, domain: str) -> str:
    """The Message-ID, with its angle brackets, of one delivery: the same on every attempt, unlike any other.

    `issue` and `reader` are handles, both; of an issue without one its number and the id. 160 bits of a keyed hash, so
    it tells nobody who the reader is. `domain` is ASCII. RFC 5322 §3.6.4.
    """
    return f"<{base32(keyed_hash(key, _MESSAGE_ID, issue, reader)[:20])}@{domain}>"


def may_be_ours(value: str) -> bool:
    """Whether a Message-ID has the form of `message_id` and `letter_message_id`; what has another never was ours."""
    return _OURS.fullmatch(value) is not None


def letter_message_id(key: str | bytes, *, letter: int, queued: str, domain: str) -> str:
    """The same of a letter, a mail that is no issue; `queued`: when, so that a restored database gives no id twice."""
    return f"<{base32(keyed_hash(key, _LETTER, letter, queued)[:20])}@{domain}>"


def _mac(key: str | bytes, payload: bytes) -> bytes:
    return keyed_hash(key, _UNSUBSCRIBE, payload)[:_MAC_BYTES]


def _b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode("ascii").rstrip("=")
