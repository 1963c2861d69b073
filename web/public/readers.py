"""Who a reader's own link belongs to: its token says so, and nothing else is asked."""

from starlette.requests import Request

from delivery.message import tokens


class Readers:
    """Reads the tokens of one list; no cookie, no login, no address typed."""

    def __init__(self, key: str | bytes, list_id: str) -> None:
        """Raises SettingsError when the key is too short."""
        self._key = tokens.key_bytes(key)
        self._list_id = list_id

    def of(self, request: Request) -> int | None:
        """The subscriber whose token is in the path; None for a token that we did not make for this list."""
        said = tokens.verify(self._key, request.path_params["token"])
        return said.subscriber_id if said is not None and said.list_id == self._list_id else None
