"""Passwords and second factors: what is good enough, its hash, and whether what somebody typed is it.

argon2id as RFC 9106 §4 recommends it for where memory is scarce (argon2-cffi's default); TOTP by RFC 6238 (pyotp).
"""

import datetime as dt
import re
import secrets
import threading
from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from milepost.errors import BusyError, InputError

SHORTEST, LONGEST = 12, 1024  # characters
AT_ONCE = 2  # calculations; each takes 64 MiB
_PATIENCE_S = 3.0
_STEP_S = 30  # of a code (RFC 6238 §5.2)
_SECRET = re.compile(r"[A-Z2-7]{32}")  # as `new_secret` makes one

Found = TypeVar("Found")


class Passwords:
    """Hashes and checks; make one for an application."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._free = threading.BoundedSemaphore(AT_ONCE)

    def hash(self, password: str, *, name: str) -> str:
        """The argon2id hash of a new password; raises InputError for one that is too short, too long or the name."""
        if len(password) < SHORTEST:
            raise InputError(f"a password has at least {SHORTEST} characters", hint="Four words that you make up do.")
        if len(password) > LONGEST:
            raise InputError(f"a password has at most {LONGEST} characters")
        if password.casefold().strip() == name.casefold() or len(set(password)) < 5:
            raise InputError("that password is guessed first", hint="Four words that you make up do.")
        return self._calculated(lambda: self._hasher.hash(password))

    def right(self, hashed: str | None, password: str) -> bool:
        """Whether it is the one; takes as long where there is none."""
        return self._calculated(lambda: self._verify(hashed, password))

    def old(self, hashed: str) -> bool:
        """Whether it was hashed by other parameters than today's."""
        return self._hasher.check_needs_rehash(hashed)

    def again(self, password: str) -> str:
        """The hash of a password that was found right, whatever it is like."""
        return self._calculated(lambda: self._hasher.hash(password))

    @cached_property
    def _nobodys(self) -> str:
        """What is looked at in place of a hash that isn't there."""
        return self._hasher.hash(secrets.token_hex(16))

    def _verify(self, hashed: str | None, password: str) -> bool:
        try:
            return self._hasher.verify(hashed or self._nobodys, password[:LONGEST]) and hashed is not None
        except (VerificationError, InvalidHashError):
            return False

    def _calculated(self, calculate: Callable[[], Found]) -> Found:
        if not self._free.acquire(timeout=_PATIENCE_S):
            raise BusyError("too many sign in at this moment", hint="Try again in a minute.")
        try:
            return calculate()
        finally:
            self._free.release()


def new_secret() -> str:
    """160 random bits in base32 (RFC 4226 §4)."""
    return pyotp.random_base32()


def step_of(secret: str, code: str, now: dt.datetime) -> int | None:
    """The time step that a code is of, this one or a neighbour (RFC 6238 §5.2); None for a wrong one. Pure."""
    digits = "".join(code.split())
    if not _SECRET.fullmatch(secret):  # a form's hidden field says what somebody's browser makes it say
        return None
    totp = pyotp.TOTP(secret, interval=_STEP_S)
    current = int(now.timestamp()) // _STEP_S
    if not (digits.isascii() and digits.isdigit()):
        return None
    found = [step for step in (current, current - 1, current + 1)
             if secrets.compare_digest(totp.generate_otp(step), digits)]
    return found[0] if found else None


def enrolment(secret: str, name: str, newsletter: str) -> str:
    """The address that an authenticator takes the secret from. Pure."""
    return pyotp.TOTP(secret, interval=_STEP_S).provisioning_uri(name=name, issuer_name=newsletter)
