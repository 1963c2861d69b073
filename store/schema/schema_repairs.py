"""The tables of what is put right: milestones that took another key, and snapshots that were read again."""

import sqlalchemy as sa

from store.schema.columns import Json, Moment
from store.schema.metadata import metadata, one_of

DECISIONS = ("pending", "rename", "new")

renaming = sa.Table(
    "renaming", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.ForeignKey("source.key"), nullable=False),
    sa.Column("milestone_id", sa.ForeignKey("milestone.id"), nullable=False),  # the one that was known before
    sa.Column("other_id", sa.ForeignKey("milestone.id"), unique=True),  # the one that may be the same; NULL once it is
    sa.Column("old_key", sa.Text, nullable=False),
    sa.Column("new_key", sa.Text, nullable=False),
    sa.Column("score", sa.Double),  # how alike they are, 0..1
    sa.Column("proof", sa.String(10), nullable=False),
    sa.Column("look_id", sa.ForeignKey("look.id")),
    sa.Column("detected_at", Moment, nullable=False),
    sa.Column("decision", sa.String(7), nullable=False),
    sa.Column("decided_at", Moment),
    sa.Column("why", sa.Text),
    one_of("decision", DECISIONS),
    sa.Index(None, "source", "old_key"),
)

backfill = sa.Table(
    "backfill", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.ForeignKey("source.key"), nullable=False),
    sa.Column("extractor", sa.Text, nullable=False),  # who read
    sa.Column("parameters", Json, nullable=False),  # what was selected
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("finished_at", Moment),
    sa.Column("undone_at", Moment),
    sa.Column("undone_why", sa.Text),
    sa.Column("read_to", sa.Text),  # the last page's URL: a killed run goes on there
    sa.Column("read", sa.Integer, nullable=False, server_default="0"),
    sa.Column("failed", sa.Integer, nullable=False, server_default="0"),
    sa.Column("failures", Json, nullable=False, server_default="[]"),
    sa.Column("versions", sa.Integer, nullable=False, server_default="0"),  # it wrote
    sa.Index(None, "source", "id"),
)

# What a backfill read and has not written yet: all of it becomes versions in one transaction, at its end.
backfill_record = sa.Table(
    "backfill_record", metadata,
    sa.Column("backfill_id", sa.ForeignKey("backfill.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("snapshot_id", sa.ForeignKey("snapshot.id"), nullable=False),
    sa.Column("record", Json, nullable=False),
    sa.Index(None, "snapshot_id"),
)
