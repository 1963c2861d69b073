"""A file that takes long is a page that says how far it is, and ends as the page of one that doesn't."""

import asyncio
import gc
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.responses import Response, StreamingResponse

from milepost.errors import InputError
from store.subscribers import importing, suppressions
from tests.web.desk.conftest import Browser, House
from web.desk import long_work

PEOPLE = "email,vip\n" + "".join(f"person{number}@readers.example,\n" for number in range(40))


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Every answer takes longer than anybody waits; it is set when "10 of 40" was told."""
    told, gate = long_work.Steps.told, threading.Event()

    def tell(steps: long_work.Steps) -> str:
        text = told(steps)
        if "10 of 40" in text:
            gate.set()
        return text

    monkeypatch.setattr(long_work, "AT_ONCE_S", 0.0)
    monkeypatch.setattr(long_work, "EVERY_S", 0.01)
    monkeypatch.setattr(long_work.Steps, "told", tell)
    return gate


@pytest.fixture
def slow(gate: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than ten people are decided on before that was told."""
    decide = importing.admit

    def admit(entry: importing.Entry, known: importing.Known) -> importing.Outcome:
        if entry.line == 2:
            gate.clear()
        if entry.line > 15:
            assert gate.wait(30), "nothing was told"
        return decide(entry, known)

    monkeypatch.setattr(importing, "admit", admit)
    monkeypatch.setattr(importing, "TOGETHER", 10)


def told(browser: Browser) -> list[str]:
    """How far it was, each time that the page said so."""
    return [one.text_content() for one in browser.page.cssselect(".working .steps p")]


def after(browser: Browser) -> str:
    """What stands behind that, as a browser shows it alone."""
    [done] = browser.page.cssselect("main > .working ~ .done")
    return " ".join(" ".join(one.text_content().split()) for one in done.itersiblings())


@pytest.mark.usefixtures("slow")
def test_it_says_how_far_it_is_and_ends_with_what_the_file_holds(house: House) -> None:
    browser = house.signed_in("admin")
    browser.open("/desk/readers/import")
    browser.press("Look at it", text=PEOPLE)
    assert browser.status == 200
    assert "10 of 40" in told(browser)
    assert "40 rows, read as UTF-8" in after(browser)
    browser.press("Take them in", why="they asked at the fair")
    assert "10 of 40" in told(browser)
    assert "Taken in" in after(browser)
    assert "person39@readers.example" in browser.open("/desk/readers?q=person39")


def test_a_list_of_addresses_that_are_never_mailed_does_too(
    house: House, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = suppressions._add_some

    def add(connection: Any, key: bytes, named: Sequence[suppressions.Named], *rest: Any, **more: Any) -> Any:
        if named[0].normalized.startswith("person0@"):
            gate.clear()
        elif named[0].normalized.startswith("person10@"):
            assert gate.wait(30), "nothing was told"
        return write(connection, key, named, *rest, **more)

    monkeypatch.setattr(suppressions, "TOGETHER", 10)
    monkeypatch.setattr(suppressions, "_add_some", add)
    browser = house.signed_in("admin")
    browser.open("/desk/suppressions/import")
    browser.press("Look at it", text=PEOPLE.replace("email,vip", "address,reason"))
    assert "10 of 40" in told(browser)
    assert "Nothing is written yet" in after(browser)
    browser.press("Never mail them", why="moved from another program")
    assert "10 of 40" in told(browser)
    assert "Suppressed" in after(browser)
    assert "person39@readers.example" in browser.open("/desk/suppressions")


@pytest.mark.usefixtures("slow")
def test_what_cannot_be_done_is_told_where_the_rest_would_be(house: House) -> None:
    browser = house.signed_in("admin")
    browser.open("/desk/readers/import")
    browser.press("Look at it", text="email,status\nreader@readers.example,enchanted\n")
    assert "enchanted" in after(browser)
    browser.open("/desk/readers/import")
    browser.press("Look at it", text=PEOPLE)
    browser.press("Take them in", why=" ")
    assert "a reason is missing" in after(browser).casefold()


def test_what_is_done_at_once_is_a_page_with_its_own_status(house: House) -> None:
    browser = house.signed_in("admin")
    browser.open("/desk/readers/import")
    browser.press("Look at it", text="email,status\nreader@readers.example,enchanted\n")
    assert (browser.status, browser.page.cssselect(".working")) == (422, [])
    browser.press("Look at it", text=PEOPLE)
    assert (browser.status, browser.page.cssselect(".working")) == (200, [])


def test_who_asked_and_went_away_leaves_no_error_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(long_work, "AT_ONCE_S", 0.0)

    async def left() -> None:
        doing = asyncio.get_running_loop().create_future()
        page = await long_work.answer(doing, long_work.Steps(), begun=str, refused=lambda _: Response())
        assert isinstance(page, StreamingResponse)
        doing.set_exception(InputError("is no list"))
        await asyncio.sleep(0)
        del doing, page

    asyncio.run(left())
    gc.collect()
    assert "never retrieved" not in caplog.text
