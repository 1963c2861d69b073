"""A change of address: one letter asks at the new one, one tells the old one, and neither names the other."""

import datetime as dt
import re
from typing import Any

import pytest

from newsletter.words.languages import CATALOGUES
from pipeline.own_page import OwnPage
from pipeline.subscribers import show
from store.ledger.letters import AGAIN
from store.subscribers.address_changes import AddressChanges
from store.subscribers.people import Subscribers
from store.subscribers.suppressions import Suppressions
from tests.pipeline.test_letters import ADA, NOW, database, mails, make_settings, relay, send, settings, text  # noqa: F401

NEW = "ada@new.example"


@pytest.mark.parametrize("language", CATALOGUES)
def test_both_are_written_in_the_reader_s_language(settings: Any, database: Any, relay: Any, language: str) -> None:  # noqa: F811
    page, who = OwnPage(settings, database), Subscribers(database).add(ADA, now=NOW)[0]
    page.ask_move(who.id, NEW, language=language, host=None, now=NOW)
    send(settings, database)
    [change] = AddressChanges(database).of(who.id)
    assert page.move(change.name, NOW) == "moved"
    send(settings, database)
    asked, told = mails(relay)
    words = CATALOGUES[language]
    assert (asked["To"], asked["Subject"]) == (NEW, words.letter_move.format(name="Clockwork"))
    assert (told["To"], told["Subject"]) == (ADA, words.letter_moved.format(name="Clockwork"))
    assert f"https://news.clockwork.example/a/{change.name}\r\n" in text(asked)
    assert f"https://news.clockwork.example/a/{change.undo_name}/undo\r\n" in text(told)
    assert "List-Unsubscribe" not in asked  # no program may press the button
    assert not re.search("new.example|" + change.name, text(told) + text(told, "html"))
    assert "readers.example" not in text(asked) + text(asked, "html")


@pytest.mark.parametrize("there", ["another's", "suppressed", "left meanwhile", "given up"])
def test_none_goes_where_it_can_lead_nowhere(settings: Any, database: Any, relay: Any, there: str) -> None:  # noqa: F811
    page, people = OwnPage(settings, database), Subscribers(database)
    who, _ = people.add(ADA, now=NOW)
    page.ask_move(who.id, NEW, language="en", host=None, now=NOW)
    if there == "another's":
        people.add(NEW, now=NOW)
    elif there == "suppressed":
        Suppressions(database).add(NEW, "bounce 5.1.1", NOW)
    elif there == "left meanwhile":
        people.leave(who.id, NOW)
    else:
        page.ask_move(who.id, "other@new.example", language="en", host=None, now=NOW)
    assert send(settings, database).dropped == 1
    assert [one["To"] for one in mails(relay)] == (["other@new.example"] if there == "given up" else [])


@pytest.mark.parametrize("first_end", ["refused", "given up"])
def test_who_asks_again_on_the_day_that_it_reached_nobody_gets_another_letter(
    settings: Any, database: Any, relay: Any, first_end: str  # noqa: F811
) -> None:
    page, who = OwnPage(settings, database), Subscribers(database).add(ADA, now=NOW)[0]
    hour = dt.timedelta(hours=1)

    def ask(address: str, now: dt.datetime) -> None:
        page.ask_move(who.id, address, language="en", host=None, now=now)

    ask(NEW, NOW)
    if first_end == "refused":
        relay.fault("rcpt", None, "550 5.1.1 no such user")
        assert send(settings, database).failed == 1
    else:
        ask("other@new.example", NOW)
        assert send(settings, database).dropped == 1
    ask(NEW, NOW + hour)
    send(settings, database, NOW + hour)
    assert mails(relay)[-1]["To"] == NEW
    for again in range(2, 9):
        ask(NEW, NOW + again * hour)  # it came: one a day
        send(settings, database, NOW + again * hour)
    assert [one["To"] for one in mails(relay)].count(NEW) == 1


def test_an_address_that_goes_on_refusing_is_tried_three_times_a_day(
    settings: Any, database: Any, relay: Any  # noqa: F811
) -> None:
    page, who = OwnPage(settings, database), Subscribers(database).add(ADA, now=NOW)[0]
    for minute in range(6):
        now = NOW + minute * dt.timedelta(minutes=1)
        relay.fault("rcpt", None, "550 5.1.1 no such user")
        page.ask_move(who.id, NEW, language="en", host=None, now=now)
        assert send(settings, database, now).failed == (minute < AGAIN)


@pytest.mark.usefixtures("relay")
def test_the_story_of_an_address_tells_in_plain_words_what_was_done(settings: Any, database: Any) -> None:  # noqa: F811
    page, who = OwnPage(settings, database), Subscribers(database).add(ADA, now=NOW)[0]
    hour = dt.timedelta(hours=1)
    page.pause(who.id, dt.date(2026, 12, 24), skips=True, now=NOW + hour)
    page.resume(who.id, NOW + 2 * hour)
    page.ask_move(who.id, NEW, language="en", host=None, now=NOW + 3 * hour)
    send(settings, database, NOW + 3 * hour)
    [change] = AddressChanges(database).of(who.id)
    page.move(change.name, NOW + 4 * hour)
    send(settings, database, NOW + 4 * hour)
    told = {one.what: one.said for one in show(database, NEW).story if one.said}
    paused = r"no mail before 2026-12-2\d \d\d:\d\d UTC; what they miss is left out"
    assert re.fullmatch(paused, told["paused their mails"])
    assert told["ended their pause"] == "mails come again"
    assert told["changed their address"] == f"it was {ADA} before"
    assert "letter asking to confirm the new address" in told
    assert "letter telling the former address" in {one.what for one in show(database, ADA).story}
    page.choose(who.id, cadence="instant", topics=(), language="de", now=NOW + 4.5 * hour)
    page.choose(who.id, cadence="instant", topics=(), language="de", now=NOW + 4.6 * hour)
    spoken = [one.said for one in show(database, NEW).story if one.what == "chose a language"]
    assert spoken == ["de instead of the newsletter's"]
    page.undo_move(change.undo_name, NOW + 5 * hour)
    assert show(database, ADA).story[-1].said == f"undone: it was {NEW} in between"
