"""The last letter: a receipt for who saw no page that says they have left, and never mail after leaving."""

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from delivery.message import verp
from milepost.settings import Settings
from newsletter.words.languages import CATALOGUES
from pipeline.bounces import read_bounces
from pipeline.letters import GOODBYE_WITHIN, standing
from pipeline.link_keys import signing_key
from pipeline.own_page import OwnPage
from pipeline.subscribers import show
from store.database import Database, connect
from store.schema.tables import subscriber
from store.subscribers.events import By
from store.subscribers.people import Subscribers
from store.subscribers.suppressions import Suppressions
from tests.delivery.misbehaving_relay import Relay
from tests.pipeline import prepared
from tests.pipeline.test_letters import ADA, DAY, MINUTE, NOW, mails, make_settings, relay, send, text  # noqa: F401

US = By(who="an operator", why="they asked")


@pytest.fixture
def settings(make_settings: Any) -> Settings:  # noqa: F811
    return make_settings(mail={"bounce_domain": "bounce.clockwork.example"})  # type: ignore[no-any-return]


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    prepared.copy("empty", settings)
    with connect(settings.store.url) as opened:
        yield opened


@pytest.fixture
def reader(database: Database) -> int:
    return Subscribers(database).add(ADA, now=NOW - 9 * DAY)[0].id


def by_mail(settings: Settings, database: Database, folder: Path, now: dt.datetime = NOW, more: str = "") -> None:
    """The mail that a program sends to the mailto of List-Unsubscribe."""
    with database.connect() as connection:
        handle = connection.execute(sa.select(subscriber.c.handle)).scalar_one()
    to = verp.make_leave(signing_key(settings, database), base="bounces@bounce.clockwork.example", handle=handle)
    for part in ("new", "cur", "tmp"):
        (folder / "in" / part).mkdir(parents=True, exist_ok=True)
    (folder / "in" / "new" / f"{now:%d%H%M%S}").write_text(f"From: {ADA}\nTo: {to}\nDate: {now}\n{more}\nBye.\n")
    read_bounces(settings, database, "maildir:///in", now=now, folder=folder)


@pytest.mark.parametrize(("wanted", "receipts"), [
    ("off", []), ("mail", ["by mail"]), ("unseen", ["by mail", "by a program's button"]),
])
def test_it_goes_to_who_saw_no_page_as_the_setting_wants_and_to_nobody_else(
    settings: Settings, database: Database, relay: Relay, tmp_path: Path, reader: int, wanted: Any,  # noqa: F811
    receipts: list[str],
) -> None:
    settings = settings.model_copy(update={"web": settings.web.model_copy(update={"goodbye": wanted})})
    people, page = Subscribers(database), OwnPage(settings, database)
    went: list[str] = []
    ways = {
        "by mail": lambda now: by_mail(settings, database, tmp_path, now),
        "by a program's button": lambda now: page.leave(reader, now, seen=False),
        "on the page": lambda now: page.leave(reader, now, seen=True),
        "by an operator": lambda now: people.unsubscribe(ADA, US, now),
    }
    for day, (way, leave) in enumerate(ways.items()):
        now = NOW + day * DAY
        people.come_back(reader, now)
        leave(now)
        assert people.get(reader).state == "unsubscribed"
        went += [way] * send(settings, database, now).sent
    assert went == receipts
    assert {one["To"] for one in mails(relay)} <= {ADA}


@pytest.mark.parametrize("language", CATALOGUES)
def test_it_says_that_they_left_and_that_nothing_follows_and_holds_the_way_back_alone(
    settings: Settings, database: Database, relay: Relay, tmp_path: Path, reader: int, language: str  # noqa: F811
) -> None:
    Subscribers(database).set_choice(reader, language=language, now=NOW)
    by_mail(settings, database, tmp_path)
    assert send(settings, database).sent == 1
    [mail] = mails(relay)
    words, said = CATALOGUES[language], " ".join(text(mail).split())
    assert (mail["To"], mail["Subject"]) == (ADA, words.letter_goodbye.format(name="Clockwork"))
    assert words.letter_goodbye_said.format(name="Clockwork") in said
    assert words.letter_goodbye_undo.format(day=words.plain_day(dt.date(2026, 12, 23))) in said
    assert (mail["Auto-Submitted"], mail["List-Unsubscribe"]) == ("auto-generated", None)  # there is nothing to leave
    links = set(re.findall(r'https?://[^\s"<]+', text(mail) + text(mail, "html").partition("<body")[2]))
    assert len({link for link in links if "w3.org" not in link}) == 1
    assert links.pop().endswith("/back")
    assert [(one.kind, one.state) for one in standing(database, NOW, limit=5).letters] == [("goodbye", "sent")]
    assert "letter saying that they have left" in {one.what for one in show(database, ADA).story}


def test_who_leaves_again_and_again_on_one_day_gets_one(
    settings: Settings, database: Database, relay: Relay, tmp_path: Path, reader: int  # noqa: F811
) -> None:
    for minute in range(3):
        now = NOW + minute * MINUTE
        by_mail(settings, database, tmp_path, now)
        by_mail(settings, database, tmp_path, now + 10 * MINUTE)  # pressed twice: they had left
        send(settings, database, now)
        assert Subscribers(database).come_back(reader, now)
    by_mail(settings, database, tmp_path, NOW + DAY)
    send(settings, database, NOW + DAY)
    assert len(relay.taken) == 2


@pytest.mark.parametrize(("meanwhile", "why"), [
    ("came back", "is a reader again"), ("bounced", "suppressed: bounce 5.1.1"),
    ("complained", "suppressed: complaint"),
    ("was erased", None), ("waited too long", "too late: they left more than two days ago"),
])
def test_what_happened_since_takes_it_back(
    settings: Settings, database: Database, relay: Relay, tmp_path: Path, reader: int, meanwhile: str,  # noqa: F811
    why: str | None,
) -> None:
    by_mail(settings, database, tmp_path)
    now = NOW + (GOODBYE_WITHIN + MINUTE if meanwhile == "waited too long" else MINUTE)
    match meanwhile:
        case "came back":
            Subscribers(database).come_back(reader, now)
        case "bounced" | "complained":
            Suppressions(database).add(ADA, "bounce 5.1.1" if meanwhile == "bounced" else "complaint", now)
        case "was erased":
            Subscribers(database).erase(ADA, US, now)
    send(settings, database, now)
    [letter] = standing(database, now, limit=5).letters
    assert (letter.state, relay.taken) == ("dropped", [])
    assert why is None or letter.why == why
    assert letter.address == ("" if meanwhile == "was erased" else ADA)


def test_a_machine_that_answers_leaves_nobody_and_gets_no_answer(
    settings: Settings, database: Database, relay: Relay, tmp_path: Path, reader: int  # noqa: F811
) -> None:
    by_mail(settings, database, tmp_path, more="Auto-Submitted: auto-replied\n")
    assert Subscribers(database).get(reader).state == "active"
    send(settings, database)
    assert relay.taken == []


@pytest.mark.usefixtures("reader")
def test_an_erase_takes_the_address_out_of_one_that_was_sent_before_they_moved(
    settings: Settings, database: Database, relay: Relay, tmp_path: Path  # noqa: F811
) -> None:
    by_mail(settings, database, tmp_path)
    send(settings, database)
    assert len(relay.taken) == 1
    with database.begin() as connection:  # another address since
        connection.execute(sa.update(subscriber).values(address="ada@new.example", normalized="ada@new.example"))
    Subscribers(database).erase("ada@new.example", US, NOW + DAY)
    [letter] = standing(database, NOW, limit=5).letters
    assert (letter.address, letter.state) == ("", "sent")
