"""Issues: a draft beside its rendering, edited, approved; one that goes out, watched, slowed, stopped; its ledger.

    list ─▶ issue ─ draft ─▶ edit, test, approve (that hash and no other), discard
                  └ sealed ─▶ progress (SSE, or the page reloads) ─▶ throttle, stop, resume ─▶ who got it, who not, why
"""

import asyncio
import datetime as dt
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from milepost.errors import BusyError, InputError, StoreError
from milepost.records import DELIVERY_STATES, DeliveryState, Issue, LedgerCounts
from newsletter.issue.view import issue_link
from pipeline import edit, holds, ledger, publish
from pipeline.listings import Listings
from pipeline.operators.acts import latest
from pipeline.resolve import Outcome
from pipeline.subscribers import more_readers_than
from pipeline.throttle import throttled
from web.desk.desk import Desk, Section
from web.desk.looks import HEADERS
from web.desk.values import told
from web.desk.visits import Form, Visit

MOST_STREAMS = 50  # at once, in one process; whoever comes then sees a page that reloads
EVERY_S = 2.0
LONGEST_S = 600.0  # a browser that is still there asks again
WINDOW_S = 30.0  # over which the rate is taken
COUNTED_AT_ONCE = 5_000  # readers that are placed while the page is made; more are counted when somebody asks
GOING = ("frozen", "sending")
VIEWS: Mapping[str, str] = {"light": "Light", "dark": "Dark", "phone": "375 px", "text": "Text", "own": "As here"}
_OUTCOMES: tuple[Outcome, ...] = ("sent", "failed", "pending")


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How an issue goes out, at one moment."""

    issue: Issue
    counts: LedgerCounts
    pace: ledger.Pace
    throttle: float | None
    usual: float | None
    at_work: bool  # somebody has taken deliveries
    words: Sequence[tuple[str, int]]
    now: dt.datetime


NAMED = 200  # renderings that a page offers to choose from


class IssuePages:
    """Their routes."""

    section = Section("Issues", "/desk/issues")

    def __init__(self, desk: Desk) -> None:
        self._desk, self._streams = desk, 0
        self._lists = Listings(desk.database)
        self._foreseen = publish.LatelyForeseen(desk.settings, desk.database)
        self._findings = publish.Findings(desk.settings, desk.database)

    def routes(self) -> Sequence[Route]:
        """In the order they are tried."""
        desk, at = self._desk, "/desk/issues/{number}"
        return [
            desk.page("/desk/issues", self.all), desk.page(at, self.one), desk.page(f"{at}/edit", self.editing),
            desk.page(f"{at}/audience", self.audience),
            desk.page(f"{at}/ledger", self.ledger, role="editor"),  # addresses stand there, and what is settled
            desk.streamed(f"{at}/progress", self.progress),
            desk.act(f"{at}/edit", "issue.edit", self.edit), desk.act(f"{at}/approve", "issue.approve", self.approve),
            desk.act(f"{at}/stop", "issue.stop", self.stop), desk.act(f"{at}/resume", "issue.resume", self.resume),
            desk.act(f"{at}/send", "issue.send", self.send_now),
            desk.act(f"{at}/throttle", "issue.throttle", self.throttle),
            desk.act(f"{at}/discard", "issue.discard", self.discard), desk.act(f"{at}/test", "issue.test", self.test),
            desk.act(f"{at}/resolve", "delivery.resolve", self.resolve),
        ]

    # --- looking ------------------------------------------------------------------------------------------------------

    def all(self, visit: Visit) -> Response:
        """The latest first."""
        found = edit.some_issues(self._desk.database, limit=visit.limit + 1, before=visit.before)
        return visit.page(
            "issues.html.j2", title="Issues", issues=found[: visit.limit],
            further=f"before={found[visit.limit - 1].number}" if len(found) > visit.limit else "",
        )

    def one(self, visit: Visit) -> Response:
        """One, as its state has it."""
        number = visit.number("number")
        issue = edit.find(self._desk.database, number)
        if issue.state == "draft":
            return self._draft(visit, issue)
        return visit.page(
            "issue.html.j2", title=f"Issue {number}", issue=issue, progress=self._progress(issue, (), visit.now),
            live=issue.state in GOING, acts=latest(self._desk.database, about=f"issue {number}", limit=10),
            address=issue_link(self._desk.settings.web, number),
            **self._preview(visit, number),
        )

    def _draft(self, visit: Visit, issue: Issue) -> Response:
        desk = self._desk
        few = not more_readers_than(desk.database, COUNTED_AT_ONCE)
        return visit.page(
            "draft.html.j2", title=f"Issue {issue.number}", issue=issue,
            findings=self._findings.of(issue, now=visit.now),
            why=holds.waits_for(desk.settings, issue), alone=desk.decisions.why_not_alone(issue.number, visit.actor),
            undo=desk.settings.newsletter.undo_minutes,
            foreseen=publish.foreseen(desk.settings, desk.database, issue, now=visit.now) if few else None,
            acts=latest(desk.database, about=f"issue {issue.number}", limit=10), **self._preview(visit, issue.number),
        )

    def _preview(self, visit: Visit, number: int) -> dict[str, Any]:
        """What the preview of a page shows; of many renderings it names the first, and the one that was asked for."""
        desk, names = self._desk, edit.variant_names(self._desk.database, number)
        view, name = visit.asked("view", "light"), visit.asked("variant")
        chosen = name if name in names else names[0] if names else ""
        named = list(names[:NAMED]) if chosen in names[:NAMED] else [*names[:NAMED], chosen]
        return {
            "views": VIEWS, "view": view if view in VIEWS else "light", "names": named, "renderings": len(names),
            "shown": edit.variant(desk.settings, desk.database, number, chosen, now=visit.now),
        }

    def editing(self, visit: Visit) -> Response:
        """The form of a draft."""
        issue = edit.find(self._desk.database, visit.number("number"))
        return visit.page("edit.html.j2", title=f"Edit issue {issue.number}", issue=issue)

    def audience(self, visit: Visit) -> Response:
        """Who would get a draft that was sealed now: each reader is placed."""
        issue = edit.find(self._desk.database, visit.number("number"))
        found, at = self._foreseen.of(issue, now=visit.now)
        return visit.page(
            "audience.html.j2", title=f"Who gets issue {issue.number}", issue=issue, foreseen=found, counted_at=at)

    def ledger(self, visit: Visit) -> Response:
        """Who got it, who did not, and why."""
        desk, number = self._desk, visit.number("number")
        issue = edit.find(desk.database, number)
        state, reason = visit.asked("state"), visit.asked("reason")
        counts, found = ledger.ask(desk.database, number, address=visit.asked("address") or None)
        rows: Sequence[object] = [one.row for one in found]
        left: Sequence[ledger.LeftOut] = ()
        further = ""
        if state in DELIVERY_STATES:
            known: DeliveryState = next(one for one in DELIVERY_STATES if one == state)
            some = self._lists.deliveries(number, state=known, after=visit.place, limit=visit.limit)
            rows, further = some.rows, f"state={state}&from={some.after}" if some.after else ""
        elif reason or (visit.asked("out") and not found):
            out = ledger.left_out(desk.database, issue, reason=reason or None, after=visit.place, limit=visit.limit)
            left = out.rows
            further = f"{urlencode({'out': 1, 'reason': reason, 'from': out.after})}" if out.after else ""
        absent = None
        if visit.asked("address") and not rows:
            absent = ledger.absent(desk.database, number, visit.asked("address"))
        return visit.page(
            "ledger.html.j2", title=f"Who got issue {number}", issue=issue, counts=counts, rows=rows, left=left,
            further=further, equation=ledger.equation(counts), state=state, reason=reason, absent=absent,
            told=found, address=visit.asked("address"), outcomes=_OUTCOMES, shown=told,
        )

    # --- progress -----------------------------------------------------------------------------------------------------

    def _progress(self, issue: Issue, earlier: Sequence[tuple[dt.datetime, int]], now: dt.datetime) -> Progress:
        database, settings = self._desk.database, self._desk.settings
        counts, words = ledger.last_words(database, issue.number)
        return Progress(
            issue=issue, counts=counts, words=words, now=now,
            pace=ledger.pace(counts, earlier, begun=issue.handed_over_at, now=now),
            throttle=throttled(database, issue.number), usual=settings.mail.per_second,
            at_work=any(counts.states.get(state) for state in ("claimed", "sending")),
        )

    async def progress(self, visit: Visit) -> Response:
        """The part of an issue's page that changes, again and again (server-sent events, WHATWG HTML §9.2)."""
        number = visit.number("number")
        await run_in_threadpool(edit.find, self._desk.database, number)
        if self._streams >= MOST_STREAMS:
            raise BusyError("too many watch at this moment", hint="Reload the page now and then.")
        headers = HEADERS | {"X-Accel-Buffering": "no"}
        return StreamingResponse(self._parts(visit, number), media_type="text/event-stream", headers=headers)

    async def _parts(self, visit: Visit, number: int) -> AsyncIterator[str]:
        earlier: deque[tuple[dt.datetime, int]] = deque(maxlen=int(WINDOW_S / EVERY_S))
        ends, last = asyncio.get_running_loop().time() + LONGEST_S, ""
        self._streams += 1
        try:
            while asyncio.get_running_loop().time() < ends:
                try:
                    issue, part, done = await run_in_threadpool(self._part, visit, number, tuple(earlier))
                    watched = await run_in_threadpool(self._watched, visit)
                except StoreError:  # locked for a moment: what stands on the page stays
                    yield ": the database can't be read at this moment\n\n"
                else:
                    earlier.append((visit.now, done))
                    if issue.state != visit.asked("state") or not watched:
                        yield "event: over\ndata: \n\n"
                        return
                    yield _event(part) if part != last else ": the same\n\n"
                    last = part
                await asyncio.sleep(EVERY_S)
        finally:
            self._streams -= 1

    def _watched(self, visit: Visit) -> bool:
        """Whether whoever watches may still; that is no click of theirs."""
        return self._desk.sign_in.session(visit.token, clicked=False) is not None

    def _part(
        self, visit: Visit, number: int, earlier: Sequence[tuple[dt.datetime, int]]
    ) -> tuple[Issue, str, int]:
        issue = edit.find(self._desk.database, number)
        found = self._progress(issue, earlier, visit.now)
        return issue, self._desk.looks.part("progress.part.j2", visit=visit, progress=found), found.pace.done

    # --- deciding -----------------------------------------------------------------------------------------------------

    def edit(self, visit: Visit, form: Form) -> str:
        """Subject, preheader, introduction, order, and what is left out."""
        number = visit.number("number")
        keys = form.all("key")
        places = {key: _place(form.text(f"place-{at}"), at) for at, key in enumerate(keys)}
        out = [key for at, key in enumerate(keys) if form.text(f"out-{at}")]
        order = sorted((key for key in keys if key not in out), key=lambda key: places[key])
        self._desk.decisions.edit(
            number, by=visit.actor, replaces=form.text("content_hash"), subject=form.text("subject"),
            intro=form.text("intro"), preheader=form.text("preheader"), order=order, leave_out=out,
        )
        return _at(number)

    def approve(self, visit: Visit, form: Form) -> str:
        """Exactly the content that was looked at."""
        number = visit.number("number")
        self._desk.decisions.approve(
            number, content_hash=form.text("content_hash"), by=visit.actor, why=form.text("why"))
        return _at(number)

    def stop(self, visit: Visit, form: Form) -> str:
        """Before its first mail a draft again, later paused."""
        number = visit.number("number")
        self._desk.decisions.stop(number, by=visit.actor, why=form.text("why"))
        return _at(number)

    def resume(self, visit: Visit, form: Form) -> str:
        """Let it be sent again."""
        number = visit.number("number")
        self._desk.decisions.resume(number, by=visit.actor, why=form.text("why"))
        return _at(number)

    def send_now(self, visit: Visit, form: Form) -> str:
        """Give up the time for second thoughts."""
        number = visit.number("number")
        self._desk.decisions.send_now(number, by=visit.actor, why=form.text("why"))
        return _at(number)

    def throttle(self, visit: Visit, form: Form) -> str:
        """Slower, or as the settings have it."""
        number = visit.number("number")
        rate = None if form.text("off") else form.number("per_second")
        self._desk.decisions.throttle(number, rate, by=visit.actor)
        return _at(number)

    def discard(self, visit: Visit, form: Form) -> str:
        """Throw a draft away."""
        self._desk.decisions.discard(visit.number("number"), by=visit.actor, why=form.text("why"))
        return "/desk/issues"

    def test(self, visit: Visit, form: Form) -> str:
        """One mail to oneself."""
        number = visit.number("number")
        self._desk.decisions.test(number, form.text("address"), by=visit.actor)
        return _at(number)

    def resolve(self, visit: Visit, form: Form) -> str:
        """Settle what nobody knows the end of."""
        number, word = visit.number("number"), form.text("outcome")
        outcome = next((one for one in _OUTCOMES if one == word), None)
        if outcome is None:
            raise InputError("say what became of it", hint="sent, failed, or pending: sent again.")
        self._desk.decisions.resolve(number, form.text("address"), outcome, by=visit.actor, why=form.text("why"))
        return f"{_at(number)}/ledger?state=unknown"


def _at(number: int) -> str:
    return f"/desk/issues/{number}"


def _place(text: str, at: int) -> float:
    """Where an item is to stand; what is no number leaves it where it is."""
    if not (text.isascii() and text.isdigit() and len(text) < 6) or int(text) == at + 1:
        return at + 1.0
    return int(text) - 0.5  # before whoever stands there


def _event(part: str) -> str:
    lines = "".join(f"data: {line}\n" for line in part.splitlines())
    return f"event: part\n{lines}\n"
