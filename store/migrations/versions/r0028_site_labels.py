"""How the sites write what their slugs stand for."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import Moment

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0026."""
    op.create_table(
        "site_label",
        sa.Column("source", sa.String(40), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("pages", sa.Integer(), nullable=False),
        sa.Column("met_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["source"], ["source.key"], name=op.f("fk_site_label_source_source")),
        sa.PrimaryKeyConstraint("source", "slug", "words", name=op.f("pk_site_label")),
    )
