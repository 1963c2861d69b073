"""A reader's whole way, from a form on another site to being forgotten, as a real browser and a real inbox see it.

    form on another origin ─▶ mail ─▶ button ─▶ next issue ─▶ choose ─▶ pause ─▶ new address ─▶ leave ─▶ undo ─▶ erase

In three languages, with scripts and without, light and dark; axe-core examines every page. `make test` goes one of
these ways, `make chaos` all. PICTURES=folder keeps every page as a picture, on a telephone and on a desk.
"""

import datetime as dt
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from lxml import html
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, expect

from bench.browser import Scheme, browser, chromium, violations
from console.demo.inbox import serve_inbox
from console.demo.newcomer import mails, wait_for, web_server
from milepost.dates import utc_now
from milepost.records import Subscriber
from milepost.settings import Settings, load
from newsletter.words.languages import NAMES, direction, phrases_for
from newsletter.words.phrases import Phrases
from pipeline.dispatch import dispatch, waiting
from pipeline.look.scrape import scrape
from pipeline.own_page import pauses
from pipeline.publish import publish
from store.database import connect
from store.subscribers.people import Subscribers
from tests.pipeline.prepared import SETTINGS, copy
from tests.pipeline.stage import BreakableSite
from web.embed import form
from web.public.readers import sentence
from web.public.subscribe import FASTEST_S
from web.serve import free_port

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="chromium is not installed (apt-get install chromium)"),
]
PATIENCE_MS = 60_000
TELEPHONE, DESK = 375, 1280  # CSS pixels
OLD, NEW = "mary@readers.example", "mary@letters.example"
PICTURES = os.environ.get("PICTURES")
MORE_SETTINGS = """
allow_origins = ["http://localhost:{port}"]
check_domain = false
"""
# As a site has it whose own form is there already: JSON by a script, and a word on what came of it.
OWN_FORM = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Clockwork</title><main><h1>Join us</h1>
<form><label>Your email <input name="email" type="email" required></label><button>Join</button></form>
<p role="status"></p></main>
<script>
const form = document.querySelector("form"), said = document.querySelector("[role=status]");
form.addEventListener("submit", async event => {
  event.preventDefault();
  const body = {email: form.email.value, source: "hero", variant: "b", path: location.pathname, website: ""};
  try {
    const answer = await fetch("%s/api/subscribe", {
      method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body),
    });
    said.textContent = JSON.stringify(await answer.json());
  } catch (error) { said.textContent = "refused"; }
});
</script>"""
EMBEDDING = """<!doctype html><html lang="{language}" dir="{direction}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Clockwork</title>
<main><h1>Clockwork</h1>{form}</main>"""

Done = TypeVar("Done")


class Look(NamedTuple):
    """How somebody sees the pages."""

    language: str
    scripts: bool
    scheme: Scheme

    @property
    def name(self) -> str:
        return f"{self.language}-{'scripts' if self.scripts else 'plain'}-{self.scheme}"


SCHEMES: tuple[Scheme, ...] = ("light", "dark")
LOOKS = [Look(*each) for each in product(NAMES, (True, False), SCHEMES)]


@dataclass
class House:
    """A sample site, Milepost that watches it and serves its readers' pages, and everybody's inbox."""

    settings: Settings
    site: BreakableSite
    inbox: Path

    @property
    def elsewhere(self) -> str:
        """Another origin than the readers' pages: of another site, whose forms may post."""
        return f"http://localhost:{self.site.port}"

    def aside(self, do: Callable[[], Done]) -> Done:
        """Do what has an event loop of its own: the browser's is this thread's."""
        with ThreadPoolExecutor(1) as other:
            return other.submit(do).result()

    def next_issue(self) -> None:
        """The site publishes, and the readers hear of it."""
        def go() -> None:
            self.site.publish()
            scrape(self.settings, "clockwork")
            publish(self.settings)
            for number in waiting(self.settings):
                dispatch(self.settings, number)

        self.aside(go)

    def reader(self, address: str) -> Subscriber | None:
        def find() -> Subscriber | None:
            with connect(self.settings.store.url) as database:
                return Subscribers(database).find(address)

        return self.aside(find)

    def mail(self, address: str, number: int) -> EmailMessage:
        """The mail of that number to that address, from 1 on, as soon as it is there."""
        def look() -> EmailMessage | None:
            found = mails(self.inbox, address)
            return found[number - 1] if len(found) >= number else None

        return wait_for(look, f"mail {number} to {address}", self.inbox)


@contextmanager
def house(folder: Path, language: str) -> Iterator[House]:
    """While open; the site has been looked at once."""
    with ExitStack() as stack:
        site = stack.enter_context(BreakableSite())
        port = stack.enter_context(serve_inbox(folder / "inbox"))
        web = f"http://127.0.0.1:{free_port()}"
        said = SETTINGS.format(site=site.url, smtp=port).replace("https://news.clockwork.example", web)
        letter = f'[newsletter]\nlanguage = "{language}"\ncadences = ["instant", "weekly", "monthly"]\n'
        config = folder / "milepost.toml"
        config.write_text(
            said.replace("[newsletter]\n", letter) + MORE_SETTINGS.format(port=site.port), encoding="utf-8"
        )
        settings = load(config)
        copy("baseline", settings)
        site.replaced |= {
            "/own-form": (OWN_FORM % web).encode(),
            "/embedding": EMBEDDING.format(
                language=language, direction=direction(language), form=form(settings)
            ).encode(),
        }
        stack.enter_context(web_server(config, web, folder / "web.log"))
        yield House(settings=settings, site=site, inbox=folder / "inbox")


@dataclass
class Visitor:
    """Somebody with a browser; whatever they see is examined."""

    look: Look
    page: Page
    examiner: Page | None  # with scripts, for who has none
    complaints: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def see(self, name: str, heading: str, *, language: str = "") -> None:
        """Wait for the page of that heading, and examine it on a telephone and on a desk."""
        expect(self.page.locator("h1")).to_have_text(heading, timeout=PATIENCE_MS)
        self.page.wait_for_load_state()
        spoken = language or self.look.language
        shown = self.page.locator("html")
        assert (shown.get_attribute("lang"), shown.get_attribute("dir")) == (spoken, direction(spoken)), name
        for width in (DESK, TELEPHONE):
            self.page.set_viewport_size({"width": width, "height": 900})
            if self.page.evaluate("document.documentElement.scrollWidth") > width:
                self.complaints.append(f"{name}: sticks out at {width} px")
            if PICTURES:
                folder = Path(PICTURES) / self.look.name
                folder.mkdir(parents=True, exist_ok=True)
                self.page.screenshot(path=folder / f"{len(self.seen) + 1:02d}-{name}-{width}.png", full_page=True)
        self._examine(name)
        self.seen.append(name)

    def _examine(self, name: str) -> None:
        """By axe-core, which is a script: a page that may run none is examined as it stands, in another window."""
        page = self.page
        if self.examiner is not None:
            page = self.examiner
            page.set_content(self.page.content(), wait_until="load")
        self.complaints += [f"{name}: {rule}: {place[:160]}" for rule, place in violations(page)]

    def weigh_response(self, answer: Response) -> None:
        """A page may well say no; what a page asks for has to be there."""
        if answer.status >= 400 and not answer.request.is_navigation_request():
            self.complaints.append(f"{answer.status}: {answer.url}")

    def weigh_console(self, said: ConsoleMessage) -> None:
        """What the page's own policy forbids is told there."""
        if said.type == "error" and not said.text.startswith("Failed to load resource"):
            self.complaints.append(f"{said.location['url']}: {said.text}")

    def press(self, words: str) -> None:
        self.page.get_by_role("button", name=words, exact=True).click()

    def unfold(self, words: str) -> None:
        self.page.locator("summary").get_by_text(words, exact=True).click()

    def choose(self, words: str) -> None:
        self.page.get_by_role("radio", name=words, exact=True).check()

    def hears(self, words: str) -> None:
        expect(self.page.get_by_role("status")).to_have_text(words, timeout=PATIENCE_MS)

    def is_told(self, words: str, *, beside: str) -> None:
        """What was wrong is read without scrolling, and leads to the field."""
        told = self.page.get_by_role("alert")
        expect(told).to_have_text(words, timeout=PATIENCE_MS)
        expect(told).to_be_in_viewport()
        told.get_by_role("link").click()
        expect(self.page.get_by_role("textbox", name=beside, exact=True)).to_be_in_viewport()

    def follow(self, mail: EmailMessage, words: str) -> None:
        """Open the link that says so in a mail."""
        self.page.goto(link(mail, words))


def link(mail: EmailMessage, words: str) -> str:
    """Where the links of those words lead, all to one address."""
    part = mail.get_body(("html",))
    assert part is not None
    tree: Any = html.document_fromstring(part.get_content())
    [address] = set(tree.xpath("//a[normalize-space()=$words]/@href", words=words))
    return str(address)


@contextmanager
def visitor(opened: Browser, look: Look, house: House) -> Iterator[Visitor]:
    """Somebody who comes for the first time; afterwards they were neither tracked nor told of an error."""
    asked: set[str] = set()

    def context(*, scripts: bool) -> BrowserContext:
        return opened.new_context(
            java_script_enabled=scripts, color_scheme=look.scheme, locale=look.language,
            viewport={"width": TELEPHONE, "height": 900},
        )

    theirs, other = context(scripts=look.scripts), None if look.scripts else context(scripts=True)
    try:
        theirs.on("request", lambda request: asked.add("/".join(request.url.split("/")[:3])))
        who = Visitor(look=look, page=theirs.new_page(), examiner=None if other is None else other.new_page())
        theirs.on("weberror", lambda error: who.complaints.append(f"script: {error.error}"))
        theirs.on("response", who.weigh_response)
        theirs.on("console", who.weigh_console)
        yield who
        assert theirs.cookies() == []
        assert asked <= {house.settings.web.base_url, house.elsewhere, house.site.url}
        assert who.complaints == []
    finally:
        theirs.close()
        if other is not None:
            other.close()


def walk(look: Look, folder: Path) -> list[str]:
    """Go all the way; returns the names of the pages that were seen."""
    with house(folder, look.language) as at, browser() as opened, visitor(opened, look, at) as who:
        words = phrases_for(look.language)
        come_in(at, who, words)
        issue = at.mail(OLD, 3)
        choose(at, who, words, issue)
        pause(at, who, words)
        move(at, who, words)
        leave_and_return(at, who, words, issue)
        be_forgotten(at, who, words, issue)
        return who.seen


def come_in(at: House, who: Visitor, words: Phrases) -> None:
    """By the form on another site; the mail's button makes them a reader, and the next issue is theirs."""
    if who.look.scripts:
        by_the_sites_own_form(at, who)
    else:
        by_the_embedded_form(at, who, words)
    asks = at.mail(OLD, 1)
    who.follow(asks, words.confirm_press)
    who.see("confirm", words.confirm.format(name="Clockwork"))
    assert at.reader(OLD) is None
    who.press(words.confirm_press)
    who.see("welcome", words.welcome)
    reader = at.reader(OLD)
    assert reader is not None
    assert (reader.state, reader.cadence) == ("active", "instant")
    welcome = at.mail(OLD, 2)
    assert welcome["Subject"] == words.letter_welcome.format(name="Clockwork")
    at.next_issue()


def by_the_sites_own_form(at: House, who: Visitor) -> None:
    said = who.page.get_by_role("status")
    for origin, answer in ((at.site.url, "refused"), (at.elsewhere, json.dumps(
        {"success": True, "source": "hero", "variant": "b", "path": "/own-form"}, separators=(",", ":")
    ))):
        who.page.goto(f"{origin}/own-form")
        who.page.get_by_label("Your email").fill(OLD)
        who.press("Join")
        expect(said).to_have_text(answer, timeout=PATIENCE_MS)
        if answer == "refused":
            assert at.reader(OLD) is None
            who.complaints.clear()


def by_the_embedded_form(at: House, who: Visitor, words: Phrases) -> None:
    """Which leads to our own: there is no signed time in it, and the choice is still to be made."""
    who.page.goto(f"{at.elsewhere}/embedding")
    who.see("embedding", "Clockwork")
    who.page.get_by_label(words.your_address).fill(OLD)
    who.press(words.subscribe)
    who.see("subscribe", words.subscribe_to.format(name="Clockwork"))
    expect(who.page.get_by_label(words.your_address)).to_have_value(OLD)
    who.choose(sentence(words.rhythms["instant"]))
    who.page.wait_for_timeout(1100 * FASTEST_S)  # a form that is sent sooner is a program's
    who.press(words.subscribe)
    who.see("asked", words.asked)


def choose(at: House, who: Visitor, words: Phrases, issue: EmailMessage) -> None:
    """How often, about what, and in which language; then their own language again."""
    other = next(language for language in NAMES if language != who.look.language)
    others = phrases_for(other)
    who.follow(issue, words.preferences)
    who.see("own page", words.choice)
    who.choose(sentence(words.rhythms["weekly"]))
    topic = who.page.locator("input[name=topic]").first
    topic.check()
    chosen = topic.get_attribute("value")
    who.choose(NAMES[other])
    who.press(words.save)
    who.hears(others.saved)
    who.see("own page in another language", others.choice, language=other)
    who.choose(NAMES[who.look.language])
    who.press(others.save)
    who.hears(words.saved)
    who.see("chosen", words.choice)
    reader = at.reader(OLD)
    assert reader is not None
    assert (reader.cadence, reader.topics, reader.language) == ("weekly", (chosen,), who.look.language)


def pause(at: House, who: Visitor, words: Phrases) -> None:
    """Not without a day; then for two weeks, and then not."""
    who.unfold(words.pause)
    who.choose(words.pause_date)
    who.press(words.pause_press)
    who.is_told(words.pause_date_wrong, beside=words.pause_date)
    who.see("pause without a day", words.choice)
    day = words.plain_day(pauses(utc_now().date())[0])
    who.choose(words.pause_weeks.format(day=day))
    who.choose(words.pause_skip)
    who.press(words.pause_press)
    expect(who.page.get_by_role("heading", name=words.paused.format(day=day))).to_be_visible(timeout=PATIENCE_MS)
    who.see("paused", words.choice)
    reader = at.reader(OLD)
    assert reader is not None
    assert reader.paused(utc_now())
    assert reader.pause_skips
    assert not reader.paused(utc_now() + dt.timedelta(days=15))
    who.press(words.resume)
    who.hears(words.resumed)
    reader = at.reader(OLD)
    assert reader is not None
    assert not reader.paused(utc_now())


def move(at: House, who: Visitor, words: Phrases) -> None:
    """Not to where they are; to another address, which confirms it; the old one is told, and could undo it."""
    for address in (OLD, NEW):
        if address == OLD:
            who.unfold(words.move)
        who.page.get_by_label(words.move_new).fill(address)
        who.press(words.move_press)
        if address == OLD:
            who.is_told(words.move_same, beside=words.move_new)
            who.see("move to the same", words.choice)
    who.see("move asked", words.move_asked)
    who.follow(at.mail(NEW, 1), words.move_confirm_press)
    who.see("move", words.move_confirm.format(name="Clockwork"))
    assert at.reader(NEW) is None
    who.press(words.move_confirm_press)
    who.see("moved", words.move_done)
    assert at.reader(OLD) is None
    moved = at.reader(NEW)
    assert moved is not None
    assert moved.state == "active"
    who.follow(at.mail(OLD, 4), words.move_undo_press)
    who.see("undo the move", words.move_undo)


def leave_and_return(at: House, who: Visitor, words: Phrases, issue: EmailMessage) -> None:
    """By the foot of a mail, though it went to the old address."""
    who.follow(issue, words.unsubscribe)
    who.see("leave", words.leave.format(name="Clockwork"))
    who.press(words.unsubscribe)
    who.see("left", words.left)
    gone = at.reader(NEW)
    assert gone is not None
    assert gone.state == "unsubscribed"
    who.press(words.undo_press)
    who.see("back", words.back)
    back = at.reader(NEW)
    assert back is not None
    assert (back.state, back.cadence) == ("active", "weekly")


def be_forgotten(at: House, who: Visitor, words: Phrases, issue: EmailMessage) -> None:
    """With all that is kept in their hands, and asked once more."""
    who.page.get_by_role("link", name=words.to_your_page).click()
    expect(who.page.locator("h1")).to_have_text(words.choice, timeout=PATIENCE_MS)
    who.unfold(words.kept)
    with who.page.expect_download(timeout=PATIENCE_MS) as coming:
        who.press(words.kept_press)
    held = json.loads(coming.value.path().read_text(encoding="utf-8"))
    assert NEW in json.dumps(held)
    who.press(words.erase_open)
    who.see("erase", words.erase_ask)
    assert at.reader(NEW) is not None
    who.press(words.erase_press)
    who.see("erased", words.erased)
    assert at.reader(NEW) is None
    assert at.reader(OLD) is None
    who.follow(issue, words.unsubscribe)
    expect(who.page.locator("h1")).to_have_text(words.erased, timeout=PATIENCE_MS)


def test_a_reader_comes_chooses_moves_leaves_and_is_forgotten(tmp_path: Path) -> None:
    assert len(walk(Look("en", True, "light"), tmp_path)) > 10


@pytest.mark.chaos
@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_every_reader_does(tmp_path: Path, look: Look) -> None:
    assert len(walk(look, tmp_path)) > 10
