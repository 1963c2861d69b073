"""What lists and figures of the desk are found by: readers by state, and deliveries that ended otherwise than sent."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0031."""
    op.create_index(op.f("ix_subscriber_state_id"), "subscriber", ["state", "id"])
    ended = sa.text("state IN ('failed', 'suppressed', 'cancelled')")
    op.create_index(
        "ix_delivery_ended", "delivery", ["issue", "subscriber"], postgresql_where=ended, sqlite_where=ended
    )
