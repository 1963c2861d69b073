"""Who a reader's own link belongs to: its token says so, and nothing else is asked."""

from collections.abc import Sequence

from starlette.requests import Request

from delivery.message import tokens
from milepost.records import ReaderLink


def sentence(words: str) -> str:
    """The same with a capital where it begins."""
    return words[:1].upper() + words[1:]


class Readers:
    """Reads the tokens of one list; no cookie, no login, no address typed."""

    def __init__(self, keys: Sequence[str | bytes], list_id: str) -> None:
        """`keys`: any of them may have signed. Raises SettingsError when one is too short."""
        self._keys = tuple(map(tokens.key_bytes, keys))
        self._list_id = list_id

    def of(self, request: Request) -> ReaderLink | None:
        """Whom the token in the path names; None for a token that we did not make for this list."""
        for key in self._keys:
            said = tokens.verify(key, request.path_params["token"])
            if said is not None and said.list_id == self._list_id:
                return said.link
        return None

    def path_of(self, handle: str) -> str:
        """The path of a reader's own link."""
        return f"/u/{tokens.make(self._keys[0], handle=handle, list_id=self._list_id)}"
