"""What a whole new layout does to a watch: real looks at three sites, of which every page is built anew, or breaks.

    python -m bench.layouts

Each site is looked at, rebuilt, looked at again, and then publishes one milestone. A rebuilt layout tells the same: it
is a false hold when the look is held, a wrong value when a record is not what it was, and false news when anything but
the one milestone is told. What breaks a site must be held: else it is a missed hold. All four must be 0.
"""

import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import lxml.html

from console.demo.site.server import SampleSite
from milepost.dates import PartialDate
from milepost.fields import CONTENT_FIELDS
from milepost.records import LookReport, Milestone
from milepost.settings import Settings, parse
from pipeline.look.scrape import scrape
from store.database import connect, upgrade
from store.milestones.milestones import Milestones

Files = Mapping[str, str]  # path → page
Rebuild = Callable[[str], str]
_LD = re.compile(r'<script type="application/ld\+json">.*?</script>', re.DOTALL)
_ISO = re.compile(r"(?<=[\"'>])(\d{4})-(\d\d)(-\d\d)?(?=[\"'<])")
_LINK = re.compile(r'<a\b[^>]*href="/(?:category|era|theme|age|river)/[^"]*"[^>]*>(.*?)</a>', re.DOTALL)
THINGS = ("lamp", "bell", "kite", "loom", "mill", "oven", "pump", "raft", "sail", "tile")
_KINDS = {"steel": "Steel and Iron", "cloth": "Cloth and Rope"}


# --- layouts that tell the same


def _without(tag: str) -> Rebuild:
    def rebuild(text: str) -> str:
        root = lxml.html.document_fromstring(text)
        for element in list(root.iter(tag)):
            element.drop_tag()
        return _html(root)

    return rebuild


def _without_classes(text: str) -> str:
    root = lxml.html.document_fromstring(text)
    for element in root.iter():
        element.attrib.pop("class", None)
    return _html(root)


def _html(root: lxml.html.HtmlElement) -> str:
    return f"<!DOCTYPE html>{lxml.html.tostring(root, encoding='unicode')}"


def _all(*rebuilds: Rebuild) -> Rebuild:
    def rebuild(text: str) -> str:
        for one in rebuilds:
            text = one(text)
        return text

    return rebuild


LAYOUTS: dict[str, Rebuild] = {
    "JSON-LD gone": lambda text: _LD.sub("", text),
    "<article> gone": _without("article"),
    "classes gone": _without_classes,
    "dates coarser": lambda text: _ISO.sub(r"\1-\2", text),
    "labels for slugs": lambda text: _LINK.sub(r"<span>\1</span>", text),
}
LAYOUTS["all together"] = _all(*LAYOUTS.values())


# --- layouts that tell nonsense


def _equal_titles(text: str) -> str:
    text = re.sub(r"(<(h1|h3)\b[^>]*>).*?(</\2>)", r"\1Timeline\3", text, flags=re.DOTALL)
    return re.sub(r'("(?:headline|name)":\s*)"The (?:[^"\\]|\\.)*"', r'\1"Timeline"', _headline(text))


def _headline(text: str) -> str:
    return re.sub(r'("headline":\s*)"(?:[^"\\]|\\.)*"', r'\1"Timeline"', text)


def _undefined(text: str) -> str:
    text = re.sub(r"<p>.*?</p>", "<p>undefined</p>", text, flags=re.DOTALL)
    return re.sub(r'("(?:description|abstract)":\s*)"(?:[^"\\]|\\.)*"', r'\1"undefined"', text)


def _shifted(text: str) -> str:
    later = re.compile(r"\b(1[4-9]\d\d|20\d\d)(?=-\d\d|\b)")
    return later.sub(lambda match: str(int(match[1]) + 3), text)


JUNK: dict[str, Rebuild | None] = {
    "titles all equal": _equal_titles, "“undefined”": _undefined, "half the items gone": None,
    "dates shifted": _shifted,
}


# --- the sites


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A site to watch."""

    extractor: str
    prefix: str  # of its milestone pages
    base_url: str
    old: Files
    new: Files  # one milestone more


def _timeline(things: tuple[str, ...]) -> Files:
    """A timeline of invented things: JSON-LD, facts as links, cards on its first page, a sitemap."""
    pages: dict[str, str] = {}
    cards, places = "", ""
    for number, thing in enumerate(THINGS):
        if thing not in things:
            continue
        date, kind = f"18{20 + 7 * number}-0{1 + number % 9}-1{number % 10}", ("steel", "cloth")[number % 2]
        said = (f"A first {thing} was made by {number + 2} people at the old harbour.",
                f"Within {number + 3} years every town had a {thing} of its own.")
        data = json.dumps({
            "@type": "Article", "headline": f"The {thing}", "datePublished": date, "description": said[0],
            "about": {"@type": "Event", "startDate": date, "description": said[1]},
        })
        pages[f"/timeline/{thing}"] = (
            f'<!DOCTYPE html><html lang="en"><head><title>The {thing}</title><script type="application/ld+json">{data}'
            f'</script></head><body><main class="m"><article class="a"><header><time datetime="{date}">{date}</time>'
            f'<h1 class="t">The {thing}</h1><a class="c" href="/category/{kind}">{_KINDS[kind]}</a>'
            f'<a href="/era/steam">The Steam Years</a></header><h2>What Happened</h2><p>{said[0]}</p>'
            f"<h2>Why It Mattered</h2><p>{said[1]}</p></article></main></body></html>"
        )
        cards += (f'<a class="card" href="/timeline/{thing}"><time datetime="{date}">{date}</time>'
                  f"<span>{_KINDS[kind]}</span><h3>The {thing}</h3><p>{said[0]}</p></a>")
        places += f"<url><loc>https://things.example/timeline/{thing}</loc></url>"
    pages["/"] = f'<!DOCTYPE html><html lang="en"><body><main>{cards}</main></body></html>'
    pages["/sitemap.xml"] = f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{places}</urlset>'
    return pages


def shapes() -> Iterator[Shape]:
    """The sample site, and a timeline as two extractors read it."""
    site = SampleSite()
    files = []
    for _ in range(2):
        paths = ["/", "/sitemap.xml", *(f"/story/{story.key}" for story in site.stories)]
        files.append({path: (site.file(path) or b"").decode() for path in paths})
        site.publish()
    yield Shape(extractor="sample", prefix="/story/", base_url=site.base_url, old=files[0], new=files[1])
    for extractor in ("aitimeline", "generic"):
        yield Shape(extractor=extractor, prefix="/timeline/", base_url="https://things.example",
                    old=_timeline(THINGS[:-1]), new=_timeline(THINGS))


class _Served(SampleSite):
    """Some pages on loopback."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: dict[str, str] = {}

    def file(self, path: str) -> bytes | None:
        page = self.pages.get(path)
        return None if page is None else page.encode()


# --- looks


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one rebuilt site came to."""

    extractor: str
    change: str
    junk: bool
    held: str | None
    wrong: tuple[str, ...] = ()  # "key: field" of records that are not what they were
    told: tuple[str, ...] = ()  # "kind key" of what readers would be told, beside the milestone that is new
    unread: tuple[str, ...] = ()  # new milestones that were not told

    @property
    def failed(self) -> bool:
        """Whether a number that must be 0 is not."""
        return bool(self.wrong or self.told or self.unread or (self.held is None) == self.junk)


def play(shape: Shape, change: str, rebuild: Rebuild | None, *, junk: bool) -> Outcome:
    """Two looks at a site that is rebuilt in between, and where it is not junk a third at what it publishes then."""
    with _Served() as site, tempfile.TemporaryDirectory() as folder:
        site.pages = dict(shape.old)
        settings = _settings(shape, site.url, folder)
        first = scrape(settings, "site")
        if not first.baseline:
            raise RuntimeError(f"{shape.extractor}: no baseline: {first.failures}")
        before = _records(settings)
        site.pages = _rebuilt(shape, shape.old, rebuild)
        second = scrape(settings, "site")
        wrong = () if junk else tuple(_wrong(before, _records(settings)))
        if junk:
            return Outcome(extractor=shape.extractor, change=change, junk=True, held=second.held, told=_told(settings))
        site.pages = _rebuilt(shape, shape.new, rebuild)
        third = scrape(settings, "site")
        new = {path.rpartition("/")[2] for path in shape.new.keys() - shape.old.keys()}
        told = _told(settings)
        return Outcome(
            extractor=shape.extractor, change=change, junk=False, held=_first(second, third), wrong=wrong,
            told=tuple(one for one in told if one not in {f"added {key}" for key in new}),
            unread=tuple(sorted(key for key in new if f"added {key}" not in told)),
        )


def _first(*looks: LookReport) -> str | None:
    return next((look.held for look in looks if look.held is not None), None)


def _rebuilt(shape: Shape, files: Files, rebuild: Rebuild | None) -> dict[str, str]:
    if rebuild is not None:
        return {path: page if path.endswith(".xml") else rebuild(page) for path, page in files.items()}
    stories = sorted(path for path in files if path.startswith(shape.prefix))
    gone = stories[: (len(stories) + 1) // 2]
    left = {path: page for path, page in files.items() if path not in gone}
    for path in gone:  # neither the sitemap nor a listing names them
        left["/sitemap.xml"] = re.sub(
            rf"<url>\s*<loc>[^<]*{re.escape(path)}</loc>.*?</url>", "", left["/sitemap.xml"], flags=re.DOTALL)
        left["/"] = left["/"].replace(f'"{path}"', '"/elsewhere"')
    return left


def _settings(shape: Shape, served: str, folder: str) -> Settings:
    settings = parse({
        "store": {"url": f"sqlite:///{Path(folder) / 'milepost.db'}"},
        "sources": [{"key": "site", "extractor": shape.extractor, "base_url": shape.base_url, "fetch_from": served,
                     "allow_hosts": ["127.0.0.1"]}],
    })
    upgrade(settings.store.url)
    return settings


def _records(settings: Settings) -> dict[str, Milestone]:
    with connect(settings.store.url) as database:
        return {key: stored.milestone for key, stored in Milestones(database).known("site").items()}


def _told(settings: Settings) -> tuple[str, ...]:
    """What is not held, and would be mailed."""
    with connect(settings.store.url) as database:
        changes = Milestones(database).changes(announce=True, held=False)
    return tuple(sorted(f"{one.change.kind} {one.change.key}" for one in changes
                        if one.change.kind not in ("cosmetic", "enriched")))


def _wrong(before: Mapping[str, Milestone], after: Mapping[str, Milestone]) -> Iterator[str]:
    """A field that is not what it was; one that was empty or vague may be told by now."""
    for key, was in before.items():
        if key not in after:
            yield f"{key}: gone"
            continue
        for name in CONTENT_FIELDS:
            old, new = getattr(was, name), getattr(after[key], name)
            if old and old != new and not (isinstance(old, PartialDate) and new and old.value == new.value):
                yield f"{key}: {name}"


def run() -> Iterator[Outcome]:
    """Every site, rebuilt and broken in every way."""
    for shape in shapes():
        for name, rebuild in LAYOUTS.items():
            yield play(shape, name, rebuild, junk=False)
        for name, broken in JUNK.items():
            yield play(shape, name, broken, junk=True)


def report(outcomes: list[Outcome]) -> bool:
    """Print the table and the four numbers; whether one of them is not 0."""
    print(f"\n{'site':<12}{'change':<22}{'held':<6}{'wrong':>7}{'told':>7}{'untold':>8}")
    for one in outcomes:
        counts = f"{len(one.wrong):>7}{len(one.told):>7}{len(one.unread):>8}"
        said = f"   <- {one.held or 'not held'}" if one.failed else ""
        print(f"{one.extractor:<12}{one.change:<22}{'yes' if one.held else 'no':<6}{counts}{said}")
        for line in (*one.wrong, *one.told, *one.unread) if one.failed else ():
            print(f"  {line}")
    layouts = [one for one in outcomes if not one.junk]
    numbers = {
        "false holds": sum(one.held is not None for one in layouts),
        "missed holds": sum(one.held is None for one in outcomes if one.junk),
        "wrong values": sum(len(one.wrong) for one in outcomes),
        "false or missed news": sum(len(one.told) + len(one.unread) for one in outcomes),
    }
    print("\n" + ", ".join(f"{name}: {count}" for name, count in numbers.items()))
    return any(numbers.values())


if __name__ == "__main__":
    sys.exit(report(list(run())))
