"""No id is given twice, and readers' links carry a random name of theirs instead of it."""

import re
import secrets

import sqlalchemy as sa
from alembic import op

from store.upkeep.numbering import jump

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0016."""
    connection = op.get_bind()
    op.add_column("issue", sa.Column("handle", sa.String(length=20)))  # NULL: its mails are named as they were
    op.add_column("subscriber", sa.Column("handle", sa.String(length=20)))
    ids = list(connection.execute(sa.text("SELECT id FROM subscriber ORDER BY id")).scalars())
    if ids:
        named = [{"id": id_, "handle": secrets.token_hex(10)} for id_ in ids]
        connection.execute(sa.text("UPDATE subscriber SET handle = :handle WHERE id = :id"), named)
        # Links that name an id were mailed to these and to nobody else: whoever gets a later id was mailed none.
        last = {"last": str(max(ids))}
        connection.execute(sa.text("INSERT INTO meta (key, value) VALUES ('links_by_id_up_to', :last)"), last)
    if connection.dialect.name == "postgresql":
        op.alter_column("subscriber", "handle", nullable=False)
        op.create_unique_constraint(op.f("uq_subscriber_handle"), "subscriber", ["handle"])
    else:
        _made_anew(connection, "subscriber", {
            r"handle VARCHAR\(20\)": "handle VARCHAR(20) NOT NULL",
            r"(CONSTRAINT uq_subscriber_normalized UNIQUE \(normalized\))":
                r"\1, CONSTRAINT uq_subscriber_handle UNIQUE (handle)",
        })
        _made_anew(connection, "delivery", {})
    if connection.execute(sa.text("SELECT 1 FROM meta WHERE key = 'restored_from'")).first() is not None:
        jump(connection)


def _made_anew(connection: sa.Connection, table: str, changes: dict[str, str]) -> None:
    """SQLite: the same table with AUTOINCREMENT, which no ALTER can add (https://www.sqlite.org/lang_altertable.html).

    Foreign keys are off meanwhile (see `store.database.upgrade`): other tables go on naming this one.
    """
    made = connection.execute(
        sa.text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :name"), {"name": table}
    ).scalar_one()
    indexes = connection.execute(
        sa.text("SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = :name AND sql IS NOT NULL"),
        {"name": table},
    ).scalars().all()
    wanted = changes | {
        rf"^CREATE TABLE \"?{table}\"?": f"CREATE TABLE {table}_anew",
        r"\bid INTEGER NOT NULL": "id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT",
        rf",\s*CONSTRAINT pk_{table} PRIMARY KEY \(id\)": "",
    }
    for pattern, new in wanted.items():
        made, found = re.subn(pattern, new, made, count=1)
        if not found:
            raise ValueError(f"{pattern} is not in what made {table}")
    names = ", ".join(row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({table})"))
    connection.exec_driver_sql(made)
    connection.exec_driver_sql(f"INSERT INTO {table}_anew ({names}) SELECT {names} FROM {table} ORDER BY id")  # noqa: S608
    connection.exec_driver_sql(f"DROP TABLE {table}")
    connection.exec_driver_sql(f"ALTER TABLE {table}_anew RENAME TO {table}")
    for index in indexes:
        connection.exec_driver_sql(index)
