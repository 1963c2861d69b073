"""What operators were told, and the messages on their way."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import BigKey, Moment

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0023."""
    op.create_table(
        "notice",
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("says", sa.Text, nullable=False),
        sa.Column("since", Moment, nullable=False),
        sa.Column("told_at", Moment),
        sa.Column("gone_at", Moment),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_notice")),
    )
    op.create_table(
        "notice_message",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("next_attempt_at", Moment, nullable=False),
        sa.Column("sent_at", Moment),
        sa.Column("why", sa.Text, nullable=False),
        sa.CheckConstraint("state IN ('queued', 'sent', 'dropped')", name=op.f("ck_notice_message_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_message")),
    )
    op.create_index(op.f("ix_notice_message_state_next_attempt_at"), "notice_message", ["state", "next_attempt_at"])
    op.create_index(op.f("ix_notice_message_channel_id"), "notice_message", ["channel", "id"])
