"""What a source's labels stand for, what its records are measured by, and who told their fields when last read."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import Json, Moment

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0009."""
    op.create_table(
        "source_label",
        sa.Column("source", sa.String(40), nullable=False),
        sa.Column("field", sa.String(20), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("learnt_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["source"], ["source.key"], name=op.f("fk_source_label_source_source")),
        sa.PrimaryKeyConstraint("source", "field", "label", "slug", name=op.f("pk_source_label")),
    )
    op.create_table(
        "source_profile",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(40), nullable=False),
        sa.Column("look_id", sa.Integer(), nullable=False),
        sa.Column("data", Json(), nullable=False),
        sa.Column("made_at", Moment(), nullable=False),
        sa.Column("taken_at", Moment()),
        sa.Column("once", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("used_at", Moment()),
        sa.ForeignKeyConstraint(["source"], ["source.key"], name=op.f("fk_source_profile_source_source")),
        sa.ForeignKeyConstraint(["look_id"], ["look.id"], name=op.f("fk_source_profile_look_id_look")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_profile")),
    )
    op.create_index(op.f("ix_source_profile_source_id"), "source_profile", ["source", "id"], unique=False)
    for name in ("notes", "degraded"):
        op.add_column("look", sa.Column(name, Json(), server_default="[]", nullable=False))
    op.add_column("milestone", sa.Column("evidence", Json()))
