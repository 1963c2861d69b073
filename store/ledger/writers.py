"""T3 to T7 on a PostgreSQL connection of its own, while whoever asked does other things: one journey for one commit.

    rows ─▶ lock, step, log … and their counts ─▶ one transaction, in a pipeline ─▶ all of them took it, or nothing

The statements go out together and no word of ours lies between them: what stands between a lock and its commit is the
server's work alone, however far away it is and even if we are stopped meanwhile. Where a row can't take its step the
server says so as an error, and the whole transaction is as if it had never been asked for.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from milepost.errors import StoreError
from milepost.records import Advanced, Claim, Settlement
from store.dialects import BY_KEYS
from store.engine import Database
from store.faults import translated
from store.ledger import transitions
from store.ledger.batches import of_many
from store.ledger.transitions import BEGIN, GIVEN, HELD, TRANSITIONS, Row, Terms

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

WRITERS = 3  # transactions under way at once in one dispatch, where the database is a journey away
NEAR_S = 0.0005  # of a statement there and back: one is enough up to this (as on the same machine), each costs a server
_LOCK = "lock"  # the statement that comes before the steps
# A lock that isn't there soon is `Ledger.advance`'s to wait for.
_SESSION = BY_KEYS | {"plan_cache_mode": "force_generic_plan", "lock_timeout": "1s"}


class Writer:
    """One connection; it carries one batch at a time, and whoever gave it the batch asks it for the answer.

    `send`, then `go_on` whenever its socket can be read (or written, as long as `unsent`), until `busy` is false; then
    `answer`. Raises nothing but what `reopen` does: a connection that is gone is not `alive`.
    """

    def __init__(self, database: Database, beginning: Callable[[Claim], Row]) -> None:
        """Not connected yet: see `reopen`. `beginning` is T3's row of a claim."""
        import psycopg  # PostgreSQL's own, which not every installation has

        self._database, self._beginning = database, beginning
        self._error, self._is = psycopg.Error, psycopg.pq.ExecStatus
        self._connection: psycopg.Connection[Any] | None = None
        self._wire: PGconn
        self._answer: Advanced | None = None
        self.alive = self.busy = self.unsent = False
        self.journey_s = float("inf")  # of a small statement there and back, at the best, when it was opened

    def reopen(self) -> None:
        """Connect, anew if it was, waiting for it; raises StoreError."""
        self.close()
        try:
            with translated(self._database.where):
                pooled = self._database.engine.raw_connection()
                connection: Any = pooled.driver_connection
                pooled.detach()
            self._connection, self._wire = connection, connection.pgconn
            connection.autocommit = True
            for setting, value in _SESSION.items():
                start = time.perf_counter()
                connection.execute("SELECT set_config(%s, %s, false)", (setting, value))
                self.journey_s = min(self.journey_s, time.perf_counter() - start)
            self._prepare()
            self._wire.nonblocking = 1
            self._wire.enter_pipeline_mode()
        except self._error as error:
            self.close()
            what = f"a dispatch's connection could not be made ready: {error}"
            raise StoreError(what, where=self._database.where) from error
        self.alive = True

    def _prepare(self) -> None:
        for name, (text, _, _) in _statements().items():
            prepared = self._wire.prepare(name.encode(), text)
            if prepared.status != self._is.COMMAND_OK:
                raise self._error(prepared.error_message.decode("utf-8", "replace").strip())

    def close(self) -> None:
        """The end of it; what has no answer by then, only the database knows."""
        self.alive = self.busy = self.unsent = False
        self._answer = None
        if self._connection is not None:
            self._connection.close()

    def fileno(self) -> int:
        return int(self._wire.socket)

    def send(self, settlements: Sequence[Settlement], claims: Sequence[Claim]) -> bool:
        """Put a batch on its way; False, and nothing is, where a row wants a look of its own or the connection is gone.

        T3's lock comes first, then the results, then T3: the order of `Ledger.advance`.
        """
        if self.busy or not self.alive or any(one.suppress for one in settlements):
            return False
        beginning = [self._beginning(claim) for claim in claims]
        done: dict[str, list[Row]] = {}
        for one in settlements:
            done.setdefault(one.state, []).append(transitions.of_settlement(one))
        try:
            if claims:
                self._put(_LOCK, beginning)
            for state, rows in done.items():
                self._put(state, rows)
            if claims:
                self._put("begin", beginning)
            self._wire.pipeline_sync()
            self.unsent = self._wire.flush() == 1
        except self._error:
            self.close()
            return False
        self._answer = Advanced(begun=frozenset([claim.delivery_id for claim in claims]), lost=frozenset())
        self.busy = True
        return True

    def _put(self, name: str, rows: Sequence[Row]) -> None:
        _, values, arrays = _statements()[name]
        columns = zip(*map(values, rows), strict=True)
        self._wire.send_query_prepared(name.encode(), [array(one) for array, one in zip(arrays, columns, strict=True)])

    def go_on(self) -> None:
        """Take what has come, and send what had no room."""
        try:
            if self.unsent:
                self.unsent = self._wire.flush() == 1
            self._wire.consume_input()
            while self.busy and not self._wire.is_busy():
                result = self._wire.get_result()
                if result is None:  # the end of one statement's
                    continue
                if result.status == self._is.PIPELINE_SYNC:
                    self.busy = False
                elif result.status not in (self._is.COMMAND_OK, self._is.TUPLES_OK):
                    self._answer = None
        except self._error:
            self.close()

    def answer(self) -> Advanced | None:
        """What came of the batch; None: nothing was written, or nobody can tell, and `Ledger.advance` is asked."""
        return self._answer


def _numbers(values: Sequence[object]) -> bytes:
    """An array of integers and NULLs as PostgreSQL reads it (its documentation, "Array Input and Output Syntax")."""
    return f"{{{','.join(map(str, values))}}}".replace("None", "NULL").encode()


def _texts(values: Sequence[object]) -> bytes:
    """The same of texts and NULLs."""
    try:
        within = '","'.join(values)  # type: ignore[arg-type]  # the quick way, for texts with nothing to escape
    except TypeError:
        within = '"'
    if "\\" in within or within.count('"') != 2 * (len(values) - 1):
        return f"{{{','.join(map(_element, values))}}}".encode("utf-8", "surrogatepass")
    return f'{{"{within}"}}'.encode("utf-8", "surrogatepass")  # a server refuses lone surrogates


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    said = str(value)
    if "\\" in said or '"' in said:
        said = said.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{said}"'


class _Statement(NamedTuple):
    """What a writer may send: its text, the values that it wants of a row, and how each of their columns is written."""

    text: bytes
    values: Callable[[Row], Sequence[object]]
    arrays: Sequence[Callable[[Sequence[object]], bytes]]


@cache
def _statements() -> Mapping[str, _Statement]:
    """All that a writer may send, by their names, each made from its row of `transitions`."""
    statements = {_LOCK: _statement(transitions.lock)}
    for state, step in TRANSITIONS.items():
        if HELD in step.only_if and (step.logs or step is BEGIN):
            statements[state] = _statement(partial(_all_or_none, step))
    return statements


def _all_or_none(step: transitions.Transition, terms: Terms) -> sa.Select[Any]:
    """The step of all rows that are given, each with its attempt, or the transaction's end."""
    count = sa.func.count()
    # The sum is part of the sentence, else the planner would try to read the sentence as a number, and fail at once.
    fewer = sa.cast(sa.literal_column("'of all rows the step was taken by '") + sa.cast(count, sa.Text), sa.Integer)
    taken, logged = transitions.of_one_with_log(step, terms)
    assert terms.every is not None  # noqa: S101 (many are given)
    wanted = sa.func.cardinality(terms.every("the_delivery"), type_=sa.Integer())
    return sa.select(sa.case((count == wanted, count), else_=fewer)).select_from(taken).add_cte(*logged)


def _statement(make: Callable[[Terms], sa.Executable]) -> _Statement:
    """With $1, $2 … for its arrays, in the order of their names."""
    from sqlalchemy.dialects.postgresql import psycopg

    statement: Any = of_many(make)[0]
    dialect = psycopg.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
    compiled = statement.compile(dialect=dialect)
    names = tuple(dict.fromkeys(compiled.positiontup))
    numbers = [isinstance(GIVEN[name], sa.Integer) for name in names]  # BigInteger is one
    return _Statement(str(compiled).encode(), itemgetter(*names), [_numbers if one else _texts for one in numbers])
