"""A reader's own page over a real store: pause, another address, what is kept, erase, leave and come back."""

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from lxml import html
from starlette.requests import Request

from milepost.settings import Settings, parse
from newsletter.words.languages import CATALOGUES
from pipeline.operators.link_keys import rotate
from pipeline.readers_pages import behind
from pipeline.sign_up import Asked
from store.database import Database, connect
from store.ledger.letters import Letters
from store.schema.tables import address_change, bounce, letter, metadata, sign_up, subscriber, suppression
from store.subscribers.people import Subscribers
from store.subscribers.suppressions import Suppressions
from tests.pipeline import prepared
from web.app import create_app
from web.public.readers import Readers

NOW = dt.datetime(2026, 11, 23, 23, 30, tzinfo=dt.UTC)  # the 24th in Amsterdam
DAY = dt.timedelta(days=1)
ADA, NEW = "Ada@readers.example", "ada@new.example"
ACTS = ("", "/preferences", "/pause", "/resume", "/address", "/data", "/erase", "/back")


class Clock:
    now = NOW


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = parse({
        "store": {"url": f"sqlite:///{tmp_path}/milepost.db"},
        "mail": {"from": "Timeline <news@timeline.example>", "postal_address": "1 Example Street"},
        "newsletter": {"name": "Looms & Engines", "timezone": "Europe/Amsterdam",
                       "cadences": ["instant", "weekly", "monthly"]},
        "web": {"base_url": "https://timeline.example", "signup_per_network": 5},
    })
    prepared.copy("empty", found)
    return found


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    with connect(settings.store.url) as opened:
        yield opened


class Site:
    """The pages, and who is there."""

    def __init__(self, settings: Settings, database: Database, clock: Clock, send: Callable[..., Any]) -> None:
        self.database, self._send = database, send
        kept = behind(settings, database)
        self._readers = Readers(kept.keys, kept.list_id)
        self.woken: list[int] = []
        self.app = create_app(
            issues=kept.issues, own_page=kept.own_page, topics=kept.topics, signing_up=kept.signing_up,
            settings=settings, keys=kept.keys, list_id=kept.list_id, now=lambda: clock.now,
            wake=lambda: self.woken.append(1),
        )

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self._send("GET", path, app=self.app, **options)  # type: ignore[no-any-return]

    def post(self, path: str, **fields: str) -> httpx.Response:
        return self._send("POST", path, app=self.app, data=fields)  # type: ignore[no-any-return]

    def own(self, address: str = ADA) -> str:
        found = Subscribers(self.database).find(address)
        assert found is not None
        return self.path(found.id)

    def path(self, subscriber_id: int) -> str:
        with self.database.connect() as connection:
            query = sa.select(subscriber.c.handle).where(subscriber.c.id == subscriber_id)
            return self._readers.path_of(connection.execute(query).scalar_one())

    def all(self) -> list[tuple[Any, ...]]:
        with self.database.connect() as connection:
            return [tuple(row) for table in (subscriber, letter, address_change, suppression)
                    for row in connection.execute(sa.select(table))]

    def names(self) -> tuple[str, str]:
        """Of the last change of address: in the link to the new address, and in the one to the old."""
        with self.database.connect() as connection:
            query = sa.select(address_change.c.name, address_change.c.undo_name).order_by(address_change.c.id.desc())
            row = connection.execute(query).first()
        assert row is not None
        return row.name, row.undo_name

    def who(self, subscriber_id: int = 1) -> tuple[str, str, str]:
        found = Subscribers(self.database).get(subscriber_id)
        return found.address, found.state, found.cadence


@pytest.fixture
def site(settings: Settings, database: Database, clock: Clock, ask: Callable[..., Any]) -> Site:
    Subscribers(database).add(ADA, cadence="instant", topics=["chess"], now=NOW - 90 * DAY)
    return Site(settings, database, clock, ask)


def parsed(page: str) -> Any:
    return html.fromstring(page)


def text(answer: httpx.Response) -> str:
    return " ".join(parsed(answer.text).text_content().split())


# --- looking ----------------------------------------------------------------------------------------------------------


def test_looking_at_any_of_it_changes_nothing(site: Site, ask: Callable[..., Any]) -> None:
    own = site.own()
    site.post(f"{own}/address", email=NEW)
    name, undo = site.names()
    before = site.all()
    for path in (*(f"{own}{act}" for act in ACTS), f"/a/{name}", f"/a/{undo}/undo"):
        for method in ("GET", "HEAD"):
            answer = ask(method, path, app=site.app)
            assert answer.status_code in (200, 404), path
            assert answer.headers["cache-control"] == "no-store"
            assert "<script" not in answer.text
    assert site.all() == before


@pytest.mark.parametrize("language", CATALOGUES)
def test_every_page_is_in_the_reader_s_language(site: Site, language: str) -> None:
    own, words = site.own(), CATALOGUES[language]
    pages = [
        site.post(f"{own}/preferences", cadence="instant", topic="chess", language=language), site.get(own),
        site.post(f"{own}/pause", until="2026-12-24"), site.post(f"{own}/address", email=NEW),
        site.get(f"/a/{site.names()[0]}"), site.post(f"/a/{site.names()[0]}"), site.get(f"/a/{site.names()[1]}/undo"),
        site.post(f"/a/{site.names()[1]}/undo"), site.post(own), site.post(f"{own}/back"), site.get(f"{own}/erase"),
        site.post(f"{own}/erase"),
    ]
    titles = [words.choice, words.leave, words.choice, words.move_asked, words.move_confirm, words.move_done,
              words.move_undo, words.move_undone, words.left, words.back, words.erase_ask, words.erased]
    for page, title in zip(pages, titles, strict=True):
        assert page.status_code == 200
        root = parsed(page.text)
        assert (root.get("lang"), root.get("dir")) == (language, "rtl" if language == "he" else "ltr")
        assert root.xpath("string(//h1)") == title.format(name="Looms & Engines")
        assert "{" not in root.xpath("string(//main)")


@pytest.mark.parametrize(("asked", "language"), [
    ("he-IL,he;q=0.9,en;q=0.8", "he"), ("fr, de-AT;q=0.7, en;q=0.3", "de"), ("fr", "en"), ("", "en"),
    ("de;q=0, he;q=x, en;q=0.1", "en"),
])
def test_a_link_that_is_none_is_answered_in_the_visitor_s_language(site: Site, asked: str, language: str) -> None:
    for path in ("/u/abc", f"{site.own()[:-1]}", f"{site.own()[:-1]}/pause", "/a/abc", "/a/abc/undo"):
        answer = site.get(path, headers={"Accept-Language": asked})
        root = parsed(answer.text)
        assert (answer.status_code, root.get("lang")) == (404, language)
        assert "/subscribe" in root.xpath("//main//a/@href")


# --- pause ------------------------------------------------------------------------------------------------------------


def test_a_pause_ends_on_its_day_where_the_newsletter_is(site: Site) -> None:
    page = site.post(f"{site.own()}/pause", until="2026-12-24", then="skip")
    assert "You are pausing until 24 December 2026" in text(page)
    found = Subscribers(site.database).get(1)
    assert (found.paused_until, found.pause_skips) == (dt.datetime(2026, 12, 23, 23, 0, tzinfo=dt.UTC), True)
    assert "You hear from us again" in text(site.post(f"{site.own()}/resume"))
    assert Subscribers(site.database).get(1).paused_until is None


def test_the_choices_are_two_weeks_a_month_and_three(site: Site) -> None:
    page = parsed(site.get(f"{site.own()}/preferences").text)
    assert page.xpath("//input[@name='until']/@value") == ["2026-12-08", "2026-12-24", "2027-02-24", "date"]
    [day] = page.xpath("//input[@name='day']")
    assert (day.get("min"), day.get("max")) == ("2026-11-25", "2027-11-25")


@pytest.mark.parametrize("fields", [
    {}, {"until": "date"}, {"until": "date", "day": "soon"}, {"until": "2026-11-24"}, {"until": "2027-11-26"},
    {"until": "9999-99-99"}, {"until": "date", "day": "2020-01-01"},
])
def test_a_day_that_is_none_is_said_beside_its_field(site: Site, fields: dict[str, str]) -> None:
    answer = site.post(f"{site.own()}/pause", **fields)
    assert answer.status_code == 400
    assert "between tomorrow and a year from now" in answer.text
    assert Subscribers(site.database).get(1).paused_until is None


# --- another address --------------------------------------------------------------------------------------------------


def test_the_new_address_says_yes_and_the_old_one_may_say_no(site: Site, clock: Clock) -> None:
    own = site.own()
    site.post(f"{own}/address", email=NEW)
    assert site.who()[0] == ADA  # until the button is pressed
    name, undo = site.names()
    assert "Your address is changed" in text(site.post(f"/a/{name}"))
    assert site.who() == (NEW, "active", "instant")
    assert site.post(f"/a/{name}").status_code == 200
    letters = Letters(site.database).list(limit=9)
    assert [(one.kind, one.address) for one in letters] == [("moved", ADA), ("move", NEW)]
    assert site.woken
    assert site.own(NEW) == own  # the link in older mails goes on working
    clock.now += 29 * DAY
    assert "Write here again" in text(site.get(f"/a/{undo}/undo"))
    assert site.post(f"/a/{undo}/undo").status_code == 200
    assert site.who()[0] == ADA
    assert site.post(f"/a/{name}").status_code == 404  # what was undone is not confirmed once more


def test_an_undo_ends_after_thirty_days(site: Site, clock: Clock) -> None:
    site.post(f"{site.own()}/address", email=NEW)
    name, undo = site.names()
    site.post(f"/a/{name}")
    clock.now += 30 * DAY
    assert (site.get(f"/a/{undo}/undo").status_code, site.post(f"/a/{undo}/undo").status_code) == (404, 404)
    assert site.who()[0] == NEW


@pytest.mark.parametrize("there", ["subscribed", "left", "suppressed", "erased", "complained"])
def test_an_address_that_is_taken_answers_the_same_and_merges_nobody(site: Site, there: str) -> None:
    people, list_ = Subscribers(site.database), Suppressions(site.database)
    free = site.post(f"{site.own()}/address", email="free@new.example")
    if there != "suppressed" and there != "complained":
        found, _ = people.add(NEW, cadence="weekly", now=NOW)
        if there == "left":
            people.leave(found.id, NOW)
        if there == "erased":
            site.post(f"{site.path(found.id)}/erase")
    else:
        list_.add(NEW, "bounce 5.1.1" if there == "suppressed" else "complaint", NOW)
    before = [(who.id, who.address, who.state, who.cadence) for who in people.list()]
    taken = site.post(f"{site.own()}/address", email=NEW)
    assert (taken.status_code, taken.text) == (free.status_code, free.text)
    assert site.post(f"/a/{site.names()[0]}").status_code == 404
    assert [(who.id, who.address, who.state, who.cadence) for who in people.list()] == before


def test_who_asks_again_elsewhere_gives_the_first_one_up(site: Site) -> None:
    """A mistyped address can be mended, and its owner can't take the subscription."""
    site.post(f"{site.own()}/address", email="mistyped@new.example")
    first = site.names()[0]
    site.post(f"{site.own()}/address", email=NEW)
    assert site.post(f"/a/{first}").status_code == 404
    site.post(f"{site.own()}/address", email="mistyped@new.example")
    assert site.get(f"/a/{first}").status_code == 200  # the letter of today still holds the link that counts


def test_one_who_complained_takes_no_other_address(site: Site) -> None:
    site.post(f"{site.own()}/address", email=NEW)
    Suppressions(site.database).add(ADA, "complaint", NOW)
    assert site.post(f"/a/{site.names()[0]}").status_code == 404
    assert site.who()[0] == ADA


def test_a_flood_of_changes_is_few_letters_and_one_answer(site: Site) -> None:
    answers = {site.post(f"{site.own()}/address", email=f"victim{number}@new.example").text for number in range(8)}
    assert len(answers) == 1
    assert len(Letters(site.database).list(limit=99)) == 3


@pytest.mark.parametrize(("typed", "said"), [
    ("no address", "Is it spelt right?"), ("", "Is it spelt right?"), ("x" * 400 + "@a.example", "Is it spelt right?"),
    (ADA.upper(), "we write to already"),
])
def test_what_is_no_new_address_is_said(site: Site, typed: str, said: str) -> None:
    answer = site.post(f"{site.own()}/address", email=typed)
    assert (answer.status_code, said in answer.text) == (400, True)
    assert Letters(site.database).list(limit=9) == []


# --- what is kept, and erase ------------------------------------------------------------------------------------------


def test_all_that_is_kept_can_be_downloaded_and_nothing_secret_is_in_it(site: Site) -> None:
    own = site.own()
    Subscribers(site.database).add("Someone-Else@readers.example", now=NOW)
    site.post(f"{own}/pause", until="2026-12-24")
    site.post(f"{own}/address", email=NEW)
    answer = site.post(f"{own}/data")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == 'attachment; filename="milepost-2026-11-24.json"'
    assert answer.headers["cache-control"] == "no-store"
    held = json.loads(answer.text)
    assert (held["address"], held["topics"], held["pause"]["afterwards"]) == (ADA, ["chess"], "what was missed")
    assert [one["kind"] for one in held["letters"]] == ["move"]
    assert [one["action"] for one in held["history"]] == ["paused"]
    assert held["made_at"] == "2026-11-23T23:30:00+00:00"
    secrets = {*site.names(), own.removeprefix("/u/"), "Someone-Else"}
    with site.database.connect() as connection:
        secrets |= set(connection.execute(sa.select(subscriber.c.handle)).scalars())
    assert not [each for each in secrets if each in answer.text]


# Every table that holds something of a reader, and where the download tells of it.
TOLD = {
    "subscriber": "address", "consent": "consents", "sign_up": "sign_up", "delivery": "issues", "attempt": "issues",
    "exclusion": "issues_without_you", "owed": "owed_to_you", "bounce": "bounces", "letter": "letters",
    "address_change": "address_changes", "subscriber_event": "history", "suppression": "never_mailed",
    "spent_proof": None,  # that a program of theirs calculated, for an hour
}


def test_the_download_tells_of_every_place_and_an_erase_empties_each(site: Site, settings: Settings) -> None:
    columns = {"address", "address_hash", "normalized", "subscriber", "delivery_id"}
    holding = {table.name for table in metadata.sorted_tables if columns & set(table.c.keys())}
    assert holding == set(TOLD)  # a new one is told of, and emptied
    sign_ups = behind(settings, site.database).signing_up
    sign_ups.ask(Asked(address=ADA, host="192.0.2.7"), NOW)
    with site.database.connect() as connection:
        assert sign_ups.confirm(connection.execute(sa.select(sign_up.c.name)).scalar_one(), None, NOW).handle
    for one in Letters(site.database).claim(NOW, limit=9, memory=DAY).taken:
        Letters(site.database).settle(one, "sent", NOW)
    site.post(f"{site.own()}/address", email=NEW)
    site.post(f"/a/{site.names()[0]}")
    Suppressions(site.database).add(NEW, "bounce 5.1.1", NOW)
    with site.database.begin() as connection:
        connection.execute(sa.insert(bounce).values(
            digest="d", read_at=NOW, letter=1, proof="envelope", grade="hard", text=f"no {ADA} here"
        ))
    held = json.loads(site.post(f"{site.own(NEW)}/data").text)
    assert {key for key in TOLD.values() if key} <= set(held)
    for key in ("consents", "bounces", "letters", "address_changes", "history", "never_mailed"):
        assert held[key], key
    site.post(f"{site.own(NEW)}/erase")
    with site.database.connect() as connection:
        for table in metadata.sorted_tables:
            left = str(connection.execute(sa.select(table)).all()).lower()
            assert "ada@" not in left, table.name


def test_erase_asks_twice_and_leaves_a_hash(site: Site, settings: Settings) -> None:
    own = site.own()
    site.post(f"{own}/address", email=NEW)
    site.post(f"/a/{site.names()[0]}")
    Suppressions(site.database).add(ADA, "bounce 5.1.1", NOW)  # the old mailbox is gone
    assert "Shall everything about you be erased?" in text(site.get(f"{own}/erase"))
    assert site.who()[1] == "active"
    assert "Everything about you is erased" in text(site.post(f"{own}/erase"))
    file = Path(settings.store.url.removeprefix("sqlite:///"))
    with site.database.begin() as connection:
        assert [row for row in connection.execute(sa.select(suppression.c.normalized)).scalars() if row] == []
    tables = "".join(map(str, site.all())).lower()
    assert not re.search("ada@", tables), tables
    assert file.exists()
    for path, wanted in ((own, 410), (f"{own}/preferences", 410), (f"{own}/erase", 410), (f"{own}/data", 410)):
        assert site.get(path).status_code == wanted
    assert site.post(f"{own}/data").status_code == 410
    assert "Everything about you is erased" in text(site.post(f"{own}/back"))
    assert Subscribers(site.database).list()[0].state == "unsubscribed"


# --- leave, and come back ---------------------------------------------------------------------------------------------


def test_one_press_takes_it_back_with_the_former_choice(site: Site, clock: Clock) -> None:
    own = site.own()
    page = site.post(own)
    assert "Until 24 December 2026 one press brings you back" in text(page)
    assert parsed(page.text).xpath("//input[@name='cadence']/@value") == ["weekly", "monthly"]
    clock.now += 29 * DAY
    assert "You are back" in text(site.post(f"{own}/back"))
    found = Subscribers(site.database).get(1)
    assert (found.state, found.cadence, found.topics, found.unsubscribed_at) == ("active", "instant", ("chess",), None)
    assert site.post(f"{own}/back").status_code == 200  # twice is as good as once


def test_who_found_it_too_often_comes_back_to_less(site: Site) -> None:
    own = site.own()
    site.post(own)
    assert "every month" in text(site.post(f"{own}/back", cadence="monthly"))
    assert site.who() == (ADA, "active", "monthly")
    site.post(own)
    assert site.post(f"{own}/back", cadence="hourly").status_code == 400
    assert site.who()[1] == "unsubscribed"


def test_after_thirty_days_it_takes_a_sign_up(site: Site, clock: Clock) -> None:
    own = site.own()
    site.post(own)
    clock.now += 30 * DAY
    assert "/back" not in site.get(own).text
    assert "/subscribe" in site.get(own).text
    assert site.post(f"{own}/back").status_code == 410
    assert site.who()[1] == "unsubscribed"


@pytest.mark.parametrize(("headers", "letters"), [({}, ["goodbye"]), ({"Origin": "https://timeline.example"}, [])])
def test_a_letter_says_it_to_who_saw_no_page_and_its_link_brings_them_back(
    site: Site, settings: Settings, clock: Clock, ask: Callable[..., Any], headers: dict[str, str], letters: list[str]
) -> None:
    wanted = settings.model_copy(update={"web": settings.web.model_copy(update={"goodbye": "unseen"})})
    site = Site(wanted, site.database, clock, ask)
    ask("POST", site.own(), app=site.app, content=b"List-Unsubscribe=One-Click", headers=headers)
    assert [one.kind for one in Letters(site.database).list(limit=9)] == letters
    assert len(site.woken) == len(letters)
    for junk in ("", ".", "%22"):  # what programs put behind a link
        assert "Bring me back" in site.get(f"{site.own()}/back{junk}").text
    assert site.who()[1] == "unsubscribed"
    assert "You are back" in site.post(f"{site.own()}/back").text


@pytest.mark.parametrize("reason", ["complaint", "by an operator: they asked", "bounce 5.1.1"])
def test_who_is_suppressed_does_not_come_back_this_way(site: Site, reason: str) -> None:
    own = site.own()
    site.post(own)
    Suppressions(site.database).add(ADA, reason, NOW)
    assert "/back" not in site.get(own).text
    assert site.post(f"{own}/back").status_code == 410
    assert site.who()[1] == "unsubscribed"


def test_who_never_confirmed_is_brought_in_by_no_link(site: Site) -> None:
    found, _ = Subscribers(site.database).add("b@readers.example", state="pending", now=NOW)
    own = site.path(found.id)
    site.post(own)
    assert site.post(f"{own}/back").status_code == 410
    assert site.who(found.id)[1] == "unsubscribed"


def test_a_pause_ends_when_its_reader_leaves(site: Site) -> None:
    own = site.own()
    site.post(f"{own}/pause", until="2026-12-24")
    site.post(own)
    site.post(f"{own}/back")
    assert Subscribers(site.database).get(1).paused_until is None


# --- a key that has leaked --------------------------------------------------------------------------------------------


def test_a_link_whose_key_leaked_lets_its_reader_leave_and_does_nothing_else(
    site: Site, settings: Settings, database: Database, clock: Clock, ask: Callable[..., Any]
) -> None:
    own = site.own()
    rotate(settings, database, has_leaked=True, why="a backup was stolen", by="ann", now=NOW)
    since = Site(settings, database, clock, ask)
    before = since.all()
    for act in ("/preferences", "/pause", "/resume", "/address", "/data", "/erase", "/back"):
        answers = [since.post(own + act, email=NEW, until="7")]
        if act != "/back":
            answers.append(since.get(own + act))
        for answer in answers:
            assert answer.status_code == 403
            assert "only unsubscribes" in text(answer)
            assert ADA.partition("@")[2] not in answer.text
    assert since.all() == before
    asked = since.get(own)
    assert asked.status_code == 200
    assert "/preferences" not in asked.text
    left = since.post(own)
    assert (left.status_code, since.who()[1]) == (200, "unsubscribed")
    assert "/back" not in left.text
    assert "/data" not in left.text
    assert since.post(f"{own}/back").status_code == 403
    assert since.who()[1] == "unsubscribed"
    assert since.post(f"{since.own()}/back").status_code == 200  # a link of the new key does it all
    assert since.who()[1] == "active"


def test_pages_that_are_open_learn_of_a_changed_key(settings: Settings, database: Database) -> None:
    kept, seconds = behind(settings, database), [100.0]
    readers = Readers(kept.keys, kept.list_id, clock=lambda: seconds[0])

    def asked(path: str) -> Request:
        return Request({"type": "http", "path_params": {"token": path.removeprefix("/u/")}})

    first = readers.path_of("0" * 20)
    rotate(settings, database, has_leaked=True, why="lost", by="ann", now=NOW)
    another = Readers(kept.keys, kept.list_id).path_of("0" * 20)
    seconds[0] += 2
    assert readers.of(asked(another)) is not None  # at once: no key of before knows it
    assert readers.of(asked(first)) is None
    assert readers.leaving(asked(first)) is not None
    database.close()
    seconds[0] += 60
    assert readers.of(asked(another)) is not None  # while the database is away
