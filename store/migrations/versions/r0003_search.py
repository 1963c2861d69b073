"""An index of the milestones' words; `store.database.upgrade` fills it."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

POSTGRESQL = """
CREATE TABLE milestone_search (
    milestone_id INTEGER NOT NULL CONSTRAINT pk_milestone_search PRIMARY KEY
        CONSTRAINT fk_milestone_search_milestone_id_milestone REFERENCES milestone (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    names TEXT NOT NULL,
    words TSVECTOR NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('english', title), 'A') || setweight(to_tsvector('english', names), 'B')
        || to_tsvector('english', text)
    ) STORED
)
"""


def upgrade() -> None:
    """From 0002."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(POSTGRESQL)
        op.execute("CREATE INDEX ix_milestone_search_words ON milestone_search USING gin (words)")
    else:
        op.execute(
            "CREATE VIRTUAL TABLE milestone_search USING fts5 (title, text, names, tokenize = 'porter unicode61')"
        )
