"""The pictures of sites that we serve ourselves."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import Moment

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0021."""
    op.create_table(
        "picture",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("media_type", sa.String(20), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary()),
        sa.Column("fetched_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_picture")),
    )
    op.create_index(op.f("ix_picture_source"), "picture", ["source"], unique=False)
