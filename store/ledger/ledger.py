"""The ledger: what became of every hand-over, so that none is lost and none is made twice without anyone asking.

    pending ─T1→ claimed ─T3→ sending ─T4 (250)→ sent
       ↑──T2, T6′──┴───────────├─T5→ deferred ─due→ claimed
    pending/claimed/deferred    ├─T6→ failed
      ─T9→ suppressed|cancelled └─T7→ unknown ─T8→ sent|failed|pending
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, Literal, cast

import sqlalchemy as sa

from milepost.dates import believed
from milepost.errors import ConflictError, NotFoundError, StoreError
from milepost.records import (
    Advanced,
    Claim,
    DeliveryState,
    Freezing,
    Issue,
    IssueState,
    LedgerCounts,
    Reply,
    Settlement,
)
from store import holders
from store.dialects import moment, unchanged
from store.engine import Database
from store.faults import translated
from store.holders import Holder
from store.issues.issues import value_of, verify_variants
from store.ledger import batches, claims, freeze, queries, transitions
from store.ledger.claims import Holding
from store.ledger.freeze import Place
from store.ledger.queries import AttemptRow, DeliveryRow
from store.ledger.transitions import BEGIN, RELEASE, RENEWALS, TRANSITIONS, Transition, in_state, taken
from store.ledger.writers import NEAR_S, WRITERS, Writer
from store.meta import Meta
from store.schema.tables import delivery, issue, subscriber
from store.subscribers.addresses import address_hash, normalize
from store.subscribers.suppressions import suppress as never_mail
from store.upkeep.restore import refuse

__all__ = ["AttemptRow", "DeliveryRow", "Holding", "Ledger"]

TryAdvance = Callable[[Sequence[Settlement], Sequence[Claim]], Advanced | None]

# What keeps an issue open; each has an index.
_WAITING = (in_state("pending"), in_state("deferred"), taken("claimed", "sending"))

_ROOM = 0.1  # seconds between the slices of a freeze in which another process can write
_RESOLUTIONS = {
    "sent": (TRANSITIONS["resolve_sent"],),
    "failed": (TRANSITIONS["resolve_failed"], TRANSITIONS["give_up"]),
    "pending": (TRANSITIONS["resolve_pending"], TRANSITIONS["retry"]),
}


class _NotAll(Exception):  # noqa: N818 (an answer, not a fault)
    """At least one row of a batch was refused."""


class Ledger:
    """The deliveries of every issue; each method is one durable transaction.

    Any number of dispatchers may use one ledger at once. Every method raises StoreError when the database can't.
    """

    def __init__(self, database: Database, *, holder: Holder | None = None) -> None:
        """`holder`: who takes deliveries by it; None: this process."""
        self._database = database
        self._holder = holder
        self._batches = batches.Batches(database.dialect)
        self._why_not = transitions.why_not(BEGIN, transitions.Terms(database.dialect))

    def _key(self) -> bytes:
        """The key of the hashes of suppressed addresses."""
        return Meta(self._database).address_key()

    # --- the audience -----------------------------------------------------------------------------------------------

    def freeze(
        self,
        number: int,
        *,
        content_hash: str,
        place: freeze.Place,
        now: dt.datetime,
        require_approval: bool = False,
        size: int | None = None,
        progress: Callable[[Freezing], object] = lambda _: None,
        clock: Callable[[], dt.datetime] | None = None,
    ) -> LedgerCounts:
        """Draft → frozen: `place` puts every subscriber into a variant or among the exclusions.

        A slice of `size` subscribers is one durable transaction, and `progress` is called after each but the last;
        others write in between. What ended in between goes on with the next call. `clock`: the moment of a slice after
        the first, which is `now`'s. Freezing what is frozen changes nothing. Raises ConflictError when the content is
        another, when it was cancelled or taken back, or when `require_approval` and nobody approved it; NotFoundError
        when there is no such issue.
        """
        key, begun, moment = self._key(), time.monotonic(), now
        with self._database.connect() as connection:  # before others have to wait; other bytes have another hash
            if value_of(connection, issue.c.state, number) == "draft":
                verify_variants(connection, number)
        since: dt.datetime | None = None
        while True:
            started = time.monotonic()
            with self._database.begin() as connection:
                found = freeze.begin_or_go_on(
                    connection, number, content_hash=content_hash, require_approval=require_approval
                )
                if found is None:
                    return queries.counts(connection, number)
                if since is not None and (found.freezing is None or found.freezing.began_at != since):
                    raise ConflictError("it was taken back while it was being frozen", where=f"issue {number}")
                step = freeze.freeze_slice(
                    connection, found, key, place=place, now=moment, size=size or freeze.SLICE[self._database.dialect],
                )
                if step is None:
                    return queries.counts(connection, number)
            since = step.began_at
            progress(step)
            if self._database.dialect == "sqlite":  # whoever waits, in any program, asks ten times a second at least
                time.sleep(min(time.monotonic() - started, _ROOM))
            moment = clock() if clock else now + dt.timedelta(seconds=time.monotonic() - begun)

    def foresee(self, found: Issue, *, place: Place, now: dt.datetime) -> LedgerCounts:
        """What `freeze` would come to at this moment; nothing is written."""
        with self._database.connect() as connection:
            return freeze.foresee(connection, found, self._key(), place=place, now=now)

    # --- T1, T2: claims ---------------------------------------------------------------------------------------------

    def claim(self, number: int, *, limit: int, lease_seconds: int, after: int = 0) -> list[Claim]:
        """T1: take at most `limit` deliveries that are pending, or deferred and due, under a new lease token.

        `after`: a delivery; those behind it come first. Who names the last one that they took walks past nothing.
        The lease and what is due run by the database's clock. The first claim turns the issue from frozen to sending.
        Raises ConflictError when it is neither, HeldError in a restored database that nobody has confirmed
        (`store.upkeep.restore`).
        """
        with self._database.begin() as connection:
            return claims.claim(
                connection, number, limit=limit, lease_seconds=lease_seconds, holder=self._me(), after=after
            )

    def renew(self, held: Sequence[Claim]) -> int:
        """T1′: from now on the leases of these run as long as they did at first; returns how many still were ours.

        To be called well before they end, by whoever waits: a lease is short, and a mail may be on the wire for longer.
        Those that are being begun or settled at this moment are left to that.
        """
        rows = [transitions.of_claim(claim) for claim in held]
        with batches.transaction(self._database) as run:
            return sum(self._batches.take(run, step, rows) for step in RENEWALS)

    def release(self, held: Sequence[Claim]) -> int:
        """T2: give claims back that were not begun; returns how many still were ours."""
        with batches.transaction(self._database) as run:
            return self._batches.take(run, RELEASE, [transitions.of_claim(claim) for claim in held])

    def recover(self, number: int) -> tuple[int, int]:
        """T2 and T7 for leases that are over: claimed → pending, sending → unknown; returns (freed, unknown).

        A lease that ends later than it can is over too: the clock was set back since.
        """
        with self._database.connect() as connection:
            if not claims.any_over(connection, number):  # the usual case keeps nobody from writing
                return 0, 0
        with self._database.begin() as connection:
            return claims.recover(connection, number)

    def take_over(self, number: int, *, started: holders.Started = holders.started) -> tuple[int, int]:
        """T2 and T7, as `recover`, for leases of dispatchers that are proven dead, however long they still run.

        Proven: they ran on this machine, and no such process lives there (`store.holders`).
        """
        with self._database.begin() as connection:
            return claims.take_over(connection, number, self._me(), started)

    def held(self, number: int, *, started: holders.Started = holders.started) -> list[Holding]:
        """Who has taken deliveries of an issue and not settled them, most first."""
        with self._database.connect() as connection:
            return claims.held(connection, number, self._me(), started)

    def _me(self) -> Holder:
        return self._holder or holders.me()

    # --- T3 to T7: the point of no return, and what became of it, for the price of one commit ------------------------

    def advance(self, settlements: Sequence[Settlement], claims: Sequence[Claim]) -> Advanced:
        """Settle all `settlements` (T4 to T7) and begin all `claims` (T3) in one durable transaction.

        Only what is in `begun` may see DATA: its lease token holds, its issue is not paused, its subscriber is active
        and not suppressed, all checked in that transaction. A claim that may not begin is suppressed or cancelled for
        good (T9), or back to pending (T2). A settlement whose lease token no longer holds is in `lost`. Raises
        HeldError as `claim` does, StoreError, and then nothing is written.
        """
        key = self._key()
        if _alike(settlements):
            with suppress(_NotAll), batches.transaction(self._database) as run:
                return self._all(run, settlements, claims, key)
        with self._database.begin() as connection:
            return self._each(connection, settlements, claims, key)

    @contextmanager
    def try_advance(self) -> Iterator[TryAdvance]:
        """While it is open: `advance` that takes no longer than the disk, and answers None where it would have to wait.

        None, and nothing is written: another program is writing, a row needs a look of its own, the disk is in trouble
        (`advance` says which), or the database is not on this machine's disk.
        """
        key = self._key()
        with batches.impatient(self._database) as driver:

            def try_advance(settlements: Sequence[Settlement], claims: Sequence[Claim]) -> Advanced | None:
                if driver is None or not _alike(settlements):
                    return None
                try:
                    with translated(self._database.where), batches.exclusive(driver) as run:
                        return self._all(run, settlements, claims, key)
                except (_NotAll, StoreError):
                    return None

            yield try_advance

    @contextmanager
    def writers(self) -> Iterator[Sequence[Writer]]:
        """While it is open: connections on which `advance` is done while whoever asked goes on; none on SQLite, where
        one writes at a time, and behind a pooler, where nobody has a session; one where the database is near. Those
        that the database doesn't give are not alive, and may be opened later.
        """
        with ExitStack() as opened:
            writers: list[Writer] = []
            if self._database.dialect == "postgresql" and not self._database.behind_pooler():
                beginning = partial(_beginning, key=self._key())
                writers = [Writer(self._database, beginning) for _ in range(WRITERS)]
            with suppress(StoreError):  # without any there is `advance`, and it says what is the matter
                for writer in writers:
                    opened.callback(writer.close)
                    writer.reopen()
                    if writer.journey_s <= NEAR_S:
                        writers = [writer]
                        break
            yield writers

    def _all(
        self, run: batches.Run, settlements: Sequence[Settlement], claims: Sequence[Claim], key: bytes
    ) -> Advanced:
        """All of them or _NotAll."""
        beginning = [_beginning(claim, key) for claim in claims]
        self._batches.lock(run, beginning)
        done: dict[str, list[transitions.Row]] = {}
        for one in settlements:
            done.setdefault(one.state, []).append(transitions.of_settlement(one))
        for state, rows in done.items():
            self._take_all(run, TRANSITIONS[state], rows)
        self._take_all(run, BEGIN, beginning)
        return Advanced(begun=frozenset([claim.delivery_id for claim in claims]), lost=frozenset())

    def _take_all(self, run: batches.Run, step: Transition, rows: Sequence[transitions.Row]) -> None:
        if self._batches.take(run, step, rows) != len(rows):
            raise _NotAll

    def _each(
        self, connection: sa.Connection, settlements: Sequence[Settlement], claims: Sequence[Claim], key: bytes
    ) -> Advanced:
        """Each of them by itself."""
        beginning = [_beginning(claim, key) for claim in claims]
        dead = [one.claim.subscriber_id for one in settlements if one.suppress]
        if dead:
            _lock_firmly(connection, claims, dead)
        else:
            self._batches.lock(batches.on(connection), beginning)
        lost = [one.claim.delivery_id for one in settlements if not self._settle(connection, one, key)]
        begun = [
            claim.delivery_id for claim, row in zip(claims, beginning, strict=True) if self._begin(connection, row)
        ]
        return Advanced(begun=frozenset(begun), lost=frozenset(lost))

    def _settle(self, connection: sa.Connection, done: Settlement, key: bytes) -> bool:
        if not self._batches.take(
            batches.on(connection), TRANSITIONS[done.state], [transitions.of_settlement(done)]
        ):
            return False
        if done.suppress is not None:
            address = normalize(done.claim.address)
            never_mail(connection, key, address, done.suppress, moment(connection.dialect.name))
        return True

    def _begin(self, connection: sa.Connection, row: transitions.Row) -> bool:
        """T3; who may not begin goes where the condition says that failed, if it is still ours."""
        run = batches.on(connection)
        if self._batches.take(run, BEGIN, [row]):
            return True
        refuse(connection)
        holds = connection.execute(self._why_not, row).mappings().first()
        way_out = None if holds is None else transitions.way_out(BEGIN, holds)
        if way_out is not None:
            self._batches.take(run, way_out, [row])
        return False

    # --- T8: an operator's word, or evidence ------------------------------------------------------------------------

    def resolve(self, delivery_id: int, outcome: Literal["sent", "failed", "pending"], evidence: str) -> None:
        """T8: settle an unknown hand-over on `evidence` (a relay's log line, a DSN), or on an operator's word.

        `pending` sends it again, and the issue goes on; so does what failed by a refusal before the dot, which nobody
        can have taken. `failed` also gives up what waits because we were refused. Raises ConflictError for the rest.
        """
        with self._database.begin() as connection:
            terms = transitions.Terms(connection.dialect.name)
            for step in _RESOLUTIONS[outcome]:
                resolve = transitions.of_one(step, terms).returning(delivery.c.issue)
                number = connection.execute(resolve, {"the_delivery": delivery_id}).scalar()
                if number is not None:
                    break
            else:
                _require_delivery(connection, delivery_id)
                raise ConflictError(
                    "it is neither unknown nor refused before the dot, there is nothing to resolve",
                    where=f"delivery {delivery_id}",
                )
            batches.log(connection, step, [(delivery_id, None)], Reply(code=None, text=evidence, phase="resolve"))
            if outcome == "pending":
                _move(connection, number, ("complete", "needs_review"), state="sending", finished_at=None)
            elif not _has(connection, number, in_state("unknown")):
                _finish(connection, number, ("needs_review",))

    # --- the issue --------------------------------------------------------------------------------------------------

    def pause(self, number: int, reason: str) -> None:
        """Frozen or sending → paused: no DATA begins after this commit. Pausing twice keeps the first reason."""
        with self._database.begin() as connection:
            if not _move(connection, number, ("frozen", "sending"), state="paused", pause_reason=reason):
                _require_state(connection, number, "paused", "paused")

    def resume(self, number: int) -> None:
        """Paused → sending; resuming what is sending is no error. Raises ConflictError in any other state."""
        with self._database.begin() as connection:
            if not _move(connection, number, ("paused",), state="sending", pause_reason=None):
                _require_state(connection, number, "sending", "resumed")

    def finish(self, number: int) -> IssueState:
        """Sending → complete, or needs_review when any is unknown; as it is while any waits, or it is paused."""
        with self._database.begin() as connection:
            _finish(connection, number, ("frozen", "sending", "needs_review"))
            return claims.issue_state(connection, number)

    # --- reading ----------------------------------------------------------------------------------------------------

    def counts(self, number: int) -> LedgerCounts:
        """The equation as the tables hold it; all zero for a draft. Raises NotFoundError."""
        with self._database.connect() as connection:
            return queries.counts(connection, number)

    def rows(
        self, number: int, state: DeliveryState | None = None, address: str | None = None
    ) -> list[DeliveryRow]:
        """The deliveries of an issue, in the order they are sent; `Listings.deliveries` has them a part at a time."""
        with self._database.connect() as connection:
            return list(queries.rows(connection, number, state, address))

    def each(self, number: int, state: DeliveryState | None = None) -> Iterator[DeliveryRow]:
        """The same one after another, by what the ledger holds as the first is asked for; few are in memory at once."""
        with self._database.connect() as connection:
            yield from queries.rows(connection, number, state, None)

    def words(self, number: int, *, limit: int = 3) -> list[tuple[str, int]]:
        """What the relay last said of deliveries it did not take, and of how many: the most frequent first."""
        with self._database.connect() as connection:
            return queries.words(connection, number, limit)

    def exclusion_of(self, number: int, subscriber_id: int) -> str | None:
        """Why an issue has no delivery for that subscriber; None where it has one, or never heard of them."""
        with self._database.connect() as connection:
            return queries.exclusion_of(connection, number, subscriber_id)

    def attempts(self, delivery_id: int) -> list[AttemptRow]:
        """Everything that was tried for one delivery, oldest first."""
        with self._database.connect() as connection:
            return queries.attempts(connection, delivery_id)

    def taken(self, number: int) -> bool:
        """Whether any delivery of an issue was handed over."""
        with self._database.connect() as connection:
            return _has(connection, number, in_state("sent"))

    def next_due(self, number: int) -> dt.datetime | None:
        """When the earliest deferred delivery is due, None when none is deferred."""
        query = sa.select(
            sa.func.min(delivery.c.next_attempt_at), moment(self._database.dialect).label("now")
        ).where(delivery.c.issue == number, in_state("deferred"))
        with self._database.connect() as connection:
            first, now = connection.execute(query).one()
        if first is None:
            return None
        return cast("dt.datetime", first if believed(first, now, transitions.LONGEST_DEFERRAL) else now)


def _beginning(claim: Claim, key: bytes) -> transitions.Row:
    return transitions.of_claim(claim, address_hash(key, normalize(claim.address)))


def _lock_firmly(connection: sa.Connection, claims: Sequence[Claim], dead: Sequence[int]) -> None:
    """As `transitions.lock`, with those who are to be suppressed, and all readers as firmly as those will have to be: a
    dispatch of another issue has the same readers, and if either had some and asked for more, each would wait for the
    other.
    """
    numbers, readers = {claim.issue for claim in claims}, {*dead, *(claim.subscriber_id for claim in claims)}
    if numbers:
        query = sa.select(issue.c.number).where(issue.c.number.in_(numbers)).order_by(issue.c.number)
        connection.execute(query.with_for_update(read=True))
    connection.execute(
        unchanged(sa.select(subscriber.c.id).where(subscriber.c.id.in_(readers)).order_by(subscriber.c.id))
    )


def _alike(settlements: Sequence[Settlement]) -> bool:
    """Whether one statement can write them all: none suppresses an address."""
    return not any(settlement.suppress for settlement in settlements)


def _move(connection: sa.Connection, number: int, from_: tuple[IssueState, ...], **values: Any) -> bool:
    moved = connection.execute(
        sa.update(issue).where(issue.c.number == number, issue.c.state.in_(from_)).values(**values)
    )
    return moved.rowcount == 1


def _require_state(connection: sa.Connection, number: int, wanted: IssueState, step: str) -> None:
    state = claims.issue_state(connection, number)
    if state != wanted:
        raise ConflictError(f"it is {state}, it can't be {step}", where=f"issue {number}")


def _require_delivery(connection: sa.Connection, delivery_id: int) -> None:
    if connection.execute(sa.select(delivery.c.id).where(delivery.c.id == delivery_id)).first() is None:
        raise NotFoundError("there is no such delivery", where=f"delivery {delivery_id}")


def _has(connection: sa.Connection, number: int, such: sa.ColumnElement[bool]) -> bool:
    query = sa.select(delivery.c.id).where(delivery.c.issue == number, such).limit(1)
    return connection.execute(query).first() is not None


def _finish(connection: sa.Connection, number: int, from_: tuple[IssueState, ...]) -> None:
    if not any(_has(connection, number, such) for such in _WAITING):
        state: IssueState = "needs_review" if _has(connection, number, in_state("unknown")) else "complete"
        _move(connection, number, from_, state=state, finished_at=moment(connection.dialect.name))
