"""Through the desk that `make demo KEEP=1` opens, as its first operator goes, in a browser with scripts and without.

    link ─▶ password ─▶ a hold, what it keeps back ─▶ release
    draft ─▶ light, dark, 375 px, text ─▶ edit ─▶ approve, take back, approve, watch, throttle, stop, go on ─▶ ledger

    (somebody else at the same draft meanwhile, of a lesser role) ─▶ a file, mapped ─▶ a reader's story ─▶ erase

On SQLite and on PostgreSQL. axe-core examines every page on the way. `make chaos` goes it.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from bench.browser import browser, chromium, violations
from tests.store.conftest import postgresql_empty, postgresql_server  # noqa: F401 (fixtures)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.chaos,
    pytest.mark.skipif(chromium() is None, reason="chromium is not installed (apt-get install chromium)"),
]
PASSWORD = "four invented words here"
expect.set_options(timeout=30_000)  # a busy machine is no fault


@pytest.fixture
def store(request: pytest.FixtureRequest) -> dict[str, str]:
    """What the environment says of the database, in place of the demo's settings."""
    kind = request.param
    return {} if kind == "sqlite" else {"MILEPOST_STORE__URL": request.getfixturevalue("postgresql_empty")}


@contextmanager
def demo(folder: Path, store: dict[str, str]) -> Iterator[str]:
    """The demo goes on serving; yields the link to its desk."""
    command = [sys.executable, "-m", "milepost", "demo", "--direct", "--keep", "--folder", str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | store
    ) as process:
        try:
            said = []
            for line in process.stdout or ():
                said.append(line)
                if "once" in line and (link := re.search(r"http\S+/desk/link/\S+", "".join(said))):
                    break
            else:
                raise AssertionError("".join(said))
            yield link.group()
        finally:
            process.terminate()


def see(page: Page, heading: str | re.Pattern[str]) -> None:
    """That page is shown, fits, and axe finds nothing."""
    expect(page.get_by_role("heading", level=1)).to_have_text(heading)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it is wider than the window"
    assert violations(page) == []


def set_password(page: Page, link: str) -> None:
    """The first time, with the keyboard alone."""
    page.goto(link)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")


@pytest.mark.parametrize(("store", "scripts", "width", "scheme"), [
    ("sqlite", True, 1200, "light"), ("sqlite", False, 375, "dark"),
    ("postgresql", True, 375, "dark"), ("postgresql", False, 1200, "light"),
], indirect=["store"])
def test_somebody_decides(tmp_path: Path, store: dict[str, str], scripts: bool, width: int, scheme: str) -> None:
    with demo(tmp_path / "demo", store) as link, browser() as opened:
        def somebody() -> Page:
            return opened.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme,  # type: ignore[arg-type]
                java_script_enabled=scripts,
            ).new_page()

        page = somebody()
        noticed: list[str] = []
        page.on("console", lambda message: noticed.append(message.text) if message.type == "error" else None)

        def shown(heading: str | re.Pattern[str]) -> None:
            if scripts:
                see(page, heading)
            else:
                expect(page.get_by_role("heading", level=1)).to_have_text(heading)

        page.goto(link)
        shown("Your password")
        set_password(page, link)

        shown("What waits for me")
        expect(page.get_by_text("2 decisions")).to_be_visible()
        hold = page.get_by_role("article").filter(has_text="2 new milestones at once")
        expect(hold).to_contain_text("A watch hums instead of ticking")
        hold.get_by_label("Why").fill("they wrote two")
        hold.get_by_role("button", name="Release").click()
        expect(page.get_by_role("status")).to_contain_text("is released")

        page.get_by_role("link", name="Operators").click()
        shown("Operators")
        page.locator("input[name=name]").fill("bob")
        page.locator("select[name=role]").last.select_option("editor")
        page.get_by_role("button", name="Make a link").click()
        shown("A link for bob")
        other = somebody()
        set_password(other, page.locator(".secret code").inner_text())
        expect(other.get_by_role("heading", level=1)).to_have_text("What waits for me")
        expect(other.get_by_role("link", name="Readers")).to_have_count(0)
        other.get_by_role("link", name="Look at it").click()
        expect(other.get_by_role("heading", level=1)).to_have_text("A caesium clock shrinks to a chip")

        page.get_by_role("link", name="What waits").click()
        page.get_by_role("link", name="Look at it").click()
        shown("A caesium clock shrinks to a chip")
        expect(page.get_by_text("4 readers = 4 mails + 0 left out")).to_be_visible()
        for view in ("Light", "Dark", "375 px"):
            page.get_by_role("link", name=view, exact=True).click()
            mail = page.frame_locator("iframe")
            expect(mail.get_by_role("heading", name="A caesium clock shrinks to a chip")).to_be_visible()
        page.get_by_role("link", name="Text", exact=True).click()
        expect(page.locator("pre")).to_contain_text("A caesium clock shrinks to a chip")

        page.get_by_role("link", name="Edit").click()
        shown("Edit issue 3")
        page.get_by_label("Subject").fill("A clock on a chip")
        page.get_by_role("button", name="Save").click()
        shown("A clock on a chip")
        other.get_by_role("button", name="Approve").click()  # of what they looked at, which is another by now
        expect(other.get_by_role("heading", level=1)).to_have_text("That changed meanwhile")
        page.get_by_role("button", name="Approve").click()
        expect(page.get_by_role("status")).to_contain_text("is sealed for 4 readers")
        page.get_by_label("Why").fill("one more look")
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("status")).to_contain_text("is a draft again")
        page.get_by_role("button", name="Approve").click()
        page.get_by_label("Mails a second").fill("0.2")
        page.get_by_role("button", name="Throttle").click()
        page.get_by_role("button", name="Send without waiting").click()
        expect(page.get_by_text("Going out")).to_be_visible(timeout=60_000)
        settled = page.get_by_role("definition").filter(has_text=re.compile(r"^\s*[1-3] of 4"))
        expect(settled).to_be_visible(timeout=60_000)
        shown("A clock on a chip")
        page.get_by_label("Why").fill("long enough")
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_text("It is paused: long enough")).to_be_visible()
        page.get_by_role("button", name="As the settings have it").click()
        page.get_by_role("button", name="Let it go on").click()
        expect(page.get_by_role("heading", name="Sent", exact=True)).to_be_visible(timeout=60_000)
        page.get_by_role("link", name="The ledger").click()
        shown("Who got issue 3")
        page.get_by_role("link", name="sent", exact=True).click()
        expect(page.get_by_text("ada@readers.example")).to_be_visible()

        page.get_by_role("link", name="Readers", exact=True).click()
        shown("Readers")
        page.get_by_role("link", name="Take in a file").click()
        shown("Take in a file")
        page.locator("textarea[name=text]").fill("Email,Rhythm\nlin@readers.example,monthly\n")
        page.get_by_role("button", name="Look at it").click()
        shown("What the file holds")
        person = page.get_by_role("row").filter(has_text="lin@readers.example")
        expect(person).to_contain_text("instant")
        page.locator("select[name=map-cadence]").select_option("Rhythm")
        page.get_by_role("button", name="Read it so").click()
        expect(person).to_contain_text("monthly")
        page.get_by_label("Why").fill("they asked us at the fair")
        page.get_by_role("button", name="Take them in").click()
        shown("Taken in")
        page.get_by_role("link", name="To the readers").click()
        page.locator("input[name=q]").fill("LIN@")
        page.get_by_role("button", name="Find").click()
        page.get_by_role("link", name="lin@readers.example").click()
        shown(re.compile("lin@readers.example"))
        expect(page.get_by_role("row").filter(has_text="imported")).to_be_visible()
        page.get_by_role("link", name="Erase").click()
        shown("Erase lin@readers.example?")
        page.get_by_label("Type the address").fill("lin@readers.example")
        page.keyboard.press("Tab")
        page.keyboard.type("they asked for it")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_be_visible()
        page.locator("input[name=q]").fill("lin@")
        page.get_by_role("button", name="Find").click()
        expect(page.get_by_text("Nobody fits that.")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        shown("Sign in")
        assert noticed == []
