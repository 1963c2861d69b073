"""Full-text search over milestones: FTS5 on SQLite, a tsvector on PostgreSQL, the same words on both.

    a record ─▶ document (title, text, names, without accents) ─▶ milestone_search ◀─ words of a question, all of them
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from milepost.errors import InputError
from milepost.fields import FIELD
from milepost.records import Milestone, StoredMilestone
from store.engine import Database
from store.milestones.milestone_queries import current_by_id
from store.schema.tables import milestone

_WORDS = re.compile(r"[^\W_]+")
MAX_WORDS = 20  # of a question
MAX_SIGNS = 100_000  # of a field; PostgreSQL takes no document beyond 1 MB


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One milestone that has all the words."""

    stored: StoredMilestone
    score: float  # the higher the better; comparable within one answer only


class Search:
    """Finds milestones by words."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def search(self, text: str, limit: int = 20) -> list[Found]:
        """Milestones that are present and have every word of `text` (English endings aside), the best first.

        The last word may be the beginning of one. Raises InputError when there is no word in it.
        """
        words = _WORDS.findall(_plain(text))[:MAX_WORDS]
        if not words:
            raise InputError("there is no word to look for", where=repr(text))
        with self._database.connect() as connection:
            if connection.dialect.name == "postgresql":
                statement, question = _POSTGRESQL, " & ".join(words) + ":*"
            else:
                statement, question = _SQLITE, " ".join(f'"{word}"' for word in words) + "*"
            rows = connection.execute(statement, {"question": question, "limit": limit}).all()
            found = current_by_id(connection, [row.milestone_id for row in rows])
        return [Found(stored=found[row.milestone_id], score=float(row.score)) for row in rows]


# bm25 weighs a word in the title ten times one in the text; smaller is better, hence the sign.
_SQLITE = sa.text("""
SELECT milestone_search.rowid AS milestone_id, -bm25(milestone_search, 10.0, 1.0, 4.0) AS score
FROM milestone_search JOIN milestone ON milestone.id = milestone_search.rowid
WHERE milestone_search MATCH :question AND milestone.state = 'present'
ORDER BY score DESC, milestone_id LIMIT :limit
""")

_POSTGRESQL = sa.text("""
SELECT milestone_search.milestone_id, ts_rank('{0.1, 0.1, 0.4, 1.0}', words, question) AS score
FROM milestone_search JOIN milestone ON milestone.id = milestone_search.milestone_id,
     to_tsquery('english', :question) AS question
WHERE words @@ question AND milestone.state = 'present'
ORDER BY score DESC, milestone_id LIMIT :limit
""")


_PUT_SQLITE = sa.text(
    "INSERT OR REPLACE INTO milestone_search (rowid, title, text, names) VALUES (:id, :title, :text, :names)"
)

_PUT_POSTGRESQL = sa.text(
    "INSERT INTO milestone_search (milestone_id, title, text, names) VALUES (:id, :title, :text, :names) "
    "ON CONFLICT (milestone_id) DO UPDATE SET title = excluded.title, text = excluded.text, names = excluded.names"
)


def index(connection: sa.Connection, records: Mapping[int, Milestone]) -> None:
    """Make milestones, by their ids, be found by what their records say now."""
    values = [{"id": milestone_id} | document(record) for milestone_id, record in records.items()]
    connection.execute(_PUT_POSTGRESQL if connection.dialect.name == "postgresql" else _PUT_SQLITE, values)


def forget(connection: sa.Connection, milestone_id: int) -> None:
    """Make a milestone be found no more."""
    key = "milestone_id" if connection.dialect.name == "postgresql" else "rowid"
    connection.execute(sa.text(f"DELETE FROM milestone_search WHERE {key} = :id"), {"id": milestone_id})  # noqa: S608


def reindex(connection: sa.Connection) -> int:
    """Index every milestone anew; returns how many there are."""
    connection.execute(sa.text("DELETE FROM milestone_search"))
    ids = connection.execute(sa.select(milestone.c.id).order_by(milestone.c.id)).scalars().all()
    for start in range(0, len(ids), 500):
        some = current_by_id(connection, ids[start : start + 500])
        if some:
            index(connection, {stored.id: stored.milestone for stored in some.values()})
    return len(ids)


def is_whole(connection: sa.Connection) -> bool:
    """Whether as many milestones are indexed as there are."""
    indexed = connection.execute(sa.text("SELECT count(*) FROM milestone_search")).scalar_one()
    return bool(indexed == connection.execute(sa.select(sa.func.count()).select_from(milestone)).scalar_one())


def document(record: Milestone) -> dict[str, str]:
    """What a milestone is found by."""
    parts: dict[str, list[str]] = {"title": [], "text": [], "names": []}
    for name, field in FIELD.items():
        if field.search:
            value = getattr(record, name)
            parts[field.search] += [value or ""] if field.type not in ("names", "slugs") else value
    return {name: _plain("\n".join(told)) for name, told in parts.items()}


def _plain(text: str) -> str:
    """Without accents and without what PostgreSQL's text can't hold."""
    if text.isascii():
        return text.replace("\0", " ").lower()[:MAX_SIGNS]
    decomposed = unicodedata.normalize("NFKD", text.replace("\0", " "))
    plain = "".join(sign for sign in decomposed if not unicodedata.combining(sign))
    return plain.encode("utf-8", "replace").decode("utf-8").lower()[:MAX_SIGNS]
