"""One envelope sender per delivery, so that a bounce names its delivery and nobody can make one up.

    bounces@example.org + delivery 4711 ─▶ bounces+3mv-k5qj4…@example.org ─▶ 4711

The hash covers a random name of the delivery too: a number that was given twice proves nothing.
Variable envelope return paths (https://cr.yp.to/proto/verp.txt) with a keyed hash; letters in one case only, since
relays on the way may change it.
"""

import hmac
import re
from collections.abc import Callable

from delivery.message import headers
from delivery.message.tokens import base32, keyed_hash

_PURPOSE = b"milepost envelope 1\0"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_MAC_BYTES = 10  # 80 bits; a guess costs a mail, and gains one suppression at most
_TAG = re.compile(r"([0-9a-z]{1,13})-([a-z2-7]{16})", re.ASCII)


NameOf = Callable[[int], str | None]  # delivery → its random name; "" before it had one; None: there is none


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


def _read(address: str) -> tuple[str, str, str] | None:
    local, _, domain = address.strip().strip("<>").lower().rpartition("@")
    match = _TAG.fullmatch(local.rpartition("+")[2])
    if match is None or not domain.isascii() or _base36(int(match[1], 36)) != match[1]:
        return None
    return match[1], match[2], domain


def _mac(key: str | bytes, number: str, domain: str, name: str) -> str:
    parts = (number, domain.lower(), name) if name else (number, domain.lower())
    return base32(keyed_hash(key, _PURPOSE, *parts)[:_MAC_BYTES])


def _base36(number: int) -> str:
    digits = ""
    while number or not digits:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits
