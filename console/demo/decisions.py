"""What the demo leaves for somebody to decide at the desk: a draft that waits, and a look that is held.

    the site publishes one ─▶ a draft that waits for approval
    … and two more at once ─▶ more than its guard lets through: held
    a link in its first operator's name ─▶ the desk          what is approved there is sent to the demo's inbox
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from console.demo.site.pages import Story
from console.demo.site.server import SampleSite
from milepost.dates import PartialDate
from milepost.errors import MilepostError
from milepost.settings import Settings, load

OPERATOR = "ada"
_EVERY_S = 2.0  # how soon what was approved is sent
# Approvals, with a minute to take each back; slow enough to watch; and a guard that two at once are too many for.
_ADDED = """
[desk]
session_hours = 12
[guards]
surge_min = 1
surge_share = 0.05
"""
_NEXT = Story(
    key="chip-scale-clock", title="A caesium clock shrinks to a chip", date=PartialDate(value="2004-08-30"),
    era="crystal-and-atom", category="science", impact=3, people=(),
    organizations=("National Institute of Standards and Technology",), tags=("atom", "caesium"),
    what_happened="Physicists in Boulder showed the heart of an atomic clock no larger than a grain of rice.",
    why_it_mattered="It ran on a small battery, so that an atom could keep time where no power line leads.",
)
_AT_ONCE = (
    replace(
        _NEXT, key="electric-time-from-greenwich", title="Greenwich sends its time along the telegraph",
        date=PartialDate(value="1852"), era="shared-time", category="standards", impact=4,
        tags=("telegraph", "railway"), people=("George Biddell Airy",), organizations=("Royal Observatory, Greenwich",),
        what_happened="A master clock at the observatory began to send a pulse each hour to London's telegraph office.",
        why_it_mattered="Stations far away could set their clocks by one clock, some years before the law asked it.",
    ),
    replace(
        _NEXT, key="tuning-fork-watch", title="A watch hums instead of ticking", date=PartialDate(value="1960-10-25"),
        category="everyday", tags=("watch", "electronics"), people=("Max Hetzel",), organizations=("Bulova",),
        what_happened="The Accutron kept time by a tuning fork that a transistor kept swinging 360 times a second.",
        why_it_mattered="It lost about a minute a month, where a good watch with a balance lost as much in a few days.",
    ),
)


def leave(site: SampleSite, config: Path) -> tuple[Settings, str]:
    """Make what waits; returns the settings from now on, and the link of the desk's first operator."""
    from pipeline.look.scrape import scrape
    from pipeline.operators.accounts import Accounts
    from pipeline.operators.acts import at_the_console
    from pipeline.publish import publish
    from pipeline.upkeep import open_database

    text = config.read_text(encoding="utf-8")
    settled = text.replace("quiet_minutes = 0\n", "quiet_minutes = 0\napproval = true\nundo_minutes = 1\n")
    config.write_text(settled.replace("[newsletter]\n", "per_second = 1\n[newsletter]\n") + _ADDED, encoding="utf-8")
    settings = load(config)
    _tell(site, _NEXT)
    scrape(settings, "clockwork")
    publish(settings)
    _tell(site, *_AT_ONCE)
    scrape(settings, "clockwork")
    with open_database(settings) as database:
        invited = Accounts(settings, database).add(OPERATOR, "admin", by=at_the_console("the demo"))
    return settings, invited.link


@contextmanager
def sent_once_approved(settings: Settings) -> Iterator[None]:
    """While open, what may be sent is sent every other second, as a schedule would do it."""
    from pipeline import dispatch

    over = threading.Event()

    def send() -> None:
        while not over.wait(_EVERY_S):
            try:
                for number in dispatch.waiting(settings):
                    dispatch.dispatch(settings, number, stop=over.is_set)
            except MilepostError:  # locked for a moment; the desk shows how it stands
                continue

    thread = threading.Thread(target=send, name="demo's dispatcher", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _tell(site: SampleSite, *stories: Story) -> None:
    content = site.content
    site.deploy(replace(content, stories=(*content.stories, *stories)))
