"""The archive of pages: bodies kept once, validators only from a 200, cards and what has to be read again."""

import datetime as dt

import pytest
import sqlalchemy as sa

from milepost.dates import PartialDate
from milepost.errors import NotFoundError, StoreError
from milepost.records import Card, Validators
from store.archive.pages import Pages
from store.archive.snapshots import Arrived
from store.database import Database, check
from store.schema import tables
from tests.store.conftest import NOW, World, added, make_milestone, make_snapshot

URL = "https://site.example/m/one"
LATER = NOW + dt.timedelta(hours=1)


def count(database: Database, table: sa.Table) -> int:
    with database.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def test_a_snapshot_comes_back_as_it_was(world: World, validators: Validators) -> None:
    taken = make_snapshot(body="é\0".encode() * 5000)
    assert world.snapshots.get(world.snapshots.add(taken, "milestone", validators)) == taken


def test_an_empty_body(world: World) -> None:
    taken = make_snapshot(body=b"")
    assert world.snapshots.get(world.snapshots.add(taken, "other", None)).body == b""


def test_no_such_snapshot(world: World) -> None:
    with pytest.raises(NotFoundError):
        world.snapshots.get(7)


def test_the_same_body_is_kept_once(world: World) -> None:
    for index in range(3):
        world.snapshots.add(make_snapshot(f"{URL}{index}"), "milestone", None)
    assert (count(world.database, tables.snapshot), count(world.database, tables.blob)) == (3, 1)


def test_latest_is_the_last_200(world: World) -> None:
    first = world.snapshots.add(make_snapshot(body=b"1"), "milestone", None)
    second = world.snapshots.add(make_snapshot(body=b"2"), "milestone", None)
    world.snapshots.add(make_snapshot(body=b"gone", status=404), "milestone", None)
    found = world.snapshots.latest("site", URL)
    assert found is not None
    assert (found[0], found[1].body) == (second, b"2")
    assert [row[0] for row in world.snapshots.history("site", URL)] == [first, second, second + 1]
    assert world.snapshots.latest("site", "https://site.example/never") is None


@pytest.mark.parametrize("status", [404, 410, 500])
def test_validators_only_from_a_200(world: World, validators: Validators, status: int) -> None:
    world.snapshots.add(make_snapshot(), "milestone", validators)
    assert world.snapshots.validators("site", URL) == validators
    world.snapshots.add(make_snapshot(status=status), "milestone", validators)
    assert world.snapshots.validators("site", URL) is None


def test_a_200_without_validators_forgets_the_old_ones(world: World, validators: Validators) -> None:
    world.snapshots.add(make_snapshot(), "milestone", validators)
    world.snapshots.add(make_snapshot(), "milestone", None)
    assert world.snapshots.validators("site", URL) is None


def test_a_page_goes_and_comes_back(world: World, validators: Validators) -> None:
    def page() -> tuple[object, ...]:
        (found,) = world.snapshots.pages("site")
        return found.last_status, found.seen_at, found.gone_since

    world.snapshots.add(make_snapshot(), "milestone", validators)
    Pages(world.database).note_not_modified("site", [URL], LATER)
    assert page() == (200, LATER, None)
    world.snapshots.mark_gone("site", {URL: 410}, LATER)
    world.snapshots.mark_gone("site", {URL: 404}, LATER + dt.timedelta(days=1))
    assert page() == (404, LATER, LATER)
    world.snapshots.add(make_snapshot(fetched_at=LATER), "milestone", validators)
    assert page() == (200, LATER, None)


def test_a_page_that_was_always_gone(world: World) -> None:
    world.snapshots.mark_gone("site", {URL: 404}, NOW)
    (page,) = world.snapshots.pages("site", kind="milestone")
    assert (page.gone_since, page.seen_at, page.last_snapshot_id) == (NOW, None, None)


def test_pages_by_kind(world: World) -> None:
    world.snapshots.add(make_snapshot("https://site.example/"), "listing", None)
    world.snapshots.add(make_snapshot(), "milestone", None)
    assert [page.url for page in world.snapshots.pages("site", kind="listing")] == ["https://site.example/"]
    assert world.snapshots.pages("other") == []


def test_the_first_look_to_list_a_page_is_kept(world: World) -> None:
    first = world.looks.start("site", NOW)
    world.snapshots.note_listed("site", [URL, URL], first)
    second = world.looks.start("site", LATER)
    world.snapshots.note_listed("site", [URL, "https://site.example/m/two"], second)
    world.snapshots.note_listed("site", [], second)
    assert [(page.first_listed_look, page.last_listed_look) for page in world.snapshots.pages("site")] == [
        (first, second), (second, second),
    ]


def test_a_damaged_body_is_found(world: World) -> None:
    snapshot_id = world.snapshots.add(make_snapshot(), "milestone", None)
    with world.database.begin() as connection:
        connection.execute(sa.update(tables.blob).values(data=b"rubbish"))
    with pytest.raises(StoreError, match="damaged"):
        world.snapshots.get(snapshot_id)
    assert len(check(world.database)) == 1


# --- cards ------------------------------------------------------------------------------------------------------------


def card(key: str | None, title: str = "A title") -> Card:
    return Card(key=key, title=title, date=PartialDate(value="2012-09"), people=("Ada Invented",), impact=4)


def test_cards_come_back_and_changes_are_told(world: World) -> None:
    snapshots = world.snapshots
    assert snapshots.replace_cards("site", "/", [card("a"), card("b"), card(None), card("a", "twice")]) == {"a", "b"}
    assert snapshots.replace_cards("site", "/", [card("b"), card("a")]) == set()
    assert snapshots.replace_cards("site", "/", [card("a", "Another title"), card("c")]) == {"a", "b", "c"}
    assert snapshots.cards_for("site", "a") == [("/", card("a", "Another title"))]
    assert snapshots.cards_for("site", "b") == []


def test_cards_of_several_listings(world: World) -> None:
    world.snapshots.replace_cards("site", "/", [card("a")])
    world.snapshots.replace_cards("site", "/era/now", [card("a", "Short")])
    assert world.snapshots.cards("site") == {"a": [("/", card("a")), ("/era/now", card("a", "Short"))]}


def test_what_is_to_be_read_again_survives_a_crash(world: World) -> None:
    """A page was archived and a card changed; the look died before their records were applied."""
    snapshot_id = world.snapshots.add(make_snapshot(), "milestone", None)
    world.snapshots.replace_cards("site", "/", [card("one")])
    world.looks.start("site", NOW)
    assert world.snapshots.unread("site") == [(URL, snapshot_id)]
    assert world.snapshots.to_reread("site") == {"one"}
    record = make_milestone("one", url=URL)
    again = world.looks.start("site", NOW)
    world.milestones.apply(again, "site", [(added(record), record, snapshot_id)], announce=False, now=NOW)
    assert world.snapshots.unread("site") == []
    assert world.snapshots.to_reread("site") == set()


def test_several_are_kept_in_one_go_as_one_by_one(world: World, validators: Validators) -> None:
    """Also where a page comes twice among them, and where their bodies are one."""
    taken = [
        Arrived(make_snapshot(f"{URL}{index}", b"one" if index % 2 else b"%d" % index), "milestone", validators)
        for index in range(5)
    ]
    gone = Arrived(make_snapshot(taken[0].snapshot.url, b"gone", status=410), "milestone")
    back = Arrived(make_snapshot(taken[0].snapshot.url, b"back"), "milestone", document=b"a document")
    ids = world.snapshots.add_all([*taken, gone, back])
    assert [world.snapshots.get(number) for number in ids] == [one.snapshot for one in (*taken, gone, back)]
    assert world.snapshots.document(ids[-1]) == b"a document"
    page, other, *_ = world.snapshots.pages("site")
    assert (page.last_snapshot_id, page.gone_since, world.snapshots.validators("site", page.url)) == (
        ids[-1], None, None)
    assert (other.last_snapshot_id, world.snapshots.validators("site", other.url)) == (ids[1], validators)
    assert world.snapshots.add_all([*taken, gone])[-1] == ids[-1] + 6
    assert world.snapshots.pages("site")[0].gone_since is not None
    assert world.snapshots.add_all([]) == []
