"""On SQLite an index by which readers are counted by all that their place in an issue depends on."""

from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0039."""
    if op.get_bind().dialect.name == "sqlite":
        op.create_index("ix_subscriber_kind", "subscriber", [
            "state", "cadence", "topics", "language", "paused_until", "pause_skips", "created_at",
        ])
