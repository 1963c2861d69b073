"""What waits for somebody, first of all pages: held looks, questions, drafts, issues that stand still, what is wrong.

    held looks ─▶ what they keep back: old → new, where each was read ─▶ release, or refuse
    questions ─▶ the same, or new      drafts ─▶ look at it beside its rendering      paused, unknown ─▶ resume, settle
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import Route

from extractors.drift import rates_from_json
from milepost.records import ChangeKind, ConditionKind, Issue
from pipeline import edit, holds, ledger
from pipeline.listings import Listings
from pipeline.operate.conditions import Condition
from pipeline.operate.standing import SourceFigures, Standing
from web.desk.desk import Desk, Section
from web.desk.values import label, told
from web.desk.visits import Form, Visit

SHOWN = 3  # changes of a hold that stand on the first page
_FEW = 10  # holds on a page: each shows what it keeps back
# What has a part of its own on the page.
_IN_PARTS: frozenset[ConditionKind] = frozenset({
    "look-held", "rename-question", "waits-for-approval", "issue-paused", "unknown-hand-overs",
})


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A hold as it is shown."""

    look: holds.Look
    counts: Mapping[ChangeKind, int]  # of its changes, by kind
    changes: Sequence[holds.KeptBack]

    @property
    def more(self) -> int:
        """Changes that are not shown here."""
        return sum(self.counts.values()) - len(self.changes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stuck:
    """An issue that stands still until somebody does something."""

    issue: Issue
    unknown: int
    words: Sequence[tuple[str, int]]  # what the relay said last, and to how many


@dataclass(frozen=True, kw_only=True, slots=True)
class Degraded:
    """A source that is followed though its witnesses differ, or read less than they used to."""

    source: str
    says: Sequence[str]  # a sentence each, without its full stop
    since: dt.datetime  # when the first of the looks that say so without a break began, of those that are known


class WaitingPages:
    """Their routes."""

    section = Section("What waits", "/desk")

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lists = Listings(desk.database)

    def routes(self) -> Sequence[Route]:
        """In the order they are tried."""
        desk = self._desk
        return [
            desk.page("/desk", self.all), desk.page("/desk/holds/{look}", self.hold),
            desk.act("/desk/holds/{look}/release", "hold.release", self.release),
            desk.act("/desk/holds/{look}/refuse", "hold.refuse", self.refuse),
            desk.act("/desk/questions/{question}", "rename.resolve", self.answer),
        ]

    def all(self, visit: Visit) -> Response:
        """Everything, the oldest page of holds last."""
        database = self._desk.database
        part = self._lists.looks(waiting=True, after=visit.before, limit=_FEW)
        kept_back = holds.few_kept_back(database, [look.id for look in part.rows], limit=SHOWN)
        held = [Held(look=look, counts=counts, changes=changes)
                for look, (counts, changes) in zip(part.rows, kept_back, strict=True)]
        questions = holds.pending_renames(database)
        issues = edit.issues_in(database, ("draft", "paused", "needs_review"))
        settings, standing = self._desk.settings, self._desk.standing.at(visit.now)
        degraded = [] if standing.figures is None else find_degraded(standing.figures.sources)
        drafts = [(one, why) for one in issues if one.state == "draft" and (why := holds.waits_for(settings, one))]
        return visit.page(
            "waiting.html.j2", title="What waits for me", held=held, count=holds.count_held(database), told=told,
            further=f"before={part.after}" if part.after else "", questions=questions[:_FEW],
            questioned=len(questions), drafts=drafts,
            stuck=[self._stuck(one) for one in issues if one.state != "draft"], wrong=_wrong(standing),
            degraded=degraded,
            label=label, first=visit.before is None,
        )

    def hold(self, visit: Visit) -> Response:
        """One hold with all that it keeps back."""
        look = holds.look(self._desk.database, visit.number("look"))
        counts, changes = holds.kept_back(
            self._desk.database, look.id, limit=visit.limit + 1, before=visit.before)
        return visit.page(
            "hold.html.j2", title=f"Look {look.id} at {look.source}", look=look, counts=counts, told=told,
            changes=changes[: visit.limit], label=label,
            further=f"before={changes[visit.limit - 1].change}" if len(changes) > visit.limit else "",
        )

    def release(self, visit: Visit, form: Form) -> str:
        """Let its changes through."""
        self._desk.decisions.release(
            visit.number("look"), by=visit.actor, why=form.text("why"), once=bool(form.text("once")),
            refused=bool(form.text("refused")))
        return "/desk"

    def refuse(self, visit: Visit, form: Form) -> str:
        """Say that it was a fault."""
        self._desk.decisions.refuse(visit.number("look"), by=visit.actor, why=form.text("why"))
        return "/desk"

    def answer(self, visit: Visit, form: Form) -> str:
        """Say whether a milestone is an old one."""
        self._desk.decisions.answer(
            visit.number("question"), same=form.text("same") == "yes", by=visit.actor, why=form.text("why"))
        return "/desk"

    def _stuck(self, issue: Issue) -> Stuck:
        counts, words = ledger.last_words(self._desk.database, issue.number)
        return Stuck(issue=issue, unknown=counts.states.get("unknown", 0), words=words)


def find_degraded(sources: Sequence[SourceFigures]) -> list[Degraded]:
    """Those whose last look that read their pages says so: a look that failed read nothing, and doesn't count. Pure."""
    found = []
    for source in sources:
        read = [look for look in source.ended if look.state in ("complete", "incomplete")]
        said = [_says(look) for look in read]
        if said and said[0]:
            since = next((at for at, says in enumerate(said) if not says), len(said)) - 1
            found.append(Degraded(source=source.key, says=said[0], since=read[since].started_at))
    return found


def _says(look: holds.Look) -> Sequence[str]:
    """What of a look says that the source is degraded. Pure."""
    if look.as_refused is not None:
        what = "nothing new of it is taken" if look.state == "incomplete" else "what is gone from it stays on record"
        return (*look.degraded, f"{what}: it is as look {look.as_refused} found it, which was refused")
    unread = 0 if look.reading is None else rates_from_json(look.reading).unread
    if not unread:
        return look.degraded
    what = "one entry looks like a milestone and" if unread == 1 else f"{unread:,} entries look like milestones and"
    return (*look.degraded, f"{what} could not be read")


def _wrong(standing: Standing) -> Sequence[Condition]:
    """What is wrong and is told nowhere else on the page. Pure."""
    return [one for one in standing.conditions if one.kind not in _IN_PARTS]
