"""Who a reader's own link belongs to: its token says so, and nothing else is asked."""

import logging
import time
from collections.abc import Callable, Sequence

from starlette.requests import Request

from delivery.message import tokens
from milepost.errors import StoreError
from milepost.records import ReaderLink
from pipeline.link_keys import LinkKeys

_log = logging.getLogger(__name__)
_FRESH_S, _AT_MOST_EVERY_S = 30.0, 1.0  # until the keys are asked for again; for a link that no key knows, at once


def sentence(words: str) -> str:
    """The same with a capital where it begins."""
    return words[:1].upper() + words[1:]


class Readers:
    """Reads the tokens of one list; no cookie, no login, no address typed. May be used from several threads."""

    def __init__(
        self, keys: Callable[[], LinkKeys], list_id: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`keys`: as they are now, raises StoreError; `clock`, in seconds, tells when they are asked for again.

        Raises StoreError, and SettingsError when a key is too short.
        """
        self._ask, self._list_id, self._clock = keys, list_id, clock
        self._keys, self._asked_at = keys(), clock()
        for key in self._keys.every:
            tokens.key_bytes(key)

    @property
    def signing_key(self) -> bytes:
        """Signs what is new."""
        return self._keys.now

    def of(self, request: Request) -> ReaderLink | None:
        """Whom the token in the path names; None for one that we did not make for this list, or whose key leaked."""
        return self._found(request, lambda keys: keys.believed)

    def leaving(self, request: Request) -> ReaderLink | None:
        """Whom the token in the path names, to let them go: also one whose key leaked."""
        return self._found(request, lambda keys: keys.every)

    def path_of(self, handle: str) -> str:
        """The path of a reader's own link."""
        return f"/u/{tokens.make(self._known(_FRESH_S).now, handle=handle, list_id=self._list_id)}"

    def _found(self, request: Request, among: Callable[[LinkKeys], Sequence[bytes]]) -> ReaderLink | None:
        token, before = request.path_params["token"], self._known(_FRESH_S)
        found = self._read(token, among(before))
        if found is None and (anew := self._known(_AT_MOST_EVERY_S)) is not before:
            found = self._read(token, among(anew))
        return found

    def _read(self, token: str, keys: Sequence[bytes]) -> ReaderLink | None:
        for key in keys:
            said = tokens.verify(key, token)
            if said is not None and said.list_id == self._list_id:
                return said.link
        return None

    def _known(self, fresh_s: float) -> LinkKeys:
        """The keys, no older than that many seconds; those of before while the database can't be asked."""
        now = self._clock()
        if now - self._asked_at >= fresh_s:
            self._asked_at = now
            try:
                self._keys = self._ask()
            except StoreError as error:
                _log.warning("the keys of readers' links are those of before: %s", error)
        return self._keys
