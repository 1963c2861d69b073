"""The Related cards of a milestone as last read, which make no version; and ways to find who needs a snapshot."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import Json

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0006."""
    op.add_column("milestone", sa.Column("related", Json()))
    for table, column in (("page", "last_snapshot_id"), ("page", "read_snapshot_id"),
                          ("backfill_record", "snapshot_id")):
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column], unique=False)
