"""What readers choose for themselves: a language, a pause, another address; and the letters that an address needs."""

import re

import sqlalchemy as sa
from alembic import op

from store.schema.columns import BigKey, Moment

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_BEFORE = "'confirm', 'remind', 'welcome'"
_SINCE = f"{_BEFORE}, 'move', 'moved'"


def upgrade() -> None:
    """From 0019."""
    op.add_column("subscriber", sa.Column("language", sa.String(length=35)))
    op.add_column("subscriber", sa.Column("paused_until", Moment()))
    op.add_column("subscriber", sa.Column("pause_skips", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "address_change",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("subscriber", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("undo_name", sa.String(length=32), nullable=False),
        sa.Column("old_address", sa.Text(), nullable=False),
        sa.Column("old_normalized", sa.Text(), nullable=False),
        sa.Column("new_address", sa.Text(), nullable=False),
        sa.Column("new_normalized", sa.Text(), nullable=False),
        sa.Column("language", sa.String(length=35), nullable=False),
        sa.Column("network", sa.String(length=64), nullable=False),
        sa.Column("asked_at", Moment(), nullable=False),
        sa.Column("confirmed_at", Moment()),
        sa.Column("undone_at", Moment()),
        sa.ForeignKeyConstraint(
            ["subscriber"], ["subscriber.id"], name=op.f("fk_address_change_subscriber_subscriber")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address_change")),
        sa.UniqueConstraint("name", name=op.f("uq_address_change_name")),
        sa.UniqueConstraint("undo_name", name=op.f("uq_address_change_undo_name")),
    )
    op.create_index(op.f("ix_address_change_subscriber"), "address_change", ["subscriber"], unique=False)
    op.create_index(
        op.f("ix_address_change_network_asked_at"), "address_change", ["network", "asked_at"], unique=False
    )
    op.create_index(op.f("ix_address_change_asked_at"), "address_change", ["asked_at"], unique=False)
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        op.add_column("letter", sa.Column("address_change", BigKey))
        op.create_foreign_key(
            op.f("fk_letter_address_change_address_change"), "letter", "address_change", ["address_change"], ["id"],
            ondelete="SET NULL",
        )
        op.drop_constraint(op.f("ck_letter_kind"), "letter", type_="check")
        op.create_check_constraint(op.f("ck_letter_kind"), "letter", f"kind IN ({_SINCE})")
    else:
        _letters_anew(connection)
    op.create_index(op.f("ix_letter_address_change"), "letter", ["address_change"], unique=False)
    op.create_index(op.f("ix_letter_subscriber"), "letter", ["subscriber"], unique=False)


def _letters_anew(connection: sa.Connection) -> None:
    """SQLite: the same table with two more kinds, since no ALTER changes a rule, and a column that names a change.

    Nothing names this table; its indexes go with it and are made again.
    """
    made = connection.execute(
        sa.text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'letter'")
    ).scalar_one()
    indexes = connection.execute(sa.text(
        "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'letter' AND sql IS NOT NULL"
    )).scalars().all()
    for pattern, new in {
        r"^CREATE TABLE \"?letter\"?": "CREATE TABLE letter_anew",
        re.escape(f"kind IN ({_BEFORE})"): f"kind IN ({_SINCE})",
        r"(\n\s*)(subscriber INTEGER,)": r"\1\2\1address_change INTEGER,",
        r"(CONSTRAINT fk_letter_subscriber_subscriber )":
            "CONSTRAINT fk_letter_address_change_address_change FOREIGN KEY(address_change) REFERENCES "
            r"address_change (id) ON DELETE SET NULL, \1",
    }.items():
        made, found = re.subn(pattern, new, made, count=1)
        if not found:
            raise ValueError(f"{pattern} is not in what made letter")
    names = ", ".join(row[1] for row in connection.exec_driver_sql("PRAGMA table_info(letter)"))
    connection.exec_driver_sql(made)
    connection.exec_driver_sql(f"INSERT INTO letter_anew ({names}) SELECT {names} FROM letter ORDER BY id")  # noqa: S608
    connection.exec_driver_sql("DROP TABLE letter")
    connection.exec_driver_sql("ALTER TABLE letter_anew RENAME TO letter")
    for index in indexes:
        connection.exec_driver_sql(index)
