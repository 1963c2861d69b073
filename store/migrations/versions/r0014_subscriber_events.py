"""What operators did about an address: who, when and why."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import BigKey, Moment

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0013."""
    op.create_table(
        "subscriber_event",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("address_hash", sa.String(length=64), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("action", sa.String(length=12), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriber_event")),
    )
    op.create_index(
        op.f("ix_subscriber_event_address_hash_id"), "subscriber_event", ["address_hash", "id"], unique=False
    )
