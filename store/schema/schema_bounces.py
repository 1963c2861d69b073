"""The table of what came back: one row for each report that was read, whatever became of it."""

import sqlalchemy as sa

from store.schema.columns import BigKey, Moment
from store.schema.metadata import metadata, one_of

GRADES = ("hard", "soft", "policy", "delayed", "delivered", "complaint", "unclear")

bounce = sa.Table(
    "bounce", metadata,
    sa.Column("id", BigKey, primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),  # SHA-256 of the report: it counts once
    sa.Column("read_at", Moment, nullable=False),
    sa.Column("delivery_id", sa.ForeignKey("delivery.id")),  # NULL: it proved nothing, and nothing was done
    sa.Column("proof", sa.String(10)),  # how it named its delivery
    sa.Column("grade", sa.String(10), nullable=False),
    sa.Column("code", sa.Integer),
    sa.Column("enhanced", sa.String(16)),
    sa.Column("text", sa.Text, nullable=False),
    one_of("grade", GRADES),
    sa.Index(None, "delivery_id", "id"),
)
