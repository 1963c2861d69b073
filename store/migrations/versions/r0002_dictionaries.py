"""Dictionaries for the compression of pages; what is stored already was packed without one."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0001."""
    op.create_table(
        "dictionary",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("trained_at", Moment(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dictionary")),
    )
    # In words: Alembic can't add a column with a foreign key on SQLite, though SQLite can.
    op.execute(
        "ALTER TABLE blob ADD COLUMN dictionary INTEGER "
        "CONSTRAINT fk_blob_dictionary_dictionary REFERENCES dictionary (id)"
    )
