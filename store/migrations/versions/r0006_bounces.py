"""Reports that came back: what each said of its delivery, and that it was read."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import BigKey, Moment

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0005."""
    op.create_table(
        "bounce",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("read_at", Moment(), nullable=False),
        sa.Column("delivery_id", BigKey, nullable=True),
        sa.Column("proof", sa.String(length=10), nullable=True),
        sa.Column("grade", sa.String(length=10), nullable=False),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("enhanced", sa.String(length=16), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "grade IN ('hard', 'soft', 'policy', 'delayed', 'delivered', 'complaint', 'unclear')",
            name=op.f("ck_bounce_grade"),
        ),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_bounce_delivery_id_delivery")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bounce")),
        sa.UniqueConstraint("digest", name=op.f("uq_bounce_digest")),
    )
    op.create_index(op.f("ix_bounce_delivery_id_id"), "bounce", ["delivery_id", "id"], unique=False)
