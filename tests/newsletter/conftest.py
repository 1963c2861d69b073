"""Invented issues about the history of timekeeping, told in our own words."""

import datetime as dt
from collections.abc import Callable

import pytest

from milepost.dates import PartialDate
from milepost.records import Card, Image, IssueItem, Milestone
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from newsletter.issue.render import Renderer

NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
ItemMaker = Callable[..., IssueItem]

STORIES: tuple[dict[str, object], ...] = (
    {
        "key": "pendulum-clock", "title": "The Pendulum Clock", "date": PartialDate(value="1656-12-25"),
        "category": "mechanisms", "era": "precision", "impact": 5,
        "what_happened": "Christiaan Huygens hung a swinging weight in a clock and let it set the pace. Salomon "
        "Coster, a clockmaker in The Hague, built it for him. Where a good clock had strayed by a quarter of an hour "
        "a day, this one strayed by some fifteen seconds.",
        "why_it_mattered": "For the first time a machine told the time better than the sun did. Minute hands became "
        "worth having, astronomers could time what they saw, and for the next 270 years every better clock was a "
        "better pendulum.",
        "people": ("Christiaan Huygens", "Salomon Coster"), "organizations": ("Workshop of Salomon Coster",),
        "tags": ("pendulum", "horology", "physics"),
        "image": Image(url="https://pictures.example.org/thumb/ab/pendulum.png/250px-pendulum.png",
                       alt="Drawing of a clock with a pendulum between curved cheeks"),
    },
    {
        "key": "balance-spring", "title": "A Spring to Balance the Watch", "date": PartialDate(value="1675-01"),
        "category": "mechanisms", "era": "precision", "impact": 4,
        "what_happened": "A fine spiral spring, fixed to the balance wheel, gave the watch a beat of its own. Huygens "
        "published the idea in Paris; Robert Hooke said that he had had it first.",
        "why_it_mattered": "Watches went from hours wrong to minutes wrong a day, and from ornament to instrument.",
        "people": ("Christiaan Huygens", "Isaac Thuret", "Robert Hooke"), "tags": ("watches", "springs"),
    },
    {
        "key": "marine-chronometer", "title": "H4: Longitude in a Pocket", "date": PartialDate(value="1761-11"),
        "category": "navigation", "era": "precision", "impact": 5,
        "what_happened": "John Harrison's fourth sea watch, no wider than a saucer, sailed to Jamaica with his son "
        "William. After 81 days at sea it was five seconds slow.",
        "why_it_mattered": "A captain with the time of home in his cabin knows how far east or west he is. The prize "
        "for longitude had waited half a century for that.",
        "people": ("John Harrison", "William Harrison"), "organizations": ("Board of Longitude", "Royal Navy"),
        "tags": ("longitude", "navigation"),
    },
    {
        "key": "railway-time", "title": "Railways Agree What Time It Is", "date": PartialDate(value="1847-12"),
        "category": "standards", "era": "standard-time", "impact": 4,
        "what_happened": "British railway companies set their station clocks to Greenwich, and towns that had kept "
        "their own noon followed, some with two minute hands for a while.",
        "why_it_mattered": "Time stopped being local. A timetable needs one clock, and so, it turned out, "
        "does a country.",
        "organizations": ("Railway Clearing House", "Royal Observatory, Greenwich"), "tags": ("time-zones", "railways"),
    },
    {
        "key": "meridian-conference", "title": "Twenty-Five Nations Choose a Prime Meridian",
        "date": PartialDate(value="1884-10-13"), "category": "standards", "era": "standard-time", "impact": 4,
        "what_happened": "Delegates met in Washington and voted for the line through Greenwich, and for a day that "
        "begins there at midnight. France abstained.",
        "why_it_mattered": "Hours of difference between places became whole numbers, and maps and clocks one system.",
        "people": ("Sandford Fleming", "Jules Janssen"), "tags": ("time-zones", "treaties"),
    },
    {
        "key": "quartz-clock", "title": "Quartz Keeps the Beat", "date": PartialDate(value="1927"),
        "category": "electronics", "era": "oscillators", "impact": 4,
        "what_happened": "Warren Marrison and Joseph Horton let a ring of quartz, trembling fifty thousand times a "
        "second, drive a clock at Bell Telephone Laboratories.",
        "why_it_mattered": "Crystals owe nothing to gravity or to oil. They showed that the Earth itself turns "
        "unevenly, and in time they put good clocks on every wrist.",
        "people": ("Warren Marrison", "Joseph W. Horton"), "organizations": ("Bell Telephone Laboratories",),
        "tags": ("quartz", "electronics"),
    },
    {
        "key": "caesium-clock", "title": "The First Caesium Clock", "date": PartialDate(value="1955-06"),
        "category": "atomic", "era": "oscillators", "impact": 5,
        "what_happened": "At Teddington, Louis Essen and Jack Parry steered a quartz clock by the inner tremor of "
        "caesium atoms. It would have lost a second in three centuries.",
        "why_it_mattered": "The second no longer came from the sky. Twelve years later it was defined anew, as "
        "9,192,631,770 periods of that tremor, and satellites could begin to tell us where we are.",
        "people": ("Louis Essen", "Jack Parry"), "organizations": ("National Physical Laboratory",),
        "tags": ("atomic-clocks", "physics"),
    },
    {
        "key": "network-time", "title": "Network Time: Clocks That Ask Each Other",
        "date": PartialDate(value="1985-09"),
        "category": "networks", "era": "oscillators", "impact": 3,
        "what_happened": "David Mills wrote down how computers that trust nobody's clock, their own least of all, "
        "can agree on the time across a slow and uneven network.",
        "why_it_mattered": "Certificates, logs and databases all lean on clocks that agree. Most of them still agree "
        "in this way.",
        "people": ("David L. Mills",), "organizations": ("University of Delaware",), "tags": ("networks", "protocols"),
    },
)  # fmt: skip

NEIGHBOURS = (
    Card(key="verge", title="The Verge and Foliot", date=PartialDate(value="1283")),
    Card(key="galileo", title="Galileo Sketches an Escapement", date=PartialDate(value="1641")),
    Card(key="balance-spring", title="A Spring to Balance the Watch", date=PartialDate(value="1675-01")),
    Card(key="undated", title="A Water Clock Nobody Dated"),
)


@pytest.fixture
def make_item() -> ItemMaker:
    """An item of an issue; the n-th one tells the n-th story unless fields say otherwise."""

    def make(
        number: int = 1, *, role: str = "news", first_seen_at: dt.datetime | None = None, **fields: object
    ) -> IssueItem:
        story = dict(STORIES[(number - 1) % len(STORIES)]) | fields
        story.setdefault("source", "timekeeping")
        story.setdefault("url", f"https://timekeeping.example.org/timeline/{story['key']}")
        return IssueItem(
            change_id=number, milestone_id=number, version_id=100 + number, role=role,  # type: ignore[arg-type]
            milestone=Milestone(**story),  # type: ignore[arg-type]
            first_seen_at=first_seen_at or NOW - dt.timedelta(hours=number),
        )

    return make


@pytest.fixture
def newsletter() -> NewsletterSettings:
    return NewsletterSettings(
        name="Escapements", tagline="Four thousand years of telling the time, a milestone at a time.",
        cadences=("weekly",), timezone="Europe/Amsterdam", accent="#b4461f",
    )


@pytest.fixture
def mail() -> MailSettings:
    return MailSettings.model_validate({
        "from": "Escapements <news@timekeeping.example.org>",
        "postal_address": "Escapements\nPendulum Lane 4\n1234 AB Delft, The Netherlands",
    })


@pytest.fixture
def web() -> WebSettings:
    return WebSettings(base_url="https://news.timekeeping.example.org")


@pytest.fixture
def renderer(newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings) -> Renderer:
    return Renderer(newsletter, mail, web)
