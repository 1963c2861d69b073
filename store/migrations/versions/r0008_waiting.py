"""Deliveries are found by what waits and what is in doubt; the others move on without touching an index."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0007."""
    op.drop_index(op.f("ix_delivery_issue_state_id"), table_name="delivery")
    for state in ("pending", "unknown"):
        which = sa.text(f"state = '{state}'")
        op.create_index(
            f"ix_delivery_{state}", "delivery", ["issue", "id"], unique=False,
            sqlite_where=which, postgresql_where=which,
        )
