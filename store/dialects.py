"""The few things that SQLite and PostgreSQL say differently: upserts, clocks, locks."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from store.schema.columns import Moment


def insert(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that knows ON CONFLICT, in the connection's dialect."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def given(
    connection: sa.Connection, name: str, columns: Mapping[str, sa.types.TypeEngine[Any]],
    rows: Sequence[Mapping[str, Any]],
) -> sa.CTE:
    """Rows that the program hands over as one document, to be joined like a table; their values are JSON's own."""
    document = sa.literal(json.dumps(rows), sa.Text())
    if connection.dialect.name == "postgresql":
        record = sa.func.json_to_recordset(sa.cast(document, postgresql.JSON())).table_valued(
            *(sa.column(key, type_) for key, type_ in columns.items())
        ).render_derived(name=f"{name}_row", with_types=True)
        return sa.select(*record.c).cte(name)
    each = sa.func.json_each(document).table_valued("value", name=f"{name}_row")
    return sa.select(*(
        sa.type_coerce(sa.func.json_extract(each.c.value, f"$.{key}"), type_).label(key)
        for key, type_ in columns.items()
    )).cte(name).prefix_with("MATERIALIZED")  # each value is taken out once, and rows that are can be indexed


class _OneOf(FunctionElement[Any]):
    # Not of the type Boolean: of that SQLAlchemy makes `(…) = 1` for SQLite, which then walks through the whole table.
    name, type, inherit_cache = "one_of", sa.types.NullType(), True


@compiles(_OneOf, "sqlite")
def _one_of_sqlite(element: _OneOf, compiler: Any, **more: Any) -> str:
    column, document = (compiler.process(clause, **more) for clause in element.clauses)
    return f"({column} IN (SELECT value FROM json_each({document})))"  # noqa: S608 (clauses, no values)


@compiles(_OneOf, "postgresql")
def _one_of_postgresql(element: _OneOf, compiler: Any, **more: Any) -> str:
    column, document = (compiler.process(clause, **more) for clause in element.clauses)
    type_ = "bigint" if isinstance(next(iter(element.clauses)).type, sa.Integer) else "text"  # any value has room
    return f"({column} = ANY (ARRAY(SELECT json_array_elements_text(CAST({document} AS JSON)))::{type_}[]))"


def one_of(column: sa.ColumnElement[Any], values: Iterable[int | str]) -> sa.ColumnElement[bool]:
    """Whether a column (whole numbers or texts) is one of any number of values: they are one parameter.

    `column.in_` takes one for each, of which a statement has at most 65,535 on PostgreSQL (the protocol's Bind) and
    32,766 on SQLite as it comes (SQLITE_MAX_VARIABLE_NUMBER): it is for few.
    """
    return _OneOf(column, sa.literal(json.dumps(list(values)), sa.Text()))


def seconds(dialect: str) -> sa.ColumnElement[float]:
    """The database's clock: seconds since 1970 (leases run by it, never by a client's clock)."""
    if dialect == "postgresql":
        return sa.literal_column("extract(epoch FROM clock_timestamp())::float8", sa.Double())
    return sa.literal_column("((julianday('now') - 2440587.5) * 86400.0)", sa.Double())


def moment(dialect: str, *, after_s: int = 0) -> sa.ColumnElement[Any]:
    """The database's clock as a `Moment`, or that many seconds after it."""
    if dialect == "postgresql":
        later = f" + interval '{after_s} seconds'" if after_s else ""
        return sa.literal_column(f"(clock_timestamp(){later})" if later else "clock_timestamp()", Moment())
    later = f", '+{after_s} seconds'" if after_s else ""
    return sa.literal_column(f"(strftime('%Y-%m-%dT%H:%M:%f', 'now'{later}) || '000+00:00')", Moment())


def serialize(connection: sa.Connection, name: str) -> None:
    """Let one transaction at a time past this point, until it ends; a SQLite writer is alone already."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(f"milepost.{name}"))))


def stop_writers(connection: sa.Connection, table: sa.Table) -> None:
    """Keep everyone else from writing to `table` until this transaction ends; a SQLite writer is alone already."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text(f"LOCK TABLE {table.name} IN SHARE MODE"))


def unchanged(query: sa.Select[Any]) -> sa.Select[Any]:
    """The rows of `query`, which nobody else changes until this transaction ends; new rows may name them.

    FOR NO KEY UPDATE: a stronger lock would stop who keeps writers from the table (`stop_writers`) and writes rows
    with keys into it, and whoever goes on to change what it has locked would wait for that one: both for ever.
    """
    return query.with_for_update(key_share=True)


# What a session says to have rows looked up by their keys whatever a planner thinks: a table that was just filled has
# no statistics, and for a list of unknown length it would read all of a small one.
BY_KEYS = dict.fromkeys(("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"), "off")


def by_keys(connection: sa.Connection) -> None:
    """Have PostgreSQL find rows by their keys until this transaction ends; SQLite does so anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(*(sa.func.set_config(name, value, True) for name, value in BY_KEYS.items())))
