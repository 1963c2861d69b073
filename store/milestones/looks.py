"""Looks at a source: when, how it went, whether it is the baseline, and whether its changes wait for an operator."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from milepost.errors import ConflictError, NotFoundError, UnderWayError
from milepost.renewal import LEASE_S
from store import holders
from store.dialects import insert, seconds
from store.engine import Database
from store.holders import Holder
from store.meta import Meta
from store.milestones.profiles import take_profile
from store.schema.tables import look, milestone_version, page, source

LookState = Literal["running", "complete", "incomplete", "failed"]

# An operator has to decide; the first two have an index of their own.
WAITING = sa.and_(look.c.held.is_not(None), look.c.released_at.is_(None), look.c.refused_at.is_(None))
_ASKED = "asked_in_full.{source}"
_DISALLOWED = "disallowed.{source}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """One look at one source."""

    id: int
    source: str
    started_at: dt.datetime
    finished_at: dt.datetime | None
    state: LookState
    baseline: bool  # True: what it found first is announced to nobody
    held: str | None  # the reason its changes wait, or waited, for an operator
    released_at: dt.datetime | None
    released_why: str | None
    requests: int
    fetched: int
    not_modified: int
    failed: int
    milestones: int  # known after it
    failures: tuple[str, ...]  # one sentence a page
    listed: int | None  # milestones that its listings named; None where they could not all be read
    guard: str | None  # which guard stopped it; without `held`, an earlier look waits for the same
    notes: tuple[str, ...] = ()  # what it saw and nobody has to decide
    degraded: tuple[str, ...] = ()  # a sentence for each field that witnesses dispute, and each silent setting
    reading: Mapping[str, Any] | None = None  # extractors.drift.Rates in its JSON form; None: too little was read
    settings: Mapping[str, Any] | None = None  # extractors.silent_settings.Counts, likewise; None: none was asked
    silent: tuple[str, ...] = ()  # of `degraded` those on settings that lead to nothing
    refused_at: dt.datetime | None = None  # an operator said that it was a fault: the record stays as it was
    refused_why: str | None = None
    as_refused: int | None = None  # the look that was refused and found the same; nothing new was taken

    @property
    def waiting(self) -> bool:
        """Held, and nobody has decided yet."""
        return self.held is not None and self.released_at is None and self.refused_at is None

    @property
    def refused(self) -> bool:
        """Refused, and that was not taken back."""
        return self.refused_at is not None and self.released_at is None


class Looks:
    """The looks of every source."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(
        self, source_key: str, now: dt.datetime, *, holder: Holder | None = None,
        started: holders.Started = holders.started,
    ) -> int:
        """Begin a look and return its id. It is a baseline look until the source has a baseline.

        `holder`: who looks, under a lease of LEASE_S to `renew`. Raises UnderWayError when a look of that source is
        under a lease that is not over, unless whoever holds it is proven dead; any other look that is still `running`
        is taken over: it becomes `failed` and can't write any more.
        """
        with self._database.begin() as connection:
            ensure_source(connection, source_key)
            connection.execute(sa.select(source.c.key).where(source.c.key == source_key).with_for_update())
            if holder is not None:
                _refuse_second(connection, source_key, holder, started)
            connection.execute(
                sa.update(look)
                .where(look.c.source == source_key, look.c.state == "running")
                .values(state="failed", finished_at=now, failures=["it died, or a later look took over"])
            )
            row = connection.execute(
                sa.insert(look)
                .values(
                    source=source_key, started_at=now, state="running",
                    baseline=not _has_baseline(connection, source_key), failures=[],
                    lease_holder=None if holder is None else str(holder),
                    lease_until=None if holder is None else seconds(connection.dialect.name) + LEASE_S,
                )
                .returning(look.c.id)
            )
            return int(row.scalar_one())

    def renew(self, look_id: int) -> bool:
        """Let the lease of a look run for LEASE_S from now; returns whether it was still running."""
        with self._database.begin() as connection:
            until = seconds(connection.dialect.name) + LEASE_S
            return self._lease(connection, look_id, until)

    def let_go(self, look_id: int) -> bool:
        """End the lease of a look that came to no end, so that nobody waits for it; returns whether it was running."""
        with self._database.begin() as connection:
            return self._lease(connection, look_id, sa.null())

    @staticmethod
    def _lease(connection: sa.Connection, look_id: int, until: sa.ColumnElement[Any]) -> bool:
        ours = sa.update(look).where(look.c.id == look_id, look.c.state == "running").values(lease_until=until)
        return connection.execute(ours).rowcount == 1

    def running(self, source_key: str) -> bool:
        """Whether a look of that source has begun and not ended: it is under way, or it died."""
        query = sa.select(look.c.id).where(look.c.source == source_key, look.c.state == "running").limit(1)
        with self._database.connect() as connection:
            return connection.execute(query).first() is not None

    def finish(
        self,
        look_id: int,
        *,
        state: Literal["complete", "incomplete", "failed"],
        now: dt.datetime,
        requests: int = 0,
        fetched: int = 0,
        not_modified: int = 0,
        failed: int = 0,
        milestones: int = 0,
        failures: Sequence[str] = (),
        held: str | None = None,
        listed: int | None = None,
        guard: str | None = None,
        notes: Sequence[str] = (),
        degraded: Sequence[str] = (),
        reading: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        silent: Sequence[str] = (),
        as_refused: int | None = None,
    ) -> Look:
        """End a running look with its numbers.

        `held` is the reason its changes wait, `guard` the name of the guard that stopped it; None leaves either as it
        is. `listed` is how many milestones its listings named, None when they could not all be read. `degraded`: of
        what witnesses dispute, `silent`: of settings that lead to nothing; both make the source degraded.
        Raises ConflictError when it is not running any more, NotFoundError when there is none.
        """
        values: dict[str, Any] = {
            "state": state, "finished_at": now, "requests": requests, "fetched": fetched, "not_modified": not_modified,
            "failed": failed, "milestones": milestones, "failures": list(failures), "listed": listed,
            "notes": list(notes), "degraded": [*degraded, *silent], "reading": reading, "settings": settings,
            "silent": list(silent), "as_refused": as_refused,
        }
        values |= {name: value for name, value in (("held", held), ("guard", guard)) if value is not None}
        with self._database.begin() as connection:
            require_running(connection, look_id)
            connection.execute(sa.update(look).where(look.c.id == look_id).values(**values))
            return get_look(connection, look_id)

    def asked_in_full(self, source_key: str) -> dt.datetime | None:
        """When every page was last asked for by a look that came out complete; None while one is under way, or died."""
        kept = Meta(self._database).get(_ASKED.format(source=source_key))
        return None if kept is None else dt.datetime.fromisoformat(kept)

    def note_asked_in_full(self, source_key: str, at: dt.datetime | None) -> None:
        """A look that asks for every page began (None), or came out complete, having begun at `at`."""
        Meta(self._database).set(_ASKED.format(source=source_key), None if at is None else at.isoformat())

    def disallowed(self, source_key: str) -> int:
        """How many pages robots.txt kept from the last look that asked for all."""
        return int(Meta(self._database).get(_DISALLOWED.format(source=source_key)) or 0)

    def note_disallowed(self, source_key: str, pages: int) -> None:
        """See `disallowed`."""
        Meta(self._database).set(_DISALLOWED.format(source=source_key), str(pages) if pages else None)

    def hold(self, look_id: int, reason: str) -> None:
        """Make the changes of a look wait for an operator; raises NotFoundError when there is no such look."""
        with self._database.begin() as connection:
            hold(connection, look_id, reason)

    def release(
        self, look_id: int, why: str, now: dt.datetime, *, once: bool = False, refused: bool = False
    ) -> Look:
        """An operator lets the changes of a held look go on; raises ConflictError when it is not held.

        Later looks that find the source to be like that are not held for it again (`Profiles`), with `once` only the
        next one is not. `refused`: it was refused, and that is taken back: what it had read is read again.
        """
        with self._database.begin() as connection:
            done = connection.execute(
                sa.update(look)
                .where(look.c.id == look_id, look.c.held.is_not(None), look.c.released_at.is_(None),
                       look.c.refused_at.is_not(None) if refused else look.c.refused_at.is_(None))
                .values(released_at=now, released_why=why)
            )
            found = get_look(connection, look_id)
            if done.rowcount == 0 and found.refused:
                raise ConflictError(f"that look was refused: {found.refused_why}", where=f"look {look_id}",
                                    hint="Its own page, or `milepost holds release --refused`, takes that back.")
            if done.rowcount == 0:
                raise ConflictError(f"that look is not {'refused' if refused else 'held'}", where=f"look {look_id}")
            take_profile(connection, look_id, now, once=once)
            if found.refused_at is not None:
                read_again(connection, look_id)
            return found

    def listed_at_baseline(self, source_key: str, url: str) -> bool:
        """Whether a page that was never read yet was first listed during a baseline look: read now, it is no news."""
        with self._database.connect() as connection:
            return listed_at_baseline(connection, source_key, url)

    def baseline_over(self, source_key: str) -> dt.datetime | None:
        """When the look ended that made the baseline; None before there is one."""
        query = sa.select(sa.func.min(look.c.finished_at)).where(_made_baseline(source_key))
        with self._database.connect() as connection:
            over: dt.datetime | None = connection.execute(query).scalar()
            return over

    def unread_since_baseline(self, source_key: str) -> frozenset[str]:
        """The addresses of all pages that were first listed during a baseline look and never read yet."""
        query = (
            sa.select(page.c.url)
            .join_from(page, look, page.c.first_listed_look == look.c.id)
            .where(page.c.source == source_key, page.c.read_snapshot_id.is_(None), look.c.baseline)
        )
        with self._database.connect() as connection:
            return frozenset(connection.execute(query).scalars())

    def get(self, look_id: int) -> Look:
        """The look; raises NotFoundError."""
        with self._database.connect() as connection:
            return get_look(connection, look_id)

    def listed_before(self, source_key: str) -> int | None:
        """How many milestones the listings named when they were last seen whole and believed; None before that."""
        believed = sa.or_(look.c.guard.is_(None), look.c.guard != "shrunken", look.c.released_at.is_not(None))
        query = (
            sa.select(look.c.listed)
            .where(look.c.source == source_key, look.c.state == "complete", look.c.listed.is_not(None), believed)
            .order_by(look.c.id.desc())
            .limit(1)
        )
        with self._database.connect() as connection:
            found: int | None = connection.execute(query).scalar()
            return found

    def degraded(self, source_key: str) -> tuple[str, ...]:
        """Why the source is degraded, as the last look that ended found it; () where it isn't."""
        return self._last_degraded(source_key)[0]

    def disputed(self, source_key: str) -> tuple[str, ...]:
        """Of `degraded` what witnesses dispute: it lasts until enough is read to tell anew."""
        degraded, silent = self._last_degraded(source_key)
        return tuple(sentence for sentence in degraded if sentence not in silent)

    def _last_degraded(self, source_key: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        query = (
            sa.select(look.c.degraded, look.c.silent)
            .where(look.c.source == source_key, look.c.state.in_(("complete", "incomplete")))
            .order_by(look.c.id.desc())
            .limit(1)
        )
        with self._database.connect() as connection:
            row = connection.execute(query).first()
        return ((), ()) if row is None else (tuple(row.degraded or ()), tuple(row.silent or ()))

    def settings_asked(self, source_key: str, limit: int) -> list[Mapping[str, Any]]:
        """How often the latest looks asked the source's settings in vain, the latest first: `Look.settings`."""
        query = (
            sa.select(look.c.settings)
            .where(look.c.source == source_key, look.c.settings.is_not(None))
            .order_by(look.c.id.desc())
            .limit(limit)
        )
        with self._database.connect() as connection:
            return list(connection.execute(query).scalars())

    def accepted_removals(self, source_key: str) -> int:
        """The last look of much missing that an operator let through: what was missing by then may go. 0 for none."""
        query = sa.select(sa.func.coalesce(sa.func.max(look.c.id), 0)).where(
            look.c.source == source_key, look.c.guard.in_(("removal", "shrunken")), look.c.released_at.is_not(None)
        )
        with self._database.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def count_waiting(self) -> int:
        """How many are held and not decided."""
        query = sa.select(sa.func.count()).select_from(look).where(WAITING)
        with self._database.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def list(
        self, source_key: str | None = None, *, waiting: bool = False, limit: int | None = 50
    ) -> list[Look]:
        """The latest looks first; `waiting` keeps those that are held and not decided."""
        query = sa.select(look).order_by(look.c.id.desc()).limit(limit)
        if source_key is not None:
            query = query.where(look.c.source == source_key)
        if waiting:
            query = query.where(WAITING)
        with self._database.connect() as connection:
            return [look_of(row) for row in connection.execute(query).mappings()]


def _refuse_second(connection: sa.Connection, key: str, me: Holder, started: holders.Started) -> None:
    """Raises UnderWayError while somebody who may live looks at that source."""
    now = seconds(connection.dialect.name)
    in_force = sa.and_(look.c.lease_until >= now, look.c.lease_until <= now + LEASE_S + 60)  # later: the clock was set
    found = connection.execute(
        sa.select(look.c.lease_holder, look.c.lease_until)
        .where(look.c.source == key, look.c.state == "running", in_force)
    ).first()
    if found is None:
        return
    holder = Holder.parse(found.lease_holder)
    life = holders.life(holder, me, started)
    if life == "dead":
        return
    who = "" if holder is None else f" (process {holder.pid} on {holder.host})"
    until = dt.datetime.fromtimestamp(found.lease_until, dt.UTC)
    raise UnderWayError(
        f"another look at it is under way{who}", where=key,
        hint="It goes on by itself; look again after it." if life == "alive" else
        f"If that one is dead, its lease ends at {until:%H:%M:%S} UTC by the database's clock; look again then.",
    )


def ensure_source(connection: sa.Connection, key: str) -> None:
    """Make the source's row when it has none."""
    # Asked first: SQLAlchemy compiles an upsert anew each time, which for a page costs more than all its other rows.
    if connection.execute(sa.select(source.c.key).where(source.c.key == key)).first() is None:
        connection.execute(insert(connection, source).values(key=key).on_conflict_do_nothing())


def require_running(connection: sa.Connection, look_id: int) -> None:
    """Lock a look that is running; raises ConflictError when it ended or was taken over, NotFoundError without one."""
    query = sa.select(look.c.state).where(look.c.id == look_id).with_for_update()
    state = connection.execute(query).scalar()
    if state is None:
        raise NotFoundError("there is no such look", where=f"look {look_id}", hint="See `milepost holds`.")
    if state != "running":
        raise ConflictError(
            f"the look is {state}, it can't write any more", where=f"look {look_id}", hint="Start another look."
        )


def hold(connection: sa.Connection, look_id: int, reason: str, guard: str | None = None) -> None:
    """See `Looks.hold`; `guard` names the guard that stopped it."""
    values = {"held": reason, "guard": guard, "released_at": None, "released_why": None}
    connection.execute(sa.update(look).where(look.c.id == look_id).values(**values))
    get_look(connection, look_id)


def listed_at_baseline(connection: sa.Connection, source_key: str, url: str) -> bool:
    """See `Looks.listed_at_baseline`."""
    query = (
        sa.select(look.c.baseline)
        .join_from(page, look, page.c.first_listed_look == look.c.id)
        .where(page.c.source == source_key, page.c.url == url, page.c.read_snapshot_id.is_(None))
    )
    return bool(connection.execute(query).scalar())


def _has_baseline(connection: sa.Connection, source_key: str) -> bool:
    """Whether a look at the source was `complete` and found at least one milestone."""
    query = sa.select(look.c.id).where(_made_baseline(source_key))
    return connection.execute(query.limit(1)).first() is not None


def _made_baseline(source_key: str) -> sa.ColumnElement[bool]:
    return sa.and_(
        look.c.source == source_key, look.c.state == "complete", look.c.milestones > 0,
        sa.not_(sa.and_(look.c.baseline, look.c.refused_at.is_not(None))),
    )


def read_again(connection: sa.Connection, look_id: int) -> None:
    """The pages that a look wrote versions from wait to be read once more."""
    query = sa.select(milestone_version.c.snapshot_id).where(
        milestone_version.c.look_id == look_id, milestone_version.c.snapshot_id.is_not(None)
    )
    connection.execute(sa.update(page).where(page.c.read_snapshot_id.in_(query)).values(read_snapshot_id=None))


def get_look(connection: sa.Connection, look_id: int) -> Look:
    """The look; raises NotFoundError."""
    row = connection.execute(sa.select(look).where(look.c.id == look_id)).mappings().first()
    if row is None:
        raise NotFoundError("there is no such look", where=f"look {look_id}", hint="See `milepost holds`.")
    return look_of(row)


def look_of(row: Mapping[str, Any] | sa.RowMapping) -> Look:
    """A row of the table as a look."""
    kept = {name: value for name, value in row.items() if name not in ("lease_holder", "lease_until")}
    return Look(**{**kept, **{name: tuple(row[name]) for name in ("failures", "notes", "degraded", "silent")}})
