"""What is read of Markdown, JSON, CSV and feeds that were damaged: seeded mutants of texts that the bench makes.

    python -m bench.mutate_text [--mutants 2000] [--seed 1]

A mutant loses, doubles or swaps lines, ends early, or loses or gains a sign of its form. Nothing may be invented:
every title that is read stands in the mutant, every date is one of the whole text's, and where nothing was moved, what
is known of a key is what the whole text told of it, or nothing. Anything else than an ExtractError is a failure too.
"""

import argparse
import html
import json
import random
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from extractors import registry
from extractors.clean import clean
from milepost.errors import ExtractError
from milepost.records import Milestone, Page

_SIGNS = "[](){}<>,:;\"'#-*|&/=\n"
_LAMPS = ("Gull Rock", "Seal Point", "Old Pier", "North Cape", "Heron Bank", "Salt Head")
DAMAGES = ("lose a line", "double a line", "swap lines", "end early", "lose a sign", "gain a sign")
_MOVES = frozenset({"double a line", "swap lines"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A text and how it is read."""

    extractor: str
    path: str
    text: str
    options: Mapping[str, Any]


def samples() -> dict[str, Sample]:
    """One of each form; its dates are all different, and its titles no part of one another."""
    days = [(number, name, f"2031-{number:02}-{10 + number}") for number, name in enumerate(_LAMPS, start=1)]
    markdown = "# Changelog\n\n" + "".join(
        f"## [{number}.4.0] - {day}\n\n### Added\n\n- The lamp of {name}\n\n```\nlamp --at {number}\n```\n\n"
        for number, name, day in reversed(days))
    entries = [{"id": f"lamp-{number}", "name": f"{name} is lit", "on": day, "by": [f"Ida {name[0]}"]}
               for number, name, day in days]
    items = "".join(
        f"<item>\n<guid isPermaLink=\"false\">lamp-{number}</guid>\n<title>{name} is lit</title>\n"
        f"<link>https://lamps.example/{number}</link>\n<pubDate>{10 + number:02} {month} 2031 08:00:00 GMT</pubDate>\n"
        f"<description>At {name}.</description>\n</item>\n"
        for (number, name, _), month in zip(days, ("Jan", "Feb", "Mar", "Apr", "May", "Jun"), strict=True))
    atom = "".join(
        f"<entry>\n<id>urn:lamp:{number}</id>\n<title>{name} is lit</title>\n<published>{day}T08:00:00Z</published>\n"
        f"<updated>{day}T08:00:00Z</updated>\n<summary>At {name}.</summary>\n</entry>\n" for number, name, day in days)
    feed = [{"id": f"lamp-{number}", "title": f"{name} is lit", "date_published": f"{day}T08:00:00Z",
             "content_text": f"At {name}."} for number, name, day in days]
    table = "No,Name,On,By\n" + "".join(f"lamp-{number},\"{name} is lit\",{day},Ida {name[0]}\n"
                                         for number, name, day in days)
    fields = {"key": "id", "title": "name", "date": "on", "people": "by"}
    return {
        "Markdown": Sample(extractor="changelog", path="/CHANGELOG.md", text=markdown, options={"project": "Lamp"}),
        "JSON": Sample(extractor="json", path="/data.json", text=json.dumps(entries, indent=1),
                       options={"fields": fields}),
        "CSV": Sample(extractor="csv", path="/data.csv", text=table,
                      options={"fields": {"key": "No", "title": "Name", "date": "On", "people": "By"}}),
        "RSS": Sample(extractor="feed", path="/feed", options={"path": "/feed"}, text=(
            "<?xml version=\"1.0\"?>\n<rss version=\"2.0\"><channel>\n<title>Lamps</title>\n"
            f"{items}</channel></rss>\n")),
        "Atom": Sample(extractor="feed", path="/feed", options={"path": "/feed"}, text=(
            "<?xml version=\"1.0\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\">\n<title>Lamps</title>\n"
            f"<id>urn:lamps</id>\n<updated>2031-07-01T00:00:00Z</updated>\n{atom}</feed>\n")),
        "JSON Feed": Sample(extractor="feed", path="/feed", options={"path": "/feed"}, text=json.dumps(
            {"version": "https://jsonfeed.org/version/1.1", "title": "Lamps", "items": feed}, indent=1)),
    }


def damaged(text: str, rng: random.Random) -> tuple[str, str]:
    """(the kind of damage, the mutant)."""
    kind = rng.choice(DAMAGES)
    lines = text.split("\n")
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    places = [place for place, sign in enumerate(text) if sign in _SIGNS]
    place = rng.choice(places)
    match kind:
        case "lose a line":
            del lines[at]
        case "double a line":
            lines.insert(other, lines[at])
        case "swap lines":
            lines[at], lines[other] = lines[other], lines[at]
        case "end early":
            return kind, text[: rng.randrange(len(text))]
        case "lose a sign":
            return kind, text[:place] + text[place + 1 :]
        case _:
            return kind, text[:place] + rng.choice(_SIGNS) + text[place:]
    return kind, "\n".join(lines)


def read(sample: Sample, text: str) -> dict[str, Milestone]:
    """What is read of a text, by key. Raises ExtractError."""
    site = registry.get(sample.extractor, sample.options)
    page = Page(url=f"https://lamps.example{sample.path}", text=text)
    found = {record.key: record for record in site.read_many(page, source="lamps")}
    site.unread(page)
    return found


def invented(kind: str, text: str, found: Mapping[str, Milestone], truth: Mapping[str, Milestone]) -> Iterator[str]:
    """A sentence for each value that the mutant's text doesn't tell."""
    words = _bare(clean(html.unescape(text)))
    dates = [record.date for record in truth.values() if record.date is not None]
    for key, record in found.items():
        known = truth.get(key)
        title = record.title.removeprefix("Lamp ")
        if _bare(title) not in words:
            yield f"the title {record.title!r} stands nowhere"
        if record.date is not None and not any(record.date.contains(date) for date in dates):
            yield f"{key}: the date {record.date.value} stands nowhere"
        if known is None or kind in _MOVES:
            continue
        called = _bare(record.title)
        if called != _bare(known.title) and not _bare(known.what_happened).startswith(called):
            # an entry of a feed that has no title is called by its text
            yield f"{key}: the title {known.title!r} became {record.title!r}"
        if record.date is not None and known.date is not None and not record.date.contains(known.date):
            yield f"{key}: another date"
        if _bare("".join(record.people)) not in _bare("".join(known.people)):
            yield f"{key}: people {record.people}"


def _bare(words: str) -> str:
    """Without the signs that a mutant may have lost or gained."""
    return "".join(sign for sign in words if sign.isalnum())


def run(name: str, sample: Sample, *, count: int, seed: int) -> tuple[int, int, list[str]]:
    """(entries that were read, entries that were refused, what was invented) of `count` mutants."""
    rng = random.Random(f"{name} {seed}")  # noqa: S311 - the same mutants every time is what is wanted
    truth = read(sample, sample.text)
    kept = refused = 0
    wrong: list[str] = []
    for _ in range(count):
        kind, text = damaged(sample.text, rng)
        try:
            found = read(sample, text)
        except ExtractError:
            refused += len(truth)
            continue
        kept += len(found)
        refused += len(truth.keys() - found.keys())
        wrong += [f"{name}, {kind}: {said}\n{text}" for said in invented(kind, text, found, truth)]
    return kept, refused, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=2_000, help="of each form")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    failed = False
    print(f"{'form':<12}{'read':>9}{'refused':>9}{'invented':>9}")
    for name, sample in samples().items():
        kept, refused, wrong = run(name, sample, count=asked.mutants, seed=asked.seed)
        print(f"{name:<12}{kept:>9}{refused:>9}{len(wrong):>9}")
        for line in dict.fromkeys(one.partition("\n")[0] for one in wrong):
            print(f"  {line}")
        failed = failed or bool(wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
