"""A milestone that was told wrongly is put right once, old beside new, for those who were told."""

import email
from collections.abc import Callable
from email import policy
from email.message import EmailMessage
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from lxml import etree, html

from milepost.dates import utc_now
from milepost.settings import Settings
from newsletter.words.phrases import ENGLISH
from pipeline.dispatch import dispatch, waiting
from pipeline.edit import replay
from pipeline.look.scrape import scrape
from pipeline.publish import publish
from store.database import Database
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.subscribers.people import Subscribers
from tests.html_page import elements, strings
from tests.html_page import text_of as page_text
from tests.pipeline import prepared
from tests.pipeline.stage import READERS, BreakableSite
from web.export import build_archive
from web.public.feeds import ATOM


@pytest.fixture
def play(settings: Settings) -> Callable[[], list[int]]:
    """Look at the site once more and send what comes of it; the numbers of the issues sent."""

    def step() -> list[int]:
        scrape(settings, "clockwork")
        publish(settings)
        numbers = waiting(settings)
        for number in numbers:
            dispatch(settings, number)
        return numbers

    return step


@pytest.fixture
def key(site: BreakableSite, settings: Settings) -> str:
    """The key of a milestone that issue 1 told to everybody."""
    known = {story.key for story in site.stories}
    prepared.copy("issue", settings)
    site.publish()
    dispatch(settings, 1)
    return next(story.key for story in site.stories if story.key not in known)


def retell(site: BreakableSite, key: str, old: str, new: str) -> None:
    """From now on the page says otherwise."""
    told = site.story(key)
    assert old in told
    site.replaced[f"/story/{key}"] = told.replace(old, new).encode()


def mails_to(mails: Path, address: str) -> list[EmailMessage]:
    found = [email.message_from_bytes(path.read_bytes(), policy=policy.SMTP) for path in sorted(mails.glob("*.eml"))]
    return [message for message in found if str(message["To"]) == address]  # type: ignore[misc]


def text_of(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def why(site: BreakableSite, key: str) -> str:
    """The first words of why it mattered, as they stand in the page."""
    return next(story for story in site.stories if story.key == key).why_it_mattered.split(".")[0]


def test_a_correction_is_told_once_old_beside_new(
    site: BreakableSite, key: str, play: Callable[[], list[int]], mails: Path, database: Database, settings: Settings
) -> None:
    old = why(site, key)
    retell(site, key, old, "It changed hardly anything at all")

    assert play() == [2]
    issue = Issues(database).get(2)
    assert [(item.role, item.milestone.key) for item in issue.items] == [("correction", key)]
    assert issue.subject.startswith("Correction: ")
    for reader in READERS:
        [_, correction] = mails_to(mails, reader)
        told = " ".join(text_of(correction).split()).replace("*", "")  # they mark the words that changed
        assert "CORRECTED SINCE WE WROTE" in told
        assert f"- {old.split()[0]}" in told
        assert "+ It changed hardly anything at all" in told
        assert "<del>" in text_of(correction, "html")
    assert play() == []
    assert replay(settings, database, 2).proven


def test_who_never_heard_the_mistake_hears_no_correction(
    site: BreakableSite, key: str, play: Callable[[], list[int]], mails: Path, database: Database
) -> None:
    Subscribers(database).add("late@readers.example", now=utc_now())
    retell(site, key, why(site, key), "It changed hardly anything at all")

    assert play() == [2]
    assert Ledger(database).counts(2).exclusions == {"no_match": 1}
    assert mails_to(mails, "late@readers.example") == []


def test_a_correction_that_nobody_is_owed_makes_no_issue(
    site: BreakableSite, key: str, play: Callable[[], list[int]], database: Database
) -> None:
    subscribers = Subscribers(database)
    for reader in subscribers.list():
        subscribers.leave(reader.id, utc_now())
    subscribers.add("late@readers.example", now=utc_now())
    retell(site, key, why(site, key), "It changed hardly anything at all")

    assert play() == []


def test_what_was_taken_back_before_anybody_heard_is_not_told(
    site: BreakableSite, key: str, play: Callable[[], list[int]], settings: Settings
) -> None:
    retell(site, key, why(site, key), "It changed hardly anything at all")
    scrape(settings, "clockwork")
    site.replaced.clear()

    assert play() == []


def test_two_corrections_of_one_milestone_come_to_one(
    site: BreakableSite, key: str, play: Callable[[], list[int]], mails: Path, database: Database, settings: Settings
) -> None:
    old = why(site, key)
    retell(site, key, old, "It changed hardly anything at all")
    scrape(settings, "clockwork")
    site.replaced.clear()
    retell(site, key, old, "It changed nearly everything")

    assert play() == [2]
    assert len(Issues(database).get(2).items) == 2
    told = " ".join(text_of(mails_to(mails, READERS[0])[-1]).split()).replace("*", "")
    assert "1 correction" in told
    assert "+ It changed nearly everything" in told
    assert "hardly" not in told


def test_a_milestone_corrected_before_it_was_told_is_told_right_at_once(
    site: BreakableSite, play: Callable[[], list[int]], mails: Path, settings: Settings
) -> None:
    known = {story.key for story in site.stories}
    play()
    site.publish()
    key = next(story.key for story in site.stories if story.key not in known)
    scrape(settings, "clockwork")
    retell(site, key, why(site, key), "It changed hardly anything at all")

    assert play() == [1]
    told = " ".join(text_of(mails_to(mails, READERS[0])[0]).split())
    assert "It changed hardly anything at all" in told
    assert "CORRECTED" not in told
    assert play() == []


def test_the_page_of_the_issue_that_was_wrong_says_so_and_its_bytes_stay(
    site: BreakableSite, key: str, play: Callable[[], list[int]], database: Database, settings: Settings,
    tmp_path: Path,
) -> None:
    sealed = list(Issues(database).variants(1))
    before = build_archive(settings, database, tmp_path / "site")
    old = why(site, key)
    retell(site, key, old, "It changed hardly anything at all")
    assert play() == [2]

    again = build_archive(settings, database, tmp_path / "site")

    assert tmp_path / "site/issues/1/index.html" in set(before.written) & set(again.written)
    page = html.fromstring((tmp_path / "site/issues/1/index.html").read_text(encoding="utf-8"))
    [mark] = elements(page, "//*[@class='amended']")
    day = ENGLISH.plain_day(utc_now().astimezone(ZoneInfo(settings.newsletter.timezone)).date())
    assert f"Corrected on {day}" in page_text(mark)
    assert old.split()[0] in page_text(elements(mark, ".//del")[0])
    assert "It changed hardly anything at all" in page_text(elements(mark, ".//ins")[0])
    assert strings(mark, ".//a/@href") == [f"{settings.web.base_url}/issues/2"]
    feed = etree.parse(tmp_path / "site/feed.atom").getroot()
    [first] = [
        {name: str(entry.findtext(f"{{{ATOM}}}{name}")) for name in ("id", "published", "updated", "content")}
        for entry in feed.iter(f"{{{ATOM}}}entry") if str(entry.findtext(f"{{{ATOM}}}id")).endswith(":issue/1")
    ]
    assert first["updated"] >= first["published"]
    assert "It changed hardly anything at all" in first["content"]
    assert list(Issues(database).variants(1)) == sealed
    assert replay(settings, database, 1).proven
