"""One more role of operators: a writer edits drafts and approves none."""

import re

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

_BEFORE = "'viewer', 'editor', 'admin'"
_SINCE = "'viewer', 'writer', 'editor', 'admin'"


def upgrade() -> None:
    """From 0035."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        op.drop_constraint(op.f("ck_operator_role"), "operator", type_="check")
        op.create_check_constraint(op.f("ck_operator_role"), "operator", f"role IN ({_SINCE})")
    else:
        _operators_anew(connection)


def _operators_anew(connection: sa.Connection) -> None:
    """SQLite: the same table with one more role, since no ALTER changes a rule; others go on naming it."""
    made = str(connection.exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'operator'"
    ).scalar_one())
    for pattern, new in (
        (r'^CREATE TABLE "?operator"?', "CREATE TABLE operator_anew"),
        (re.escape(f"role IN ({_BEFORE})"), f"role IN ({_SINCE})"),
    ):
        made, found = re.subn(pattern, new, made, count=1)
        if not found:
            raise ValueError(f"{pattern} is not in what made operator")
    connection.exec_driver_sql(made)
    connection.exec_driver_sql("INSERT INTO operator_anew SELECT * FROM operator ORDER BY id")
    connection.exec_driver_sql("DROP TABLE operator")
    connection.exec_driver_sql("ALTER TABLE operator_anew RENAME TO operator")
