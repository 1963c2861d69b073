"""When the hand-over of an issue began: the day that its masthead and its Date say."""

import sqlalchemy as sa
from alembic import op

from store.schema.columns import Moment

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0012. What went out before keeps the day that its mails have: none is known here."""
    op.add_column("issue", sa.Column("handed_over_at", Moment()))
