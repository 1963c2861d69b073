"""Who may subscribe, in and out by the file, and the list of addresses never to be mailed."""

import csv
import datetime as dt
import io
import re

import pytest
import sqlalchemy as sa

from milepost.errors import InputError, NotFoundError
from milepost.records import Reply
from store.database import check
from store.schema import tables
from store.subscribers.addresses import parse
from store.subscribers.people import COLUMNS, Subscribers, read_csv
from store.subscribers.suppressions import Suppressions
from tests.hand_over import settle
from tests.store.conftest import NOW, World

LATER = NOW + dt.timedelta(days=1)


@pytest.mark.parametrize(
    ("given", "address", "normalized"),
    [
        pytest.param("Ada.Lovelace+news@Example.ORG", "Ada.Lovelace+news@example.org",
                     "ada.lovelace+news@example.org", id="case"),
        pytest.param(" ada@example.org\t", "ada@example.org", "ada@example.org", id="blanks"),
        pytest.param("ada@bücher.example.org", "ada@xn--bcher-kva.example.org",
                     "ada@xn--bcher-kva.example.org", id="idn"),
    ],
)
def test_addresses_we_take(world: World, given: str, address: str, normalized: str) -> None:
    who, new = world.subscribers.add(given, now=NOW)
    assert (who.address, who.normalized, new) == (address, normalized, True)
    assert world.subscribers.find(given) == who == world.subscribers.get(who.id)


@pytest.mark.parametrize(
    "given",
    [
        "", "ada", "ada@", "@example.org", "a@example.org, b@example.org", "a@example.org b@example.org",
        "a@example.org\r\nBcc: b@example.org", "a@example.org\n", "\ra@example.org", '"a b"@example.org',
        '"a@evil"@example.org', "Ada <a@example.org>", "dö@example.org", "a@[127.0.0.1]", "a@localhost",
        "a\0@example.org",
        "a@example.org\0", "a..b@example.org", "a＠example.org", "x" * 65 + "@example.org", "a@" + "x" * 250 + ".org",
    ],
)
def test_addresses_we_refuse(given: str) -> None:
    with pytest.raises(InputError, match="not an e-mail address we can send to"):
        parse(given)


def test_nobody_is_added_under_no_address(world: World) -> None:
    with pytest.raises(InputError):
        world.subscribers.add("a@example.org, b@example.org", now=NOW)
    assert world.subscribers.list() == []


def test_adding_twice_changes_nothing(world: World) -> None:
    first, _ = world.subscribers.add("ada@example.org", cadence="weekly", topics=["research"], now=NOW)
    again, new = world.subscribers.add("ADA@example.org", cadence="daily", now=LATER)
    assert (again, new) == (first, False)
    assert (first.cadence, first.topics, first.state) == ("weekly", ("research",), "active")


def test_states_and_choices(world: World) -> None:
    who, _ = world.subscribers.add("ada@example.org", state="pending", now=NOW)
    assert world.subscribers.set_state(who.id, "active", LATER).state == "active"
    assert world.subscribers.set_choice(who.id, cadence="monthly", topics=["a", "b"]).topics == ("a", "b")
    assert world.subscribers.set_state(who.id, "unsubscribed", LATER).state == "unsubscribed"
    world.subscribers.add("bo@example.org", now=NOW)
    assert world.subscribers.counts() == {"active": 1, "unsubscribed": 1}
    assert [found.address for found in world.subscribers.list(state="active")] == ["bo@example.org"]
    assert [found.address for found in world.subscribers.list(cadence="monthly")] == ["ada@example.org"]
    with pytest.raises(NotFoundError):
        world.subscribers.set_state(99, "active", LATER)


FILE = """\ufeffEmail,cadence,topics,note
ada@example.org,weekly,research; hardware,x
not an address,,,
ADA@example.org,daily,,
bo@example.org,,,
cy@example.org,hourly,,
"""


def test_import_reports_bad_rows_and_goes_on(world: World) -> None:
    imported = world.subscribers.import_(read_csv(io.StringIO(FILE)), now=NOW, cadence="daily")
    assert (imported.added, imported.known) == (2, 1)
    assert [line for line, _ in imported.errors] == [3, 6]  # as an editor numbers them
    assert "'hourly' is no cadence" in imported.errors[1][1]
    assert [(who.address, who.cadence, who.topics) for who in world.subscribers.list()] == [
        ("ada@example.org", "weekly", ("research", "hardware")), ("bo@example.org", "daily", ()),
    ]


def test_import_of_bare_addresses(world: World) -> None:
    rows = read_csv(["ada@example.org\n", "\n", "bo@example.org\n"])
    assert world.subscribers.import_(rows, now=NOW, state="pending").added == 2
    assert world.subscribers.import_(read_csv([]), now=NOW).added == 0
    bad = world.subscribers.import_(read_csv(["di@example.org\n", "\n", "nobody\n"]), now=NOW)
    assert [line for line, _ in bad.errors] == [3]
    spread = ['address,note\n', '\n', 'ed@example.org,"two\n', 'lines"\n', 'nobody,\n']
    assert [line for line, _ in world.subscribers.import_(read_csv(spread), now=NOW).errors] == [5]


def test_what_is_exported_can_be_imported(world: World) -> None:
    world.subscribers.add("reader@example.org", cadence="weekly", topics=("a", "b"), now=NOW)
    world.subscribers.import_(({"address": f"more{index}@example.org"} for index in range(1500)), now=NOW)
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    writer.writerows(world.subscribers.export())
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert len(rows) == 1501
    imported = world.subscribers.import_(rows, now=LATER)
    assert (imported.added, imported.known, imported.errors) == (0, 1501, ())
    assert len(list(Subscribers(world.database).export(state="pending"))) == 0


def test_suppressions(world: World) -> None:
    list_ = Suppressions(world.database)
    assert list_.add("Ada@example.org", "5.1.1", NOW)
    assert not list_.add("ada@example.org", "again", LATER)
    assert list_.contains("ADA@EXAMPLE.org")
    (found,) = list_.list()
    assert (found.normalized, found.reason, found.created_at) == ("ada@example.org", "5.1.1", NOW)
    assert re.fullmatch(r"[0-9a-f]{64}", found.address_hash)  # nothing of the address
    list_.remove("ada@example.org")
    assert not list_.contains("ada@example.org")
    with pytest.raises(NotFoundError):
        list_.remove("ada@example.org")


def test_erasing_leaves_only_a_hash(world: World) -> None:
    number = world.frozen(2)
    (claim,) = world.ledger.claim(number, limit=1, lease_seconds=60)
    busy = Reply(code=450, text="reader0@example.org is busy", phase="rcpt")
    settle(world.ledger, claim, "deferred", busy, retry_at=LATER)
    assert world.subscribers.erase("Reader0@example.org", LATER)
    assert not world.subscribers.erase("nobody@example.org", LATER)
    with world.database.connect() as connection:
        for table in tables.metadata.sorted_tables:
            for row in connection.execute(sa.select(table)):
                assert "reader0" not in str(row)
                assert "nobody@" not in str(row)
    counts = world.ledger.counts(number)
    assert counts.balanced
    assert dict(counts.states) == {"cancelled": 1, "pending": 1}
    assert Suppressions(world.database).contains("reader0@example.org")
    assert world.subscribers.find("reader0@example.org") is None
    assert check(world.database) == []
    back, new = world.subscribers.add("reader0@example.org", now=LATER)  # asking again is theirs to do
    assert new
    assert Suppressions(world.database).contains(back.address)  # and an operator's to allow
