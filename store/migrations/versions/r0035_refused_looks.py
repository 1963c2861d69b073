"""A held look can be refused; reasons that operators gave before they were kept without addresses lose theirs."""

import re

import sqlalchemy as sa
from alembic import op

from store.schema.columns import Moment

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

_ADDRESS = re.compile(r"""[^\s<>"'(),;:/@]+@[^\s<>"'(),;:/@]+""")  # as milepost.printable has it now


def upgrade() -> None:
    """From 0034."""
    op.add_column("look", sa.Column("refused_at", Moment(), nullable=True))
    op.add_column("look", sa.Column("refused_why", sa.Text(), nullable=True))
    op.add_column("look", sa.Column("as_refused", sa.Integer(), nullable=True))
    act = sa.table("act", *(sa.column(name, sa.Text) for name in ("why", "said", "about")), sa.column("id", sa.Integer))
    names = ("why", "said", "about")
    for row in op.get_bind().execute(
        sa.select(act).where(sa.or_(*(act.c[name].contains("@") for name in names)))
    ).all():
        op.execute(sa.update(act).where(act.c.id == row.id).values(
            {name: _ADDRESS.sub("(address)", getattr(row, name)) for name in names}
        ))
