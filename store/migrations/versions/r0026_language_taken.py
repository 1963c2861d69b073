"""Whether the language of a sign-up was taken on its page, or only the browser's."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From 0025."""
    op.add_column(
        "sign_up", sa.Column("language_taken", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
