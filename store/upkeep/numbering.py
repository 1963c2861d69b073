"""Ids that leave the house are given once: after a restore the next ones are far beyond any that were given since."""

import secrets
from collections.abc import Mapping

import sqlalchemy as sa

FAR = 1_000_000  # more than anybody gives between a backup and its restore
_TIMES = 50  # so many times as far at the most, at random: the same backup may be put back twice
_TABLES = ("subscriber", "delivery")  # in old links, and in the senders that bounces come back to


def jump(connection: sa.Connection, given: Mapping[str, int] | None = None) -> None:
    """Leave out the ids that this database may have given after its backup was made.

    `given`: the highest that the database in whose place it comes has given, table by table.
    """
    for table in _TABLES:
        far = FAR * (1 + secrets.randbelow(_TIMES))
        highest = connection.execute(sa.text(f"SELECT coalesce(max(id), 0) FROM {table}")).scalar_one()  # noqa: S608
        if connection.dialect.name == "postgresql":
            name = connection.execute(sa.text(f"SELECT pg_get_serial_sequence('{table}', 'id')")).scalar_one()
            last = connection.execute(sa.text(f"SELECT last_value FROM {name}")).scalar_one()  # noqa: S608
            past = max(highest, last, (given or {}).get(table, 0)) + far
            connection.execute(sa.text("SELECT setval(:name, :past)"), {"name": name, "past": past})
        elif _counts(connection):
            row = {"name": table}
            last = connection.execute(sa.text("SELECT max(seq) FROM sqlite_sequence WHERE name = :name"), row).scalar()
            connection.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :name"), row)
            connection.execute(
                sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :seq)"),
                row | {"seq": max(highest, last or 0, (given or {}).get(table, 0)) + far},
            )


def highest_given(connection: sa.Connection) -> dict[str, int]:
    """SQLite: the highest ids that a database has given, table by table; none where it is too old to count them."""
    if not _counts(connection):
        return {}
    query = sa.text("SELECT name, max(seq) FROM sqlite_sequence GROUP BY name")
    return {name: last for name, last in connection.execute(query) if name in _TABLES}


def _counts(connection: sa.Connection) -> bool:
    """Whether this SQLite database counts its ids; an older one does so, and jumps, from its upgrade on."""
    query = sa.text("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'")
    return connection.execute(query).first() is not None
