"""The way in: a form, a mail, and a page whose button makes a reader of whoever pressed it.

    GET /subscribe ─▶ a form with a signed time     POST ─▶ "look into your inbox", whoever it is
    GET /subscribe/challenge ─▶ what a browser has to calculate first, where web.proof_of_work asks for it
    GET /c/{name} ─▶ what was chosen, one button    POST ─▶ a reader      (GET and HEAD change nothing)

All of it in the language that the form was read in: the one they took there (?lang=), else the browser's.
"""

import asyncio
import dataclasses
import datetime as dt
import hmac
from collections.abc import Callable, Sequence
from email.utils import parseaddr
from functools import partial
from typing import Any, Literal

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from delivery.message.tokens import base32, keyed_hash
from milepost.errors import InputError
from milepost.records import Cadence, KnownTopics
from milepost.settings import Settings
from newsletter.issue.view import PREFERENCES
from newsletter.letters import about
from newsletter.words.languages import known
from newsletter.words.phrases import Phrases
from pipeline.sign_up import Asked, Confirmed, Doubt, Proof, SignUp, Turned
from web.pages import About, Pages, described
from web.ports import SigningUp, Topics
from web.public.forms import first_of, host_of, read_form
from web.public.preferences import choice
from web.public.proof_of_work import FIELD, LASTS, PATH, ProofOfWork
from web.public.readers import Readers, sentence
from web.public.subscribe_api import cors
from web.writing import Writers

TRAP = "website"  # a field that no reader sees
LANGUAGE = "lang"  # the tag of the language that they took, in the address of the form; in the form, of the page's
TAKEN = "took"  # a field of the form where it was taken
FASTEST_S, OLDEST_S = 1.0, 24 * 3600.0  # between the page and its form: a program's, a forgotten one's
_STAMP = b"milepost sign-up form 1\0"
DNS_SECONDS = 2.0  # for a word on the domain of an address
_MAC_BYTES = 10
_MOST_TOPICS = 100


def stamp(key: str | bytes, now: dt.datetime) -> str:
    """When a form was shown, unforgeable: milliseconds since 1970 and their keyed hash."""
    shown = str(int(now.timestamp() * 1000))
    return f"{shown}-{base32(keyed_hash(key, _STAMP, shown)[:_MAC_BYTES])}"


def stamped(key: str | bytes, said: str, now: dt.datetime) -> Turned | Literal["good", "none"]:
    """What the stamp of a form says; "none": it has none of ours. Pure."""
    shown, _, mac = said.partition("-")
    if not (shown.isascii() and shown.isdecimal() and len(shown) < 16 and mac.isascii()):
        return "none"
    if not hmac.compare_digest(mac, base32(keyed_hash(key, _STAMP, shown)[:_MAC_BYTES])):
        return "none"
    age = now.timestamp() - int(shown) / 1000
    if age < FASTEST_S:
        return "too_fast"
    return "too_old" if age > OLDEST_S else "good"


class Subscribe:
    """Its routes."""

    def __init__(
        self, pages: Pages, signing_up: SigningUp, topics: Topics, *, readers: Readers, writers: Writers,
        settings: Settings, key: str | bytes, now: Callable[[], dt.datetime], wake: Callable[[], None],
        latest: Callable[[], int | None], proofs: ProofOfWork,
    ) -> None:
        """`wake`: there is a letter to send; `latest`: the number of the last issue."""
        self._proofs = proofs
        self._proving = settings.web.proof_of_work != "off"
        self._contact = parseaddr(settings.mail.reply_to or settings.mail.sender)[1]
        self._pages, self._signing_up, self._topics = pages, signing_up, topics
        self._readers, self._writers, self._settings = readers, writers, settings
        self._key, self._now, self._wake, self._latest = key, now, wake, latest
        self._cadences: Sequence[Cadence] = settings.newsletter.cadences

    def routes(self) -> list[Route]:
        asking = Route(PATH, self._challenge, methods=["GET"], middleware=[cors(self._settings.web, "GET")])
        return [
            *([asking] if self._proving else []),
            Route("/subscribe", self._show, methods=["GET"]),
            Route("/subscribe", self._ask, methods=["POST"]),
            Route("/c", self._unknown, methods=["GET"]),
            Route("/c/{name:path}", self._confirming, methods=["GET"]),
            Route("/c/{name:path}", self._confirm, methods=["POST"]),
        ]

    def _show(self, request: Request) -> Response:
        taken = request.query_params.get(LANGUAGE)
        spoken = self._spoken(request, taken)
        if not self._settings.web.signup:
            return self._closed(spoken)
        return self._form(spoken=spoken, taken=known(taken) is not None)

    def _spoken(self, request: Request, taken: str | None) -> Pages:
        """`taken`: the tag of a language, by a link or by the form it led to; any other text is none."""
        tag = known(taken)
        return self._pages.for_visitor(request) if tag is None else self._pages.spoken(tag)

    def _challenge(self, _: Request) -> Response:
        return JSONResponse(self._proofs.challenge(self._now()), headers={
            "Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        })

    async def _ask(self, request: Request) -> Response:
        form = await read_form(request)
        first = partial(first_of, form)
        spoken = self._spoken(request, first(LANGUAGE))
        if not self._settings.web.signup:
            return await run_in_threadpool(self._closed, spoken)
        if first(TRAP):
            return await self._turned(spoken, "trap")
        said = stamped(self._key, first("shown"), self._now())
        if said in ("too_fast", "too_old"):
            return await self._turned(spoken, said)
        offered = await run_in_threadpool(self._topics.known)
        wanted, topics = first("cadence") or self._cadences[0], form.get("topic", [])[:_MOST_TOPICS]
        cadence = next((one for one in self._cadences if one == wanted), None)
        if cadence is None or not {*topics} <= {*offered.categories, *offered.tags}:
            raise HTTPException(400)
        asked = Asked(
            address=first("instead") or first("email"), cadence=cadence, topics=tuple(topics),
            source=first("source") or "page", path=first("path") or None, own_form=True, host=host_of(request),
            language=spoken.phrases.locale, language_taken=bool(first(TAKEN)),
        )
        if said == "none":  # another site's form, or a page that was kept too well: the choice is made here
            return await run_in_threadpool(self._form, asked=asked, hint=spoken.phrases.form_stale)
        if self._proving:
            proof = self._proofs.check(first(FIELD), self._now())
            if not isinstance(proof, Proof):  # a browser that failed is no reason to lose somebody in silence
                await self._writers.run(partial(self._signing_up.turn_away, proof, self._now()))
                return await run_in_threadpool(self._form, status=400, asked=asked, unproved=True, shown=first("shown"))
            asked = dataclasses.replace(asked, proof=proof)
        try:
            doubt = None if first("sure") else await self._doubt(asked.address)
            if doubt is not None:
                return await run_in_threadpool(self._form, asked=asked, doubt=doubt, shown=first("shown"))
            taken = await self._writers.run(partial(self._signing_up.ask, asked, self._now()))
        except InputError:
            return await run_in_threadpool(self._form, status=400, asked=asked, wrong=True, shown=first("shown"))
        if not taken:
            return await run_in_threadpool(self._form, status=400, asked=asked, unproved=True, shown=first("shown"))
        self._wake()
        return await run_in_threadpool(self._done, spoken)

    async def _doubt(self, address: str) -> Doubt | None:
        """None too where the DNS takes longer than anybody waits for a form; the question goes on in its thread."""
        asked = asyncio.ensure_future(run_in_threadpool(self._signing_up.doubt, address))
        done, _ = await asyncio.wait([asked], timeout=DNS_SECONDS)
        if not done:
            asked.add_done_callback(lambda late: late.cancelled() or late.exception())
        return asked.result() if done else None

    def _confirming(self, request: Request) -> Response:
        """GET and HEAD change nothing: mail scanners follow every link."""
        entry = self._signing_up.find(_name(request), self._now())
        if entry is None or entry.confirmed_at is not None:
            return self._unknown(request)
        spoken = self._pages.spoken(entry.language)
        return spoken.page("confirm.html.j2", private=True, said=_said(spoken.phrases, entry, self._topics.known()))

    async def _confirm(self, request: Request) -> Response:
        """Whatever the body says: who posts to this address has the mail, and pressed the button."""
        name = _name(request)
        done = await self._writers.run(partial(self._signing_up.confirm, name, host_of(request), self._now()))
        return await run_in_threadpool(self._welcome, request, name, done)

    def _welcome(self, request: Request, name: str, done: Confirmed) -> Response:
        entry = self._signing_up.find(name, self._now())
        if done.handle is None or entry is None:
            return self._unknown(request)
        self._wake()
        spoken = self._pages.spoken(entry.language)
        return spoken.page(
            "welcome.html.j2", private=True, latest=self._latest(),
            said=spoken.phrases.welcome_hint.format(
                name=self._settings.newsletter.name, rhythm=spoken.phrases.rhythms[entry.cadence],
                about=about(spoken.phrases, entry.topics, self._topics.known().labels),
            ),
            choice=f"{self._readers.path_of(done.handle)}{PREFERENCES}",
        )

    def _form(
        self, *, status: int = 200, asked: Asked | None = None, wrong: bool = False, hint: str = "", shown: str = "",
        doubt: Doubt | None = None, unproved: bool = False, spoken: Pages | None = None, taken: bool = False,
    ) -> Response:
        """`shown`: the stamp of the form that was sent, so that mending it is not too fast."""
        pages = spoken or self._pages.spoken(asked.language if asked else None)
        values: dict[str, Any] = choice(
            pages.phrases, self._topics.known(), cadences=self._cadences,
            cadence=(asked.cadence if asked else None) or self._cadences[0], topics=asked.topics if asked else (),
        )
        return pages.page(
            "subscribe.html.j2", status=status, private=True, wrong=wrong, hint=hint, trap=TRAP, doubt=doubt,
            languages=pages.languages(), language=pages.phrases.locale, took=asked.language_taken if asked else taken,
            unproved=unproved, contact=self._contact, script="proof_of_work.js.j2" if self._proving else None,
            proof={"path": PATH, "seconds": LASTS.total_seconds() - 60} if self._proving else None,
            described=self._about(pages), address=asked.address[:320] if asked else "",
            shown=shown or stamp(self._key, self._now()),
            source=(asked.source if asked else None) or "page", path=(asked.path if asked else None) or "", **values,
        )

    def _about(self, pages: Pages) -> About:
        """What a chat shows beside a link to the form."""
        letter, base = self._settings.newsletter, self._settings.web.base_url
        return About(
            title=pages.phrases.subscribe_to.format(name=letter.name), canonical=f"{base}/subscribe",
            description=described(letter.tagline, pages.phrases.subscribe_hint), card=f"{base}/cards/site.png",
        )

    async def _turned(self, spoken: Pages, why: Turned) -> Response:
        await self._writers.run(partial(self._signing_up.turn_away, why, self._now()))
        return await run_in_threadpool(self._done, spoken)

    def _done(self, spoken: Pages) -> Response:
        return spoken.page("asked.html.j2", private=True)

    def _closed(self, spoken: Pages) -> Response:
        return spoken.page("closed.html.j2", status=503, private=True)

    def _unknown(self, request: Request) -> Response:
        return self._pages.for_visitor(request).page("link_unknown.html.j2", status=404, private=True)


def _said(phrases: Phrases, entry: SignUp, known: KnownTopics) -> str:
    return sentence(phrases.confirm_hint.format(
        rhythm=phrases.rhythms[entry.cadence], about=about(phrases, entry.topics, known.labels)
    ))


def _name(request: Request) -> str:
    """The name in a link; "" for what can be none, which no database has to be asked about."""
    name: str = request.path_params["name"]
    return name if name.isascii() and len(name) <= 32 and name.isprintable() else ""
