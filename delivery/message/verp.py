"""One envelope sender per delivery, so that a bounce names its delivery and nobody can make one up.

    bounces@example.org + delivery 4711 ─▶ bounces+3mv-k5qj4…@example.org ─▶ 4711

Variable envelope return paths (https://cr.yp.to/proto/verp.txt) with a keyed hash; letters in one case only, since
relays on the way may change it.
"""

import hmac
import re

from delivery.message import headers
from delivery.message.tokens import base32, keyed_hash

_PURPOSE = b"milepost envelope 1\0"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_MAC_BYTES = 10  # 80 bits; a guess costs a mail, and gains one suppression at most
_TAG = re.compile(r"([0-9a-z]{1,13})-([a-z2-7]{16})", re.ASCII)


def make(key: str | bytes, *, base: str, delivery_id: int) -> str:
    """The envelope sender of one delivery, below `base` (ASCII); the same every time.

    Raises RenderError when that is no address or grows too long (64 octets before the @), ValueError for a negative id.
    """
    if delivery_id < 0:
        raise ValueError("a delivery has a positive number")
    local, _, domain = base.rpartition("@")
    number = _base36(delivery_id)
    return headers.address(f"{local}+{number}-{_mac(key, number, domain)}@{domain}")


def parse(key: str | bytes, address: str) -> int | None:
    """The delivery that `address` was made for; None for anything that `make` did not make with this key."""
    local, _, domain = address.strip().strip("<>").lower().rpartition("@")
    match = _TAG.fullmatch(local.rpartition("+")[2])
    if match is None or not domain.isascii():
        return None
    number, mac = match.groups()
    if not hmac.compare_digest(mac, _mac(key, number, domain)) or _base36(int(number, 36)) != number:
        return None
    return int(number, 36)


def _mac(key: str | bytes, number: str, domain: str) -> str:
    return base32(keyed_hash(key, _PURPOSE, number, domain.lower())[:_MAC_BYTES])


def _base36(number: int) -> str:
    digits = ""
    while number or not digits:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits
