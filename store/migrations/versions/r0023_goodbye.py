"""The letter that says goodbye."""

import re

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_BEFORE = "'confirm', 'remind', 'welcome', 'move', 'moved'"
_SINCE = f"{_BEFORE}, 'goodbye'"


def upgrade() -> None:
    """From 0022."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        op.drop_constraint(op.f("ck_letter_kind"), "letter", type_="check")
        op.create_check_constraint(op.f("ck_letter_kind"), "letter", f"kind IN ({_SINCE})")
    else:
        _letters_anew(connection)


def _letters_anew(connection: sa.Connection) -> None:
    """SQLite: the same table with one more kind, since no ALTER changes a rule. Nothing names this table."""
    made = str(connection.exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'letter'"
    ).scalar_one())
    indexes = connection.exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'letter' AND sql IS NOT NULL"
    ).scalars().all()
    for pattern, new in (
        (r'^CREATE TABLE "?letter"?', "CREATE TABLE letter_anew"),
        (re.escape(f"kind IN ({_BEFORE})"), f"kind IN ({_SINCE})"),
    ):
        made, found = re.subn(pattern, new, made, count=1)
        if not found:
            raise ValueError(f"{pattern} is not in what made letter")
    connection.exec_driver_sql(made)
    connection.exec_driver_sql("INSERT INTO letter_anew SELECT * FROM letter ORDER BY id")
    connection.exec_driver_sql("DROP TABLE letter")
    connection.exec_driver_sql("ALTER TABLE letter_anew RENAME TO letter")
    for index in indexes:
        connection.exec_driver_sql(index)
