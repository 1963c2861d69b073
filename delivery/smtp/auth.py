"""Logging in to a relay: which of our mechanisms it offers, and what each says.

    offers + login ─▶ choose ─▶ script: one AUTH command, then an answer to each 334

Sources: RFC 4954 (AUTH), RFC 4616 (PLAIN), draft-murchison-sasl-login (LOGIN); XOAUTH2 as Google and Microsoft document
it (its error comes in a 334, which an empty answer turns into a 535). None of them hides anything: TLS has to.
"""

import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from milepost.errors import DeliveryError

Mechanism = Literal["XOAUTH2", "PLAIN", "LOGIN"]
Token = Callable[[], str]  # an OAuth 2 access token that is valid now; raises DeliveryError

_FRESH_S = 300.0  # for so long a token is used again: those of the big providers live for an hour
_WAIT_S = 30.0


def choose(offers: Collection[str], *, with_token: bool) -> Mechanism | None:
    """The mechanism to log in with, of those a relay `offers` (upper case); None: none that we know."""
    known: Sequence[Mechanism] = ("XOAUTH2",) if with_token else ("PLAIN", "LOGIN")
    return next((mechanism for mechanism in known if mechanism in offers), None)


def script(mechanism: Mechanism, *, user: str, secret: str) -> tuple[str, tuple[str, ...]]:
    """(the AUTH command, the answers to one 334 after the other), without line ends."""
    match mechanism:
        case "XOAUTH2":
            return "AUTH XOAUTH2 " + _b64(f"user={user}\1auth=Bearer {secret}\1\1"), ("",)
        case "PLAIN":
            return "AUTH PLAIN " + _b64(f"\0{user}\0{secret}"), ()
        case "LOGIN":
            return "AUTH LOGIN", (_b64(user), _b64(secret))


def _b64(text: str) -> str:
    return b64encode(text.encode("utf-8")).decode("ascii")


@dataclass(slots=True)
class TokenCommand:
    """Runs a program that prints an access token, and remembers it for five minutes; threads may share it.

    The program gets no shell and no input; what it says on standard error is told when it fails.
    """

    command: tuple[str, ...]
    _token: str = field(default="", repr=False)
    _until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __call__(self) -> str:
        """The token; raises DeliveryError when the program can't be run, fails or prints none."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._token = self._ask()
                self._until = time.monotonic() + _FRESH_S
            return self._token

    def _ask(self) -> str:
        try:
            done = subprocess.run(  # noqa: S603 (the operator's own program, without a shell)
                self.command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_WAIT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) and error.strerror else "it takes too long"
            raise self._failed(said) from None
        token = done.stdout.decode("utf-8", "replace").strip()
        if done.returncode != 0 or not token or not token.isascii() or not token.isprintable():
            words = done.stderr.decode("utf-8", "replace").split()
            raise self._failed(" ".join(words)[:200] or f"exit code {done.returncode}, and no token on standard output")
        return token

    def _failed(self, said: str) -> DeliveryError:
        return DeliveryError(
            f"{self.command[0]} gives no access token ({said})", where="mail.oauth2_command",
            hint="Run it by hand: it has to print the token alone.",
        )
