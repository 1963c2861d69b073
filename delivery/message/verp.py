"""One envelope sender per delivery, so that a bounce names its delivery and nobody can make one up.

    bounces@example.org + delivery 4711 ─▶ bounces+3mv-k5qj4…@example.org ─▶ 4711
    bounces@example.org + letter 12     ─▶ bounces+letter-c-7hd2a…@example.org ─▶ 12
    bounces@example.org + a reader      ─▶ bounces+leave-mzxw6…-q4kz7…@example.org ─▶ that reader wants to leave

The hash covers a random name of the delivery too: a number that was given twice proves nothing.
Variable envelope return paths (https://cr.yp.to/proto/verp.txt) with a keyed hash; letters in one case only, since
relays on the way may change it.
"""

import base64
import hmac
import re
from collections.abc import Callable

from delivery.message import headers
from delivery.message.tokens import base32, keyed_hash

_PURPOSE = b"milepost envelope 1\0"
_LETTER, _LEAVE = b"milepost letter's envelope 1\0", b"milepost leave by mail 1\0"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_MAC_BYTES = 10  # 80 bits; a guess costs a mail, and gains one suppression at most
_TAG = re.compile(r"([0-9a-z]{1,13})-([a-z2-7]{16})", re.ASCII)
_LEAVE_TAG = re.compile(r"leave-([a-z2-7]{16})-([a-z2-7]{16})", re.ASCII)  # a handle of ten bytes, and the hash
_LETTERS = "letter-"


NameOf = Callable[[int], str | None]  # delivery or letter → its name; "" before it had one; None: there is none


def unnamed(_delivery: int) -> str | None:
    """As deliveries were before they had a name."""
    return ""


def make(key: str | bytes, *, base: str, delivery_id: int, name: str = "") -> str:
    """The envelope sender of one delivery, below `base` (ASCII); the same every time. `name`: see `NameOf`.

    Raises RenderError when that is no address or grows too long (64 octets before the @), ValueError for a negative id.
    """
    if delivery_id < 0:
        raise ValueError("a delivery has a positive number")
    local, _, domain = base.rpartition("@")
    number = _base36(delivery_id)
    return headers.address(f"{local}+{number}-{_mac(key, number, domain, name)}@{domain}")


def parse(key: str | bytes, address: str, name_of: NameOf = unnamed) -> int | None:
    """The delivery that `address` was made for; None for anything that `make` did not make with this key."""
    read = _read(address)
    if read is None:
        return None
    number, mac, domain = read
    name = name_of(int(number, 36))
    if name is None or not hmac.compare_digest(mac, _mac(key, number, domain, name)):
        return None
    return int(number, 36)


def claimed(address: str) -> int | None:
    """The delivery that `address` says it was made for, which nothing proves yet: to ask for its name."""
    read = _read(address)
    return None if read is None else int(read[0], 36)


def make_letter(key: str | bytes, *, base: str, letter: int, queued: str) -> str:
    """The envelope sender of one letter, a mail that is no issue; `queued`: when, so that no number proves another.

    Raises as `make` does.
    """
    local, _, domain = base.rpartition("@")
    number = _base36(letter)
    return headers.address(f"{local}+{_LETTERS}{number}-{_mac(key, number, domain, queued, _LETTER)}@{domain}")


def parse_letter(key: str | bytes, address: str, queued_at: NameOf) -> int | None:
    """The letter that `address` was made for; `queued_at` tells when that was."""
    read = _read(address, _LETTERS)
    if read is None:
        return None
    number, mac, domain = read
    queued = queued_at(int(number, 36))
    if queued is None or not hmac.compare_digest(mac, _mac(key, number, domain, queued, _LETTER)):
        return None
    return int(number, 36)


def claimed_letter(address: str) -> int | None:
    """The letter that `address` says it was made for, which nothing proves yet."""
    read = _read(address, _LETTERS)
    return None if read is None else int(read[0], 36)


def make_leave(key: str | bytes, *, base: str, handle: str) -> str:
    """Where a mail of one reader takes them off the list, whatever it says (RFC 2369 §3.2); the same in every issue.

    `handle`: the reader's, 20 hexadecimal digits. Raises RenderError, ValueError as `make` does.
    """
    local, _, domain = base.rpartition("@")
    named = base32(bytes.fromhex(handle))
    return headers.address(f"{local}+leave-{named}-{_leave_mac(key, named, domain)}@{domain}")


def parse_leave(key: str | bytes, address: str) -> str | None:
    """The handle of the reader whom `address` was made for; None for anything that `make_leave` did not make."""
    local, _, domain = address.strip().strip("<>").lower().rpartition("@")
    match = _LEAVE_TAG.fullmatch(local.rpartition("+")[2])
    if match is None or not domain.isascii() or not hmac.compare_digest(match[2], _leave_mac(key, match[1], domain)):
        return None
    return base64.b32decode(match[1].upper()).hex()


def is_leave(address: str) -> bool:
    """Whether `address` looks like one of `make_leave`, which proves nothing."""
    return address.strip().strip("<>").lower().rpartition("@")[0].rpartition("+")[2].startswith("leave-")


def _read(address: str, before: str = "") -> tuple[str, str, str] | None:
    local, _, domain = address.strip().strip("<>").lower().rpartition("@")
    tag = local.rpartition("+")[2]
    match = _TAG.fullmatch(tag.removeprefix(before)) if tag.startswith(before) else None
    if match is None or not domain.isascii() or _base36(int(match[1], 36)) != match[1]:
        return None
    return match[1], match[2], domain


def _mac(key: str | bytes, number: str, domain: str, name: str, purpose: bytes = _PURPOSE) -> str:
    parts = (number, domain.lower(), name) if name else (number, domain.lower())
    return base32(keyed_hash(key, purpose, *parts)[:_MAC_BYTES])


def _leave_mac(key: str | bytes, named: str, domain: str) -> str:
    return base32(keyed_hash(key, _LEAVE, named, domain.lower())[:_MAC_BYTES])


def _base36(number: int) -> str:
    digits = ""
    while number or not digits:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits
