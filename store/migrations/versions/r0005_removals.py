"""What is missing from a source, what took another key, and backfills that can be resumed and undone."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import Json, Moment

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0004."""
    op.add_column("look", sa.Column("listed", sa.Integer()))
    op.add_column("look", sa.Column("guard", sa.String(12)))
    op.add_column("page", sa.Column("moved_to", sa.Text()))
    op.create_table(
        "renaming",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("milestone_id", sa.Integer(), nullable=False),
        sa.Column("other_id", sa.Integer(), nullable=True),
        sa.Column("old_key", sa.Text(), nullable=False),
        sa.Column("new_key", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("proof", sa.String(length=10), nullable=False),
        sa.Column("look_id", sa.Integer(), nullable=True),
        sa.Column("detected_at", Moment(), nullable=False),
        sa.Column("decision", sa.String(length=7), nullable=False),
        sa.Column("decided_at", Moment(), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.CheckConstraint("decision IN ('pending', 'rename', 'new')", name=op.f("ck_renaming_decision")),
        sa.ForeignKeyConstraint(["source"], ["source.key"], name=op.f("fk_renaming_source_source")),
        sa.ForeignKeyConstraint(["milestone_id"], ["milestone.id"], name=op.f("fk_renaming_milestone_id_milestone")),
        sa.ForeignKeyConstraint(["other_id"], ["milestone.id"], name=op.f("fk_renaming_other_id_milestone")),
        sa.ForeignKeyConstraint(["look_id"], ["look.id"], name=op.f("fk_renaming_look_id_look")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_renaming")),
        sa.UniqueConstraint("other_id", name=op.f("uq_renaming_other_id")),
    )
    op.create_index(op.f("ix_renaming_source_old_key"), "renaming", ["source", "old_key"], unique=False)
    op.create_table(
        "backfill",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("extractor", sa.Text(), nullable=False),
        sa.Column("parameters", Json(), nullable=False),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("finished_at", Moment(), nullable=True),
        sa.Column("undone_at", Moment(), nullable=True),
        sa.Column("undone_why", sa.Text(), nullable=True),
        sa.Column("read_to", sa.Text(), nullable=True),
        sa.Column("read", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", Json(), server_default="[]", nullable=False),
        sa.Column("versions", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["source"], ["source.key"], name=op.f("fk_backfill_source_source")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backfill")),
    )
    op.create_index(op.f("ix_backfill_source_id"), "backfill", ["source", "id"], unique=False)
    op.create_table(
        "backfill_record",
        sa.Column("backfill_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("snapshot_id", sa.Integer(), nullable=False),
        sa.Column("record", Json(), nullable=False),
        sa.ForeignKeyConstraint(
            ["backfill_id"], ["backfill.id"], name=op.f("fk_backfill_record_backfill_id_backfill"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["snapshot_id"], ["snapshot.id"], name=op.f("fk_backfill_record_snapshot_id_snapshot")
        ),
        sa.PrimaryKeyConstraint("backfill_id", "key", name=op.f("pk_backfill_record")),
    )
    # In words: Alembic can't add a column with a foreign key on SQLite, though SQLite can.
    op.execute(
        "ALTER TABLE page ADD COLUMN missing_look INTEGER CONSTRAINT fk_page_missing_look_look REFERENCES look (id)"
    )
    op.execute(
        "ALTER TABLE milestone_version ADD COLUMN backfill_id INTEGER "
        "CONSTRAINT fk_milestone_version_backfill_id_backfill REFERENCES backfill (id)"
    )
    op.create_index(
        "ix_milestone_version_backfill_id", "milestone_version", ["backfill_id"], unique=False,
        postgresql_where=sa.text("backfill_id IS NOT NULL"), sqlite_where=sa.text("backfill_id IS NOT NULL"),
    )
