"""HMAC-SHA256 under a key that is used for every mail: its two half-made hashes are kept and copied (RFC 2104 §4).

    key ─▶ inner, outer (once)      text ─▶ outer(inner(text)): what hmac.digest gives, in half the time
"""

import hashlib
from functools import lru_cache

_BLOCK = 64  # octets, of SHA-256
_INNER, _OUTER = bytes(octet ^ 0x36 for octet in range(256)), bytes(octet ^ 0x5C for octet in range(256))


def keyed_hash(key: bytes, text: bytes) -> bytes:
    """HMAC-SHA256 (32 bytes) of `text`."""
    first, second = _halves(key)
    inner, outer = first.copy(), second.copy()
    inner.update(text)
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(maxsize=8)
def _halves(key: bytes) -> "tuple[hashlib._Hash, hashlib._Hash]":
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    return hashlib.sha256(block.translate(_INNER)), hashlib.sha256(block.translate(_OUTER))
