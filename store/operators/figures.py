"""How everything stands, in figures: a few small queries, for a screen, a gauge and an alarm; never an address.

    looks ─ issues and their ledgers ─ letters ─ readers ─ what came back ─▶ Figures
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from milepost.records import Cadence, Freezing, IssueState
from store.archive import lost_entries, source_feeds
from store.archive.source_feeds import SourceFeeds
from store.clock import due
from store.dialects import one_of
from store.engine import Database
from store.issues.issues import FREEZING, freezing_of
from store.ledger.letters import LONGEST_WAIT
from store.ledger.transitions import ENDED, in_state
from store.meta import REFUSED, RESTORED_FROM
from store.milestones.looks import Look, look_of
from store.schema.tables import (
    bounce,
    delivery,
    issue,
    letter,
    look,
    meta,
    milestone,
    page,
    sign_up_count,
    snapshot,
    subscriber,
)

OPEN: tuple[IssueState, ...] = ("draft", "frozen", "sending", "paused", "needs_review")
_OVER: tuple[IssueState, ...] = ("complete", "needs_review")
LATEST = 3  # issues whose bounces and complaints are counted
# One that ended at an unchanged poll page is complete without a listing: it says nothing of the other pages.
_HAD_PAGES = sa.or_(look.c.state == "incomplete", sa.and_(look.c.state == "complete", look.c.listed.is_not(None)))


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFigures:
    """One configured source."""

    key: str
    ended: tuple[Look, ...]  # its last looks that ended, the latest first
    running_since: dt.datetime | None
    baseline: bool
    feeds: SourceFeeds | None = None  # as the last look left them
    asked: tuple[Look, ...] = ()  # its last looks that had pages of it, the latest first
    lost_entries: Mapping[str, int] = field(default_factory=dict)  # page of a list → how many left it, none came since


@dataclass(frozen=True, kw_only=True, slots=True)
class IssueFigures:
    """One issue that is not over, or one of the latest that were sent."""

    number: int
    cadence: Cadence
    state: IssueState
    created_at: dt.datetime
    frozen_at: dt.datetime | None
    send_after: dt.datetime | None
    states: Mapping[str, int]  # deliveries by state
    moved_at: dt.datetime | None  # when one of them last changed
    next_due: dt.datetime | None  # when the next one that was put off is tried again
    bounced: int  # deliveries that came back for good
    complained: int
    freezing: Freezing | None = None  # of a draft: how many of its readers are placed


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """All of it, at one moment."""

    sources: tuple[SourceFigures, ...]
    issues: tuple[IssueFigures, ...]  # the latest first
    unknown: Mapping[int, int]  # issue → hand-overs of which nobody knows the end
    looks: Mapping[str, int]  # by state
    milestones: Mapping[str, int]  # by state
    pages: int
    snapshots: int
    letters: Mapping[str, int]  # by state
    letter_since: dt.datetime | None  # since when the oldest letter that is due waits
    subscribers: Mapping[str, int]  # by state
    sign_ups: Mapping[str, int]  # of a day, by what became of them
    bounces: Mapping[str, int]  # reports by grade
    refused: Mapping[str, int]  # provider → reports in its name that it had not signed, ever
    restored_from: str | None


def read(
    database: Database, sources: Sequence[str], *, looks: int, now: dt.datetime, asked: int = 0
) -> Figures:
    """The figures; `looks` is how many of each source's last looks are told, `asked` how many of those that had pages
    of it. Raises StoreError."""
    with database.connect() as connection:
        return Figures(
            sources=tuple(_source(connection, key, looks, asked) for key in sources),
            issues=_issues(connection),
            unknown=_unknown(connection),
            looks=_counts(connection, look.c.state), milestones=_counts(connection, milestone.c.state),
            pages=_count(connection, page), snapshots=_count(connection, snapshot),
            letters=_counts(connection, letter.c.state),
            letter_since=connection.execute(
                sa.select(sa.func.min(letter.c.queued_at))
                .where(letter.c.state == "queued", due(letter.c.next_attempt_at, now, LONGEST_WAIT))
            ).scalar(),
            subscribers=_counts(connection, subscriber.c.state),
            sign_ups={
                row[0]: int(row[1]) for row in connection.execute(
                    sa.select(sign_up_count.c.what, sa.func.sum(sign_up_count.c.count))
                    .where(sign_up_count.c.hour >= now - dt.timedelta(days=1)).group_by(sign_up_count.c.what)
                )
            },
            bounces=_counts(connection, bounce.c.grade),
            refused={
                row.key.removeprefix(REFUSED): int(row.value)
                for row in connection.execute(sa.select(meta).where(meta.c.key.startswith(REFUSED, autoescape=True)))
            },
            restored_from=connection.execute(sa.select(meta.c.value).where(meta.c.key == RESTORED_FROM)).scalar(),
        )


def sources(database: Database, keys: Sequence[str], *, looks: int) -> tuple[SourceFigures, ...]:
    """The figures of these sources alone; `looks` as in `read`. Raises StoreError."""
    with database.connect() as connection:
        return tuple(_source(connection, key, looks) for key in keys)


def last_looks(database: Database) -> Mapping[str, dt.datetime]:
    """Source → when a look at it last ended; raises StoreError."""
    query = sa.select(look.c.source, sa.func.max(look.c.finished_at)).where(look.c.finished_at.is_not(None))
    with database.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(query.group_by(look.c.source))}


def _source(connection: sa.Connection, key: str, looks: int, asked: int = 0) -> SourceFigures:
    of_it = look.c.source == key
    ended = connection.execute(
        sa.select(look).where(of_it, look.c.state != "running").order_by(look.c.id.desc()).limit(looks)
    ).mappings()
    return SourceFigures(
        key=key, ended=tuple(look_of(row) for row in ended),
        running_since=connection.execute(
            sa.select(sa.func.max(look.c.started_at)).where(of_it, look.c.state == "running")
        ).scalar(),
        baseline=connection.execute(
            sa.select(look.c.id).where(
                of_it, look.c.state == "complete", look.c.milestones > 0,
                sa.not_(sa.and_(look.c.baseline, look.c.refused_at.is_not(None))),
            ).limit(1)
        ).first() is not None,
        feeds=source_feeds.of(connection, key),
        asked=() if not asked else tuple(look_of(row) for row in connection.execute(
            sa.select(look).where(of_it, _HAD_PAGES).order_by(look.c.id.desc()).limit(asked)
        ).mappings()),
        lost_entries={page: len(keys) for page, keys in lost_entries.of(connection, key).items()},
    )


def _issues(connection: sa.Connection) -> tuple[IssueFigures, ...]:
    names = ("number", "cadence", "state", "created_at", "frozen_at", "send_after")
    more = ("deliveries", "finished_at", *FREEZING)
    sent = (
        sa.select(issue.c.number).where(issue.c.state.in_(("sending", "complete", "needs_review")))
        .order_by(issue.c.number.desc()).limit(LATEST)
    )
    latest = set(connection.execute(sent).scalars())
    rows = connection.execute(
        sa.select(*(issue.c[name] for name in (*names, *more)))
        .where(sa.or_(issue.c.state.in_(OPEN), issue.c.number.in_(latest))).order_by(issue.c.number.desc())
    ).mappings().all()
    numbers = [row["number"] for row in rows if row["frozen_at"] is not None]
    over = {row["number"]: row for row in rows if row["state"] in _OVER and row["finished_at"] is not None}
    states, moved = _of_those_over(connection, over)
    due: dict[int, dt.datetime] = {}
    for found in connection.execute(
        sa.select(
            delivery.c.issue, delivery.c.state, sa.func.count(), sa.func.max(delivery.c.updated_at).label("moved"),
            sa.func.min(delivery.c.next_attempt_at).label("due"),
        ).where(one_of(delivery.c.issue, [number for number in numbers if number not in over]))
        .group_by(delivery.c.issue, delivery.c.state)
    ):
        states.setdefault(found.issue, {})[found.state] = found[2]
        moved[found.issue] = max(moved.get(found.issue, found.moved), found.moved)
        if found.state == "deferred" and found.due is not None:
            due[found.issue] = found.due
    came_back = _came_back(connection, numbers)
    return tuple(
        IssueFigures(
            **{name: row[name] for name in names}, states=states.get(row["number"], {}),
            freezing=freezing_of(row),
            moved_at=moved.get(row["number"]),
            next_due=due.get(row["number"]), bounced=came_back.get((row["number"], "hard"), 0),
            complained=came_back.get((row["number"], "complaint"), 0),
        )
        for row in rows
    )


def _of_those_over(
    connection: sa.Connection, over: Mapping[int, sa.RowMapping]
) -> tuple[dict[int, dict[str, int]], dict[int, dt.datetime]]:
    """Deliveries by state of issues of which nothing is on its way, and when each ended.

    Those that were sent are the rest of what there is: a ledger's equation is proven by `Ledger.counts` and `db check`,
    a figure need not look through every mail that ever went out.
    """
    states: dict[int, dict[str, int]] = {number: {} for number in over}
    for which in (in_state(*ENDED), in_state("unknown")):  # each has an index of its own
        query = sa.select(delivery.c.issue, delivery.c.state, sa.func.count()).where(
            one_of(delivery.c.issue, over), which
        )
        for found in connection.execute(query.group_by(delivery.c.issue, delivery.c.state)):
            states[found[0]][found[1]] = found[2]
    for number, row in over.items():
        if sent := (row["deliveries"] or 0) - sum(states[number].values()):
            states[number]["sent"] = sent
    return states, {number: row["finished_at"] for number, row in over.items()}


def _came_back(connection: sa.Connection, numbers: Sequence[int]) -> Mapping[tuple[int, str], int]:
    """(issue, grade) → deliveries that such a report was about."""
    query = (
        sa.select(delivery.c.issue, bounce.c.grade, sa.func.count(sa.distinct(delivery.c.id)))
        .join_from(bounce, delivery, delivery.c.id == bounce.c.delivery_id)
        # The issue by no index: reports are few, and deliveries many.
        .where(bounce.c.grade.in_(("hard", "complaint")), one_of(delivery.c.issue + 0, numbers))
        .group_by(delivery.c.issue, bounce.c.grade)
    )
    return {(row[0], row[1]): row[2] for row in connection.execute(query)}


def _unknown(connection: sa.Connection) -> Mapping[int, int]:
    """They have an index of their own."""
    query = sa.select(delivery.c.issue, sa.func.count()).where(in_state("unknown")).group_by(delivery.c.issue)
    return {row[0]: row[1] for row in connection.execute(query.order_by(delivery.c.issue))}


def _counts(connection: sa.Connection, column: sa.Column[str]) -> Mapping[str, int]:
    query = sa.select(column, sa.func.count()).group_by(column).order_by(column)
    return {row[0]: row[1] for row in connection.execute(query)}


def _count(connection: sa.Connection, table: sa.Table) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
