"""Draws the documentation's pictures: the demo's issue in light, dark and 375 px, by headless Chromium.

    python -m bench.screenshots [--out docs/pictures]

Wants Debian's `chromium`; without it, says so and draws nothing.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from flows.steps.publish import publish
from flows.steps.scrape import scrape
from milepost.sample.server import SampleSite
from milepost.settings import parse
from store.database import connect, upgrade
from store.issues import Issues

SHOTS = (("light", 700, "1"), ("dark", 700, "0"), ("375", 375, "1"))  # name, width, Chromium's colour scheme
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars",
         "--no-first-run", "--disable-sync")
FRAME = '<!doctype html><body style="margin:0"><iframe src="{page}" style="border:0;width:375px;height:{height}px">'


def issue_html(folder: Path) -> str:
    """The HTML of the issue that the sample site's two new milestones make."""
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
    return variant.html


def shoot(page: Path, out: Path, *, width: int, height: int, scheme: str, profile: Path) -> None:
    """One picture of `page`; a window is never narrower than 500 px, so telephones are framed."""
    subprocess.run(
        [shutil.which("chromium") or "chromium", *FLAGS, f"--user-data-dir={profile}",
         f"--window-size={width},{height}", f"--blink-settings=preferredColorScheme={scheme}",
         f"--screenshot={out}", page.as_uri()],
        check=True, capture_output=True, timeout=120,
    )


def main() -> None:
    """Draw them all."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--out", type=Path, default=Path("docs/pictures"))
    out: Path = given.parse_args().out
    if shutil.which("chromium") is None:
        sys.exit("chromium is not installed; on Debian: apt-get install chromium")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        page = folder / "issue.html"
        page.write_text(issue_html(folder), encoding="utf-8")
        for name, width, scheme in SHOTS:
            shown, height = page, 1660
            if width < 500:
                height = 1900
                shown = folder / "frame.html"
                shown.write_text(FRAME.format(page=page.name, height=height), encoding="utf-8")
            picture = (out / f"issue-{name}.png").resolve()
            shoot(shown, picture, width=max(width, 500), height=height, scheme=scheme, profile=folder / "profile")
            print(f"{picture}: {picture.stat().st_size} bytes")


if __name__ == "__main__":
    main()
