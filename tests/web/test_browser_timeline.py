"""From a mail to the timeline and its feeds, as somebody goes who got the mail passed on, in a real browser.

    mail ─▶ title (at the site) ─▶ the issue's page ─▶ a milestone's page ─▶ its history ─▶ feeds ─▶ subscribe

axe-core examines every page on the way. `make chaos` goes it.
"""

from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from playwright.sync_api import Page, expect

from bench.browser import browser, chromium
from newsletter.words.languages import phrases_for
from pipeline.look.scrape import scrape
from tests.pipeline.stage import READERS
from tests.web.test_browser_sign_up import House, Look, house, link, visitor
from web.public.feeds import ATOM

pytestmark = [
    pytest.mark.browser,
    pytest.mark.chaos,
    pytest.mark.skipif(chromium() is None, reason="chromium is not installed (apt-get install chromium)"),
]
STORY, TITLE = "network-time-protocol", "Computers begin to set one another's clocks"
AT_SITE = "https://clockwork.example"


def discovered(page: Page) -> list[str]:
    """The Atom feeds that a page names for programs: issues, milestones, changes, and those of its topic."""
    found = page.locator("head link[rel=alternate][type='application/atom+xml']")
    return [str(one.evaluate("link => link.href")) for one in found.all()]


def entries(page: Page, feed: str) -> dict[str, str]:
    """What a feed reader gets there: the addresses of its entries, by their titles."""
    answer = page.request.get(feed)
    assert answer.headers["content-type"].startswith("application/atom+xml"), feed
    tree: Any = etree.fromstring(answer.body())
    return {str(one.findtext(f"{{{ATOM}}}title")): str(one.find(f"{{{ATOM}}}link").get("href"))
            for one in tree.iterfind(f"{{{ATOM}}}entry")}


def correct(at: House) -> None:
    """The site corrects an old story, and is looked at."""
    def go() -> None:
        at.site.edit()
        scrape(at.settings, "clockwork")

    at.aside(go)


@pytest.mark.parametrize("look", [Look("en", True, "light"), Look("he", True, "dark")], ids=lambda look: look.name)
def test_a_mail_leads_to_the_story_its_history_its_feeds_and_the_form(tmp_path: Path, look: Look) -> None:
    with house(tmp_path, look.language) as at, browser() as opened, visitor(opened, look, at) as who:
        words, page = phrases_for(look.language), who.page
        at.next_issue()
        mail = at.mail(READERS[0], 1)
        correct(at)

        page.goto(link(mail, TITLE).replace(AT_SITE, at.site.url))
        expect(page.get_by_role("heading", level=1)).to_have_text(TITLE)

        who.follow(mail, words.read_on_web)
        who.see("issue", str(mail["Subject"]))
        page.locator("article", has_text=TITLE).first.get_by_text(words.story_of, exact=True).click()
        who.see("milestone", TITLE)
        here = f"{at.settings.web.base_url}/timeline/{STORY}"
        assert page.url == here
        history = page.get_by_role("region", name=words.history)
        expect(history.get_by_role("link", name=str(mail["Subject"]))).to_have_attribute("href", "/issues/1")

        issues, milestones, changes = discovered(page)
        assert set(entries(page, issues).values()) == {f"{at.settings.web.base_url}/issues/1"}
        assert here in entries(page, milestones).values()
        [corrected] = entries(page, changes).values()
        page.goto(corrected)
        who.see("corrected milestone", page.locator("h1").inner_text())
        expect(history.locator("ins")).to_have_count(1)

        page.goto(here)
        page.locator("dl a[href*='/topics/']").first.click()
        who.see("topic", page.locator("h1").inner_text())
        *_, of_topic, _ = discovered(page)
        assert here in entries(page, of_topic).values()

        page.get_by_role("link", name=words.timeline, exact=True).click()
        who.see("timeline", words.timeline)
        page.get_by_label(words.search_for).fill("clock")
        who.press(words.search)
        expect(page.get_by_role("status")).to_contain_text("clock")
        who.see("search", words.timeline)
        page.goto(f"{at.settings.web.base_url}/timeline/nothing")
        who.see("missing", words.missing_milestone)
        page.get_by_role("link", name=words.all_issues, exact=True).click()
        who.see("issues", words.all_issues)
        page.get_by_role("link", name=words.subscribe, exact=True).click()
        who.see("subscribe", words.subscribe_to.format(name="Clockwork"))
        assert len(who.seen) == 9
