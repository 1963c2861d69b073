"""What a web process does once, beside its first requests, so that none of them pays for it.

    started ─▶ (an operator exists) templates compiled, how everything stands asked, each page made ─▶ gc.freeze

A page that was made once has its statements compiled, and lint has read the drafts that wait.
"""

import contextlib
import gc
import logging
import re
from collections.abc import Iterator

from starlette.exceptions import HTTPException
from starlette.requests import Request

from milepost.background import Background
from milepost.errors import MilepostError
from pipeline import edit
from pipeline.operators.sign_in import Session
from web.desk.desk import Desk
from web.desk.visits import Visit

_log = logging.getLogger(__name__)
_NAMED = re.compile(r"\{(\w+)\}")
_ISSUES = 20  # of which the drafts are made ready


class WarmUp(Background):
    """It ends by itself, or when the process does."""

    def __init__(self, desk: Desk) -> None:
        super().__init__("warm-up")
        self._desk = desk

    def run(self) -> None:
        """See the module."""
        try:
            self._desk_made_ready()
        except MilepostError as error:  # the pages say it to whoever asks for them
            _log.info("the desk is not made ready: %s", error)
        # Modules, templates and statements stay as long as the process: without them a full collection, which stops
        # every request, looks at a tenth of what it did (https://docs.python.org/3.11/library/gc.html#gc.freeze).
        gc.collect()
        gc.freeze()

    def _desk_made_ready(self) -> None:
        if not self._desk.accounts.any():
            return
        for _ in self._desk.looks.compile():
            if self._over.is_set():
                return
        self._desk.standing.at(self._desk.now())
        for _ in self._pages_made():
            if self._over.is_set():
                return

    def _pages_made(self) -> Iterator[str]:
        """Make each page that an admin could open, one after the other, for nobody; yields its address.

        Where an address names one of many it is the first; of issues all that wait, and the last one that does not.
        What isn't there is the page that says so.
        """
        desk, now = self._desk, self._desk.now()
        admin = next((one for one in desk.accounts.list() if one.role == "admin"), None)
        if admin is None:
            return
        session = Session(operator=admin, created_at=now, seen_at=now, expires_at=now)
        lately = edit.some_issues(desk.database, limit=_ISSUES)
        issues = [one.number for one in lately if one.state == "draft"]
        issues += [one.number for one in lately if one.state != "draft"][:1]
        for path, read in desk.pages:
            names = _NAMED.findall(path)
            for one in issues if path.startswith("/desk/issues/") else [1]:
                request = Request({
                    "type": "http", "method": "GET", "path": _NAMED.sub(str(one), path), "query_string": b"",
                    "headers": [], "path_params": dict.fromkeys(names, str(one)),
                })
                with contextlib.suppress(MilepostError, HTTPException):
                    read(Visit(desk=desk, request=request, session=session, token=""))
                yield request.url.path
