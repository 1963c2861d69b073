"""An address tried at the desk: how it would read, and the settings that read it so; nothing is stored.

    address ─▶ one at a time, within TRIED_S ─▶ pipeline.new_source.try_address (the crawler's own guard) ─▶ its table
"""

import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.routing import Route

from milepost.errors import BusyError, FetchError, InputError, MilepostError
from milepost.settings import Settings
from pipeline.new_source import Trial, otherwise, settings_block, try_address
from pipeline.operators.acts import kept
from web.desk.desk import Desk, Section
from web.desk.values import label, told
from web.desk.visits import Form, Visit
from web.refusals import Statuses, status_of
from web.writing import Writers

TRIED_S = 45.0  # for all that is asked; a proxy before us waits a minute
_OWN: Statuses = ((InputError, 422), (FetchError, 422))  # theirs to mend: what they gave can't be had
_LONGEST = 2000  # characters of an address


class TrialPages:
    """Their routes."""

    section: Section | None = None

    def __init__(self, desk: Desk) -> None:
        self._desk, self._one = desk, threading.Lock()
        self._threads = Writers(threads=4)  # of its own: whoever waits for a site keeps no writer of the desk

    def routes(self) -> Sequence[Route]:
        """In the order they are tried."""
        return [
            self._desk.page("/desk/new-source", self.form, role="editor"),
            self._desk.shown("/desk/new-source", "source.try", self.tried, threads=self._threads),
        ]

    def form(self, visit: Visit) -> Response:
        """Where an address is given."""
        return self._page(visit, "")

    def tried(self, visit: Visit, form: Form) -> Response:
        """The same, with what came of it."""
        url = form.text("url")[:_LONGEST]
        try:
            trial = self._try(visit, url)
        except MilepostError as error:
            return self._page(visit, url, problem=error, status=status_of(error, _OWN, 422))
        return self._page(visit, url, trial=trial)

    def _try(self, visit: Visit, url: str) -> Trial:
        desk, host = self._desk, urlsplit(url).hostname if "://" in url else None
        if not host:
            raise InputError("is no address", where=url[:80] or "the address", hint="Begin it with https://.")
        if not self._one.acquire(blocking=False):
            raise BusyError("an address is being tried at this moment", hint="Try again when that is done.")
        try:
            return kept(
                desk.database, visit.actor, "source.try", f"site {host}",
                lambda: try_address(
                    url, now=desk.now, fetch=desk.settings.fetch, guards=desk.settings.guards, within=TRIED_S,
                    allow_hosts=private_hosts(desk.settings, url), render=desk.settings.render,
                ),
                says=lambda trial: f"{host} is {trial.best.what}" if trial.best else f"{host} can't be followed so",
                now=desk.now,
            )
        finally:
            self._one.release()

    def _page(
        self, visit: Visit, url: str, *, trial: Trial | None = None, problem: MilepostError | None = None,
        status: int = 200,
    ) -> Response:
        best = None if trial is None else trial.best
        return visit.page(
            "new_source.html.j2", title="Try an address", url=url, trial=trial, best=best, problem=problem,
            block=settings_block(best.source) if best else "", told=told, label=label, otherwise=otherwise,
            status=status, within=TRIED_S,
        )


def private_hosts(settings: Settings, url: str) -> tuple[str, ...]:
    """The private host of an address, where the settings follow a source at that very host and port already. Pure."""
    asked = urlsplit(url)
    for source in settings.sources:
        places = {urlsplit(one).netloc for one in (source.base_url, source.fetch_from) if one}
        if asked.hostname and asked.hostname in source.allow_hosts and asked.netloc in places:
            return (asked.hostname,)
    return ()
