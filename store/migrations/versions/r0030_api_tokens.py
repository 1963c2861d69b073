"""Tokens of programs that ask and decide over the API, and an index of the looks that wait."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import BigKey, Json, Moment

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0029."""
    op.create_table(
        "api_token",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("scopes", Json, nullable=False),
        sa.Column("made_by", sa.String(100), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("expires_at", Moment),
        sa.Column("last_used_at", Moment),
        sa.Column("revoked_at", Moment),
        sa.Column("revoked_why", sa.Text),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
        sa.UniqueConstraint("name", name=op.f("uq_api_token_name")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_token_token_hash")),
    )
    waits = sa.text("held IS NOT NULL AND released_at IS NULL")
    op.create_index("ix_look_waiting", "look", ["id"], postgresql_where=waits, sqlite_where=waits)
