"""Draws the documentation's pictures by headless Chromium: the demo's issue, and issues of 1, 8, 40 and no news.

    python -m bench.screenshots [--out docs/pictures] [--only t4]

Wants Debian's `chromium`; without it, says so and draws nothing. The tests compare what they draw with these.
"""

import argparse
import datetime as dt
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from PIL import Image as Pictures
from playwright.sync_api import Browser

from bench.browser import PICTURES, Scheme, browser, chromium, draw, save
from console.demo.site.server import SampleSite
from milepost.records import (
    UNEDITED,
    Amended,
    Cadence,
    Edit,
    FieldChange,
    Image,
    IssueItem,
    KnownTopics,
    Milestone,
    Variant,
)
from milepost.settings import Settings, parse
from newsletter.issue.compose import compose
from newsletter.issue.corrections import amendment_view
from newsletter.issue.design import TODAY
from newsletter.issue.known import Known, Picture, page_key
from newsletter.issue.render import Renderer
from newsletter.issue.view import Plan, issue_link, issue_view
from newsletter.words.languages import NAMES
from pipeline.look.scrape import scrape
from store.database import connect, upgrade
from store.issues.issues import Issues
from store.milestones.milestones import Milestones
from store.milestones.topics import Topics
from web.pages import About, Pages
from web.public.preferences import choice

NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
TOPICS = ("standards", "atomic-clock")
INTRO = """Dear readers, three new ones today, and a date that we had *wrong*:

- the oldest is **a watch**,
- [the whole story](https://clockwork.example/) is older still.
"""
CADENCES: tuple[Cadence, ...] = ("instant", "weekly", "monthly")


class Shot(NamedTuple):
    """One picture: of what, how wide, in which colours, with how large a text, and which part of a long one."""

    name: str
    shows: str
    width: int = 700
    scheme: Scheme = "light"
    text: float = 1.0
    first: int | None = None  # only so many pixels from the top
    last: int | None = None  # only so many pixels from the bottom


SHOTS = (
    Shot("issue-light", "demo"), Shot("issue-dark", "demo", scheme="dark"), Shot("issue-375", "demo", 375),
    Shot("t1-one", "t1"), Shot("t1-images-off", "pictures"), Shot("t1-text-200", "t1", text=2.0),
    Shot("t2-eight-light", "t2"), Shot("t2-eight-dark", "t2", scheme="dark"), Shot("t2-eight-375", "t2", 375),
    Shot("edited-light", "edited"), Shot("edited-375-dark", "edited", 375, scheme="dark"),
    Shot("t2-eight-375-text-200", "t2", 375, text=2.0, first=4200),
    Shot("t3-forty", "t3", first=2600), Shot("t3-forty-trimmed", "t3", last=1500),
    Shot("t4-corrections-light", "t4"), Shot("t4-corrections-dark", "t4", scheme="dark"),
    Shot("t4-corrections-375", "t4", 375),
    Shot("german", "de"), Shot("hebrew", "he"), Shot("hebrew-375", "he", 375),
    Shot("web-issue", "web"), Shot("web-issue-dark", "web", scheme="dark"), Shot("web-issue-375", "web", 375),
    Shot("web-choice", "choice"), Shot("web-choice-375-dark", "choice", 375, scheme="dark"),
)


def shoot(opened: Browser, shot: Shot, html: str) -> Pictures.Image:
    """That picture."""
    picture = draw(opened, html, width=shot.width, scheme=shot.scheme, text=shot.text)
    top = 0 if shot.last is None else max(0, picture.height - shot.last)
    bottom = picture.height if shot.first is None else min(picture.height, shot.first)
    return picture.crop((0, top, picture.width, bottom))


def item(number: int, record: Milestone, role: Literal["news", "correction"] = "news", **more: Any) -> IssueItem:
    """One line of an issue."""
    return IssueItem(change_id=number, milestone_id=number, version_id=number, role=role, milestone=record,
                     first_seen_at=NOW - dt.timedelta(days=7), **more)



def corrections(records: list[Milestone]) -> list[IssueItem]:
    """Three corrections: a date, names, and a sentence in a long text."""
    first, second, third = records[:3]
    what = third.what_happened
    words = what.split(" ")
    wrong = " ".join([*words[:6], "not quite", *words[8:]])
    date = {"value": "1955-06", "precision": "month", "confirmed": True}
    earlier = {"value": "1953", "precision": "year", "confirmed": True}
    return [
        item(number, record, "correction", fields=(FieldChange(name, "corrected", old, new),), corrected_at=NOW)
        for number, (record, name, old, new) in enumerate((
            (first, "date", earlier, date),
            (second, "people", [*second.people, "A Bystander"], list(second.people)),
            (third, "what_happened", wrong, what),
        ), 1)
    ]


class Scenes:
    """The HTML of everything that is drawn, made from the sample site's milestones."""

    def __init__(self, folder: Path) -> None:
        """`folder` takes the database of two looks at the sample site, between which it publishes two milestones."""
        with SampleSite() as site:
            self.settings = _settings(folder, site)
            upgrade(self.settings.store.url)
            scrape(self.settings, "clockwork")
            site.publish()
            scrape(self.settings, "clockwork")
        with connect(self.settings.store.url) as database:
            records = [stored.milestone for stored in Milestones(database).iterate("clockwork")]
            self.fresh = [stored.milestone for _, stored in Issues(database).unannounced("instant")]
            self.topics = Topics(database).known()
        self.known = Known(
            languages={"clockwork": "en"},
            pages={page_key("clockwork", record.key): record.url for record in records},
        )
        self.records = sorted(records, key=lambda record: (-(record.impact or 0), record.key))

    @cached_property
    def all(self) -> Mapping[str, Callable[[], str]]:
        """How to make each, by name."""
        eight = [item(number, record) for number, record in enumerate(self.records[:8], 1)]
        picture = Image(url="https://pictures.invalid/dial.png", alt="A dial with one hand, drawn in ink")
        pictured = replace(eight[0], milestone=replace(eight[0].milestone, image=picture))
        mixed = [*eight[:1], *(replace(one, change_id=50 + n) for n, one in enumerate(corrections(self.records)[:1]))]
        return {
            "demo": lambda: self.mail([item(n, record) for n, record in enumerate(self.fresh, 1)], cadence="instant"),
            "t1": lambda: self.mail(eight[:1]),
            "pictures": lambda: self.mail(
                [pictured], images=True, logo="https://pictures.invalid/logo.png",
                logo_alt="Clockwork: a wheel with twelve teeth",
            ),
            "edited": lambda: self.mail(
                [*(item(n, self.records[place]) for n, place in enumerate((1, 4, 9), 1)), corrections(self.records)[0]],
                edit=Edit(intro=INTRO),
            ),
            "t2": lambda: self.mail(eight),
            "t3": lambda: self.mail(self.forty()),
            "t4": lambda: self.mail(corrections(self.records)),
            "de": lambda: self.mail(
                mixed, language="de", tagline="Die Geschichte der Zeitmessung, wie sie geschrieben wird.",
            ),
            "he": lambda: self.mail(mixed, language="he", tagline=""),
            "web": lambda: self.web([*eight[:3], *(replace(one, change_id=50 + n) for n, one in
                                                  enumerate(corrections(self.records)))]),
            "choice": self.choice,
            "archive": self.archive,
            "unable": self.unable,
        }

    def mail(
        self, items: list[IssueItem], *, cadence: Cadence = "weekly", edit: Edit = UNEDITED, **letter: Any
    ) -> str:
        """The HTML part of an issue."""
        return self.renderer(**letter).render(12, cadence, items, NOW, edit=edit).html

    def renderer(self, *, design: int = TODAY, known: Known | None = None, **letter: Any) -> Renderer:
        """What makes mails of that design, with some settings of the newsletter changed."""
        newsletter = self.settings.newsletter.model_copy(update=letter)
        return Renderer(newsletter, self.settings.mail, self.settings.web, known=known or self.known, design=design)

    def hosted(self) -> Variant:
        """An issue of one story with a picture from our own pages and hardly a word: what filters like least."""
        picture = Image(url="https://pictures.invalid/dial.png", alt="A dial with one hand, drawn in ink")
        brief = replace(self.records[0], what_happened="", why_it_mattered="", tags=(), image=picture)
        known = replace(self.known, pictures={"https://pictures.invalid/dial.png": Picture(
            name="0c5a.jpg", width=1040, height=585,
        )})
        return self.renderer(known=known, images="hosted").render(12, "instant", [item(1, brief)], NOW)

    def forty(self) -> list[IssueItem]:
        """Forty milestones of three times the usual length; the sample has fewer, so that some are told in parts."""
        found = []
        for number in range(40):
            part, place = divmod(number, len(self.records))
            record = self.records[place]
            title = f"{record.title}, part {part + 1}" if part else record.title
            found.append(item(number + 1, replace(
                record, key=f"m{number}", title=title, what_happened=" ".join([record.what_happened] * 3),
            )))
        return found

    def web(self, items: list[IssueItem]) -> str:
        """An issue's page."""
        settings, pages = self.settings, Pages(self.settings.newsletter, self.settings.web)
        draft = compose(items)
        view = issue_view(
            draft, number=12, cadence="weekly", sequence=3, day=pages.phrases.day(NOW.date()), plan=Plan.whole(items),
            placeholder="", newsletter=settings.newsletter, mail=settings.mail, web=settings.web, phrases=pages.phrases,
            known=self.known,
        )
        wrong = [one for one in items if one.role == "correction"]
        amended = {
            items[0].milestone_id: Amended(fields=wrong[0].fields, corrected_at=NOW, issue=14),
            items[1].milestone_id: Amended(fields=wrong[2].fields, corrected_at=NOW, withdrawn_at=NOW),
        }
        marks = {
            number: amendment_view(
                what, phrases=pages.phrases, timezone="UTC", issue_url=partial(issue_link, settings.web)
            )
            for number, what in amended.items()
        }
        return pages.html(
            "issue.html.j2", issue=view, subject=draft.subject, amendments=marks, earlier=11, later=None,
            also=[(10, "Instant no. 7"), (11, "Instant no. 8")],
            stories={one.milestone_id: f"/timeline/{one.milestone.key}" for one in items},
            described=_about(settings, draft.subject, "issues/12"),
        )

    def archive(self) -> str:
        """The page of all issues: four cadences, each piece of news once."""
        pages = Pages(self.settings.newsletter, self.settings.web)
        return pages.html("issues.html.j2", issues=[
            {
                "number": number, "subject": record.title, "day": pages.phrases.day(NOW.date()),
                "label": pages.phrases.numbered_issue(number, "instant", number),
                "also": [(20 + number, pages.phrases.numbered_issue(20, cadence, number // (place + 2) + 1))
                         for place, cadence in enumerate(("daily", "weekly", "monthly"))][: 4 - number % 4],
            }
            for number, record in zip(range(6, 0, -1), self.records, strict=False)
        ], number=1, count=1, first=6, described=_about(self.settings, self.settings.newsletter.name, "issues"))

    def unable(self) -> str:
        """What a reader sees while the store can't be had."""
        pages = Pages(self.settings.newsletter, self.settings.web)
        return pages.html("unable.html.j2", hint=pages.phrases.unable_hint, again="/u/token")

    def choice(self) -> str:
        """The page of a reader's choice."""
        pages = Pages(self.settings.newsletter, self.settings.web)
        known = KnownTopics(categories=self.topics.categories, tags=self.topics.tags)
        values = choice(pages.phrases, known, cadences=CADENCES, cadence="weekly", topics=TOPICS)
        month = pages.phrases.pause_month.format(day=pages.phrases.plain_day(dt.date(2026, 12, 23)))
        return pages.html(
            "choice.html.j2", saved="", wrong="", typed="", own="/u/token", address="a…@readers.example", paused="",
            skips=False, languages=[(tag, name, tag == "en") for tag, name in NAMES.items()],
            pauses=[("2026-12-23", month)], first="2026-11-24", last="2027-11-23", **values,
        )


def _about(settings: Settings, title: str, path: str) -> About:
    base = settings.web.base_url
    return About(title=title, description=settings.newsletter.tagline, canonical=f"{base}/{path}",
                 card=f"{base}/cards/site.png")


def _settings(folder: Path, site: SampleSite) -> Settings:
    return parse({
        "store": {"url": f"sqlite:///{folder}/milepost.db"},
        "sources": [{"key": "clockwork", "extractor": "sample", "base_url": site.base_url,
                     "fetch_from": site.url, "allow_hosts": ["127.0.0.1"]}],
        "mail": {"from": "Clockwork <news@clockwork.example>", "postal_address": "1 Escapement Row, Exampletown"},
        "newsletter": {"name": "Clockwork", "tagline": "The history of keeping time, as it is written.",
                       "accent": "#b5451f"},
        "web": {"base_url": "https://news.clockwork.example"},
    })


def main() -> None:
    """Draw them all, or some."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--out", type=Path, default=PICTURES)
    given.add_argument("--only", default="", help="names that begin so")
    arguments = given.parse_args()
    out: Path = arguments.out
    if chromium() is None:
        sys.exit("chromium is not installed; on Debian: apt-get install chromium")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        scenes = Scenes(Path(folder))
        with browser() as opened:
            for shot in SHOTS:
                if shot.name.startswith(arguments.only):
                    path = out / f"{shot.name}.png"
                    save(shoot(opened, shot, scenes.all[shot.shows]()), path)
                    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
