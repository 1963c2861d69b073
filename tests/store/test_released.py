"""A database of every release, upgraded: what is on record hashes as it did, and what was sent renders as it was."""

import datetime as dt
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from console.demo.site.server import SampleSite
from milepost.codec import milestone_from_json, milestone_to_json
from milepost.errors import NotFoundError
from milepost.fingerprint import fingerprint, hashed_record
from milepost.records import ReaderLink
from milepost.settings import Settings, parse
from pipeline.edit import replay
from pipeline.look.scrape import scrape
from store.database import Database, check, connect
from store.issues.issues import Issues
from store.schema.tables import milestone_version, subscriber
from store.subscribers.people import Subscribers
from store.upkeep.numbering import FAR
from tests import released

ISSUES = (1, 2)
NOW = dt.datetime(2026, 11, 30, 9, 0, tzinfo=dt.UTC)


@pytest.fixture(params=released.RELEASES)
def url(request: pytest.FixtureRequest, empty_url: str) -> str:
    """The database of one release, upgraded to today's."""
    released.restore(empty_url, request.param)
    return empty_url


@pytest.fixture
def settings(url: str) -> Iterator[Settings]:
    """Settings that lead to it, and to its site: every page deployed anew, its content as it was."""
    with SampleSite() as site:
        site.deploy(released.site())
        yield parse({
            "store": {"url": url},
            "sources": [{"key": "lights", "extractor": "sample", "base_url": site.base_url, "fetch_from": site.url,
                         "allow_hosts": ["127.0.0.1"]}],
            "fetch": {"retries": 0}, "newsletter": {"name": "Another name since"},
        })


def versions(database: Database) -> list[tuple[int, str]]:
    columns = milestone_version.c
    query = sa.select(columns.milestone_id, columns.fingerprint).order_by(columns.id)
    with database.connect() as connection:
        return [(row.milestone_id, row.fingerprint) for row in connection.execute(query)]


def test_every_record_reads_writes_and_hashes_as_it_did(url: str) -> None:
    with connect(url) as database, database.connect() as connection:
        rows = connection.execute(sa.select(milestone_version.c.record, milestone_version.c.fingerprint)).all()
        assert len(rows) == 5
        for row in rows:
            record = milestone_from_json(row.record)
            written = {name: value for name, value in row.record.items() if name != "evidence"}
            assert hashed_record(record) == written
            assert milestone_to_json(record).keys() - row.record.keys() == record.unknown - set(row.record["unknown"])
            assert fingerprint(record) == row.fingerprint
        assert check(database) == []


def test_links_of_that_release_lead_to_whom_they_were_mailed_to_and_to_nobody_since(url: str) -> None:
    with connect(url) as database:
        people = Subscribers(database)
        for who in people.list():
            assert people.linked(ReaderLink(subscriber_id=who.id)) == who
        new, _ = people.add("since@readers.example", now=NOW)
        with database.connect() as connection:
            rows = connection.execute(sa.select(subscriber.c.id, subscriber.c.handle))
            handles = {row.id: row.handle for row in rows}
        assert people.linked(ReaderLink(handle=handles[new.id])) == new
        for nobody in (ReaderLink(subscriber_id=new.id), ReaderLink(handle="0" * 20), ReaderLink()):
            with pytest.raises(NotFoundError):
                people.linked(nobody)


def test_a_backup_of_that_release_gives_no_id_again_once_it_is_upgraded(empty_url: str) -> None:
    released.restore(empty_url, released.RELEASES[-1], marked=True)
    with connect(empty_url) as database:
        assert Subscribers(database).add("since@readers.example", now=NOW)[0].id > FAR


def test_a_redeploy_of_the_same_site_makes_no_version(settings: Settings) -> None:
    with connect(settings.store.url) as database:
        before = versions(database)
        report = scrape(settings, "lights")
        assert (report.fetched, report.milestones, report.held, report.failures) == (9, 4, None, ())
        assert {kind for kind, count in report.changes.items() if count} == set()
        assert versions(database) == before
        assert Issues(database).unannounced("instant") == Issues(database).corrections("instant") == []


def test_what_was_sent_is_rendered_again_byte_for_byte(settings: Settings) -> None:
    with connect(settings.store.url) as database:
        for number in ISSUES:
            again = replay(settings, database, number)
            assert (again.differing, again.variants) == ((), 1)
