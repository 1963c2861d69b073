"""Draws the documentation's pictures by headless Chromium: the demo's issue, and issues of 1, 8, 40 and no news.

    python -m bench.screenshots [--out docs/pictures] [--only t4]

Wants Debian's `chromium`; without it, says so and draws nothing.
"""

import argparse
import datetime as dt
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from flows.steps.publish import publish
from flows.steps.scrape import scrape
from milepost.records import FieldChange, Image, IssueItem, Milestone
from milepost.sample.server import SampleSite
from milepost.settings import Settings, parse
from newsletter.render import Renderer
from store.database import connect, upgrade
from store.issues import Issues
from store.milestones import Milestones

NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
LIGHT, DARK = "1", "0"  # Chromium's colour schemes
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars",
         "--no-first-run", "--disable-sync")
END = "html{height:100%;overflow:hidden}body{position:absolute;bottom:0;left:0;right:0}"  # shows a page's last part
FRAME = '<!doctype html><body style="margin:0"><iframe src="{page}" style="border:0;width:375px;height:{height}px">'


class Shot(NamedTuple):
    """One picture: which issue, how wide and high it is drawn, in which colours."""

    name: str
    issue: str
    width: int = 700
    height: int = 1660
    scheme: str = LIGHT


SHOTS = (
    Shot("issue-light", "demo"), Shot("issue-dark", "demo", scheme=DARK), Shot("issue-375", "demo", 375, 1900),
    Shot("t1-one", "t1", height=1180), Shot("t1-images-off", "images-off", height=1250),
    Shot("t2-eight-light", "t2", height=2400), Shot("t2-eight-dark", "t2", height=2400, scheme=DARK),
    Shot("t2-eight-375", "t2", 375, 3000),
    Shot("t3-forty", "t3", height=2000), Shot("t3-forty-trimmed", "t3-end", height=1500),
    Shot("t4-corrections-light", "t4", height=900), Shot("t4-corrections-dark", "t4", height=900, scheme=DARK),
    Shot("t4-corrections-375", "t4", 375, 1150),
    Shot("german", "de", height=1250), Shot("hebrew", "he", height=1250),
)


def sample(folder: Path) -> tuple[Settings, list[Milestone], str]:
    """Settings, all records of the sample site, and the HTML of the issue that its two new milestones make."""
    with SampleSite() as site:
        settings = parse({
            "store": {"url": f"sqlite:///{folder}/milepost.db"},
            "sources": [{"key": "clockwork", "extractor": "sample", "base_url": site.base_url,
                         "fetch_from": site.url, "allow_hosts": ["127.0.0.1"]}],
            "mail": {"from": "Clockwork <news@clockwork.example>", "postal_address": "1 Escapement Row, Exampletown"},
            "newsletter": {"name": "Clockwork", "tagline": "The history of keeping time, as it is written.",
                           "accent": "#b5451f"},
            "web": {"base_url": "https://news.clockwork.example"},
        })
        upgrade(settings.store.url)
        scrape(settings, "clockwork")
        site.publish()
        scrape(settings, "clockwork")
    [made] = publish(settings)
    with connect(settings.store.url) as database:
        [variant] = Issues(database).variants(made.issue.number)
        records = [stored.milestone for stored in Milestones(database).iterate("clockwork")]
    return settings, sorted(records, key=lambda record: (-(record.impact or 0), record.key)), variant.html


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


def pages(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and HTML of every issue that is drawn."""
    settings, records, demo = sample(folder)
    yield "demo", demo

    def html(items: list[IssueItem], **letter: Any) -> str:
        newsletter = settings.newsletter.model_copy(update=letter)
        return Renderer(newsletter, settings.mail, settings.web).render(12, "weekly", items, NOW).html

    eight = [item(number, record) for number, record in enumerate(records[:8], 1)]
    forty = [
        item(number, replace(records[number % len(records)], key=f"m{number}",
                             what_happened=" ".join([records[number % len(records)].what_happened] * 3)))
        for number in range(1, 41)
    ]
    yield "t1", html(eight[:1])
    picture = Image(url="https://pictures.invalid/dial.png", alt="A dial with one hand, drawn in ink")
    yield "images-off", html([replace(eight[0], milestone=replace(eight[0].milestone, image=picture))], images=True,
                             logo="https://pictures.invalid/logo.png", logo_alt="Clockwork: a wheel with twelve teeth")
    yield "t2", html(eight)
    yield "t3", html(forty)
    yield "t3-end", html(forty).replace("</head>", f"<style>{END}</style></head>", 1)
    yield "t4", html(corrections(records))
    mixed = [*eight[:1], *(replace(one, change_id=50 + n) for n, one in enumerate(corrections(records)[:1]))]
    yield "de", html(mixed, language="de", tagline="Die Geschichte der Zeitmessung, wie sie geschrieben wird.")
    yield "he", html(mixed, language="he", tagline="")


def shoot(page: Path, out: Path, *, width: int, height: int, scheme: str, profile: Path) -> None:
    """One picture of `page`; a window is never narrower than 500 px, so telephones are framed."""
    subprocess.run(
        [shutil.which("chromium") or "chromium", *FLAGS, f"--user-data-dir={profile}",
         f"--window-size={width},{height}", f"--blink-settings=preferredColorScheme={scheme}",
         f"--screenshot={out}", page.as_uri()],
        check=True, capture_output=True, timeout=120,
    )


def main() -> None:
    """Draw them all, or one."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--out", type=Path, default=Path("docs/pictures"))
    given.add_argument("--only", default="", help="names that begin so")
    arguments = given.parse_args()
    out: Path = arguments.out
    if shutil.which("chromium") is None:
        sys.exit("chromium is not installed; on Debian: apt-get install chromium")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, html in pages(folder):
            (folder / f"{name}.html").write_text(html, encoding="utf-8")
        for shot in SHOTS:
            if not shot.name.startswith(arguments.only):
                continue
            shown = folder / f"{shot.issue}.html"
            if shot.width < 500:
                frame = folder / "frame.html"
                frame.write_text(FRAME.format(page=shown.name, height=shot.height), encoding="utf-8")
                shown = frame
            picture = (out / f"{shot.name}.png").resolve()
            shoot(shown, picture, width=max(shot.width, 500), height=shot.height, scheme=shot.scheme,
                  profile=folder / "profile")
            print(f"{picture}: {picture.stat().st_size} bytes")


if __name__ == "__main__":
    main()
