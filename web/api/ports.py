"""What the API needs of the store; its own class fits, and so do fakes."""

import datetime as dt
from typing import Protocol

from pipeline.operators.api_tokens import Token


class Tokens(Protocol):
    """Called for each request, from several threads at once; every method raises StoreError."""

    def known(self, shown: str) -> Token | None:
        """Whose token that is, also one that opens nothing any more."""

    def note_used(self, token: Token, now: dt.datetime) -> None:
        """Keep that it was shown."""
