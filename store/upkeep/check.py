"""Is the database sound? Its pages, its keys, its revision, a sample of its blobs, and the equation of every issue."""

import sqlalchemy as sa

from milepost.errors import StoreError
from store.archive.blobs import Codec
from store.engine import Database
from store.issues.issues import verify_variants
from store.ledger import queries
from store.milestones import search
from store.schema.tables import HEAD, blob, issue

SAMPLE = 200  # blobs whose hash is taken again


def check(database: Database, *, sample: int | None = SAMPLE) -> list[str]:
    """One sentence for each thing that is wrong, [] when nothing is; `sample` None reads every blob."""
    findings: list[str] = []
    with database.connect() as connection:
        revision = int(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one())
        if revision != HEAD:
            findings.append(f"it is of revision {revision:04d}, this program needs {HEAD:04d}")
        if database.dialect == "sqlite":
            findings += _pages(connection)
        findings += _blobs(connection, sample)
        findings += _issues(connection)
        if not search.is_whole(connection):
            findings.append("the search index is not complete; `milepost db upgrade` makes it anew")
    return findings


def _pages(connection: sa.Connection) -> list[str]:
    """SQLite only: PostgreSQL checks its pages and keys by itself."""
    broken = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(20)") if row[0] != "ok"]
    orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    return [f"integrity: {line}" for line in broken] + [
        f"row {row[1]} of {row[0]} points to a row of {row[2]} that is missing" for row in orphans[:20]
    ]


def _blobs(connection: sa.Connection, sample: int | None) -> list[str]:
    findings, codec = [], Codec()
    # By hash is as good as at random, and asks the database for nothing special.
    query = sa.select(blob).order_by(blob.c.sha256).limit(sample)
    with connection.execute(query, execution_options={"yield_per": 20}) as rows:
        for row in rows:
            try:
                codec.unpack(connection, row)
            except StoreError as error:
                findings.append(f"{error.where}: {error.what}")
    return findings


def _issues(connection: sa.Connection) -> list[str]:
    findings = []
    frozen = sa.select(issue.c.number).where(issue.c.frozen_at.is_not(None)).order_by(issue.c.number)
    for number in connection.execute(frozen).scalars().all():
        counts = queries.counts(connection, number)
        if not counts.balanced:
            findings.append(
                f"issue {number}: {counts.candidates} candidates are not the {sum(counts.states.values())} deliveries "
                f"and {sum(counts.exclusions.values())} exclusions in the ledger"
            )
        try:
            verify_variants(connection, number)
        except StoreError as error:
            findings.append(str(error))
    return findings
