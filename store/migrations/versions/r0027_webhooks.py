"""What others are told by webhooks."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import BigKey, Moment

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0026."""
    op.create_table(
        "webhook_message",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("event", sa.String(60), nullable=False),
        sa.Column("endpoint", sa.String(16), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("next_attempt_at", Moment, nullable=False),
        sa.Column("settled_at", Moment),
        sa.Column("why", sa.Text, nullable=False),
        sa.CheckConstraint("state IN ('queued', 'sent', 'dropped')", name=op.f("ck_webhook_message_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_message")),
        sa.UniqueConstraint("endpoint", "event", name=op.f("uq_webhook_message_endpoint_event")),
    )
    op.create_index(op.f("ix_webhook_message_state_next_attempt_at"), "webhook_message", ["state", "next_attempt_at"])
