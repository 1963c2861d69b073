"""What else a reader does on their own page: pause, another address, all that is kept, and to be forgotten.

    POST /u/{token}/pause, …/resume, …/address ─▶ the page, with what was done
    POST /u/{token}/data ─▶ a JSON file        GET /u/{token}/erase ─▶ one question, POST ─▶ forgotten
    GET /a/{name}, /a/{name}/undo ─▶ one button, POST ─▶ the new address, the old one again

GET and HEAD change nothing: mail scanners follow every link.
"""

import datetime as dt
import json
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from milepost.errors import ConflictError, InputError
from pipeline.own_page import Reader, until_day
from web.pages import Pages
from web.ports import OwnPage
from web.public.forms import first_of, host_of, read_form
from web.public.preferences import Preferences, Said
from web.public.readers import Readers
from web.writing import Writers

_Act = Callable[[Reader], "Said | Response"]


class OwnPages:
    """Its routes."""

    def __init__(
        self, pages: Pages, own_page: OwnPage, choosing: Preferences, *, readers: Readers, writers: Writers,
        now: Callable[[], dt.datetime], wake: Callable[[], None],
    ) -> None:
        """`choosing`: the page that these acts stand on; `wake`: there is a letter to send."""
        self._pages, self._own_page, self._choosing = pages, own_page, choosing
        self._readers, self._writers, self._now, self._wake = readers, writers, now, wake

    def routes(self) -> list[Route]:
        acts = {"pause": self._pause, "resume": self._resume, "address": self._address, "data": self._data}
        return [
            *(Route(f"/u/{{token}}/{name}", act, methods=["POST"]) for name, act in acts.items()),
            *(Route(f"/u/{{token}}/{name}", self._choosing.show, methods=["GET"]) for name in acts),
            Route("/u/{token}/erase", self._erasing, methods=["GET"]),
            Route("/u/{token}/erase", self._erase, methods=["POST"]),
            Route("/a/{name}", self._moving, methods=["GET"]),
            Route("/a/{name}", self._move, methods=["POST"]),
            Route("/a/{name}/undo", self._undoing, methods=["GET"]),
            Route("/a/{name}/undo", self._undo, methods=["POST"]),
        ]

    # --- behind the reader's own link -------------------------------------------------------------------------------

    async def _pause(self, request: Request) -> Response:
        form = await read_form(request)
        chosen, day = first_of(form, "until"), first_of(form, "day")

        def pause(reader: Reader) -> Said:
            try:
                until = until_day(day if chosen == "date" else chosen, self._own_page.day_of(self._now()))
                self._own_page.pause(
                    reader.subscriber.id, until, skips=first_of(form, "then") == "skip", now=self._now()
                )
            except InputError:
                return Said(wrong="pause", typed=day[:20])
            return Said()

        return await self._do(request, pause)

    async def _resume(self, request: Request) -> Response:
        def resume(reader: Reader) -> Said:
            self._own_page.resume(reader.subscriber.id, self._now())
            return Said(saved="resumed")

        return await self._do(request, resume)

    async def _address(self, request: Request) -> Response:
        form = await read_form(request)
        typed = first_of(form, "email")

        def ask(reader: Reader) -> "Said | Response":
            who, pages = reader.subscriber, self._pages.spoken(reader.subscriber.language)
            try:
                self._own_page.ask_move(
                    who.id, typed, language=pages.phrases.locale, now=self._now(),
                    host=host_of(request),
                )
            except InputError:
                return Said(wrong="address", typed=typed[:320])
            except ConflictError:
                return Said(wrong="same", typed=typed[:320])
            self._wake()
            return pages.page("move_asked.html.j2", private=True, own=self._own(request))

        return await self._do(request, ask)

    async def _data(self, request: Request) -> Response:
        def download(reader: Reader) -> Response:
            held = self._own_page.kept(reader.subscriber.id, self._now())
            day = self._own_page.day_of(self._now())
            return Response(
                json.dumps(held, ensure_ascii=False, indent=2) + "\n", media_type="application/json",
                headers={
                    "Content-Disposition": f'attachment; filename="milepost-{day.isoformat()}.json"',
                    "Cache-Control": "no-store", "X-Robots-Tag": "noindex, nofollow",
                    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
                },
            )

        return await self._do(request, download, whoever=True)

    def _erasing(self, request: Request) -> Response:
        def ask(reader: Reader) -> Response:
            return self._pages.spoken(reader.subscriber.language).page(
                "erase.html.j2", private=True, own=self._own(request)
            )

        return self._choosing.acted(request, ask, whoever=True)

    async def _erase(self, request: Request) -> Response:
        def erase(reader: Reader) -> Response:
            self._own_page.erase(reader.subscriber.id, self._now())
            return self._pages.spoken(reader.subscriber.language).page("erased.html.j2", private=True)

        return await self._do(request, erase, whoever=True)

    async def _do(self, request: Request, act: _Act, *, whoever: bool = False) -> Response:
        return await self._writers.run(partial(self._choosing.acted, request, act, whoever=whoever))

    def _own(self, request: Request) -> str:
        return f"/u/{request.path_params['token']}"

    # --- behind the links of the letters ----------------------------------------------------------------------------

    def _moving(self, request: Request) -> Response:
        found = self._own_page.find_move(_name(request), self._now())
        if found is None:
            return self._nowhere(request)
        return self._pages.spoken(found.language).page("move.html.j2", private=True, address=found.new_address)

    async def _move(self, request: Request) -> Response:
        name = _name(request)
        found = await run_in_threadpool(self._own_page.find_move, name, self._now())
        ended = await self._writers.run(partial(self._own_page.move, name, self._now()))
        return await run_in_threadpool(self._ended, request, "moved", ended, found)

    def _undoing(self, request: Request) -> Response:
        found = self._own_page.find_undo(_name(request), self._now())
        if found is None:
            return self._nowhere(request)
        return self._pages.spoken(found.language).page("move_undo.html.j2", private=True, address=found.old_address)

    async def _undo(self, request: Request) -> Response:
        name = _name(request)
        found = await run_in_threadpool(self._own_page.find_undo, name, self._now())
        ended = await self._writers.run(partial(self._own_page.undo_move, name, self._now()))
        return await run_in_threadpool(self._ended, request, "undone", ended, found)

    def _ended(self, request: Request, wanted: Literal["moved", "undone"], ended: str, found: Any) -> Response:
        """`found`: the change as it waited before; None where it was settled already."""
        if ended not in (wanted, "again"):
            return self._nowhere(request)
        self._wake()
        template = "move_done.html.j2" if wanted == "moved" else "move_undone.html.j2"
        pages = self._pages.for_visitor(request) if found is None else self._pages.spoken(found.language)
        address = "" if found is None else found.new_address if wanted == "moved" else found.old_address
        return pages.page(template, private=True, address=address)

    def _nowhere(self, request: Request) -> Response:
        return self._pages.for_visitor(request).page("link_unknown.html.j2", status=404, private=True)


def _name(request: Request) -> str:
    """The name in a link; "" for what can be none, which no database has to be asked about."""
    name: str = request.path_params["name"]
    return name if name.isascii() and len(name) <= 32 and name.isprintable() else ""
