"""Snapshots that a browser rendered: by which, and the document that it began with."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0036."""
    op.add_column("snapshot", sa.Column("rendered_by", sa.Text()))
    op.execute(  # alembic adds no column with a foreign key on SQLite
        "ALTER TABLE snapshot ADD COLUMN document_sha VARCHAR(64) "
        "CONSTRAINT fk_snapshot_document_sha_blob REFERENCES blob (sha256)"
    )
    rendered = sa.text("document_sha IS NOT NULL")
    op.create_index(
        "ix_snapshot_document", "snapshot", ["document_sha"], postgresql_where=rendered, sqlite_where=rendered
    )
