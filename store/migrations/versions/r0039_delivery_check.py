"""The rule of a delivery's states in a form that costs SQLite next to nothing, without writing a row of the ledger.

SQLite allows the text of a CHECK to be changed in the schema itself, since no byte of a row depends on it
(https://www.sqlite.org/lang_altertable.html#otheralter, the second procedure), so that a ledger of millions is not
written anew. It is in the upgrade's one transaction like everything else. PostgreSQL's rule costs nothing as it is.
"""

import re

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

_RULE = re.compile(r"CHECK \(state IN \(([^()]*)\)\)")
_STATES = ("pending", "claimed", "sending", "sent", "deferred", "failed", "unknown", "suppressed", "cancelled")


def upgrade() -> None:
    """From 0038."""
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        return
    table = sa.table("sqlite_master", sa.column("type"), sa.column("name"), sa.column("sql"))
    of_delivery = sa.and_(table.c.type == "table", table.c.name == "delivery")
    text = connection.execute(sa.select(table.c.sql).where(of_delivery)).scalar_one()
    rules = _RULE.findall(text)
    if len(rules) != 1 or sorted(re.findall(r"'(\w+)'", rules[0])) != sorted(_STATES):
        raise RuntimeError(f"the table of deliveries has another rule than it was given: {rules}")
    either = " OR ".join(f"state = '{state}'" for state in _STATES)
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    connection.execute(sa.update(table).where(of_delivery).values(sql=_RULE.sub(f"CHECK ({either})", text)))
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")  # so that who has it open reads it anew
    connection.exec_driver_sql("PRAGMA writable_schema = RESET")
    # … and the index whose condition was an IN as well: it is looked at whenever a row's state changes.
    op.drop_index("ix_delivery_ended", "delivery")
    ended = sa.text("state = 'failed' OR state = 'suppressed' OR state = 'cancelled'")
    op.create_index("ix_delivery_ended", "delivery", ["issue", "subscriber"], sqlite_where=ended)
