"""A made-up site's history, seeded: releases and bad days, what is really new in each, and a server that plays them.

    Random(seed) ─▶ stories ─▶ releases ─▶ days (path → answer, the keys that are new) ─▶ Server on loopback
"""

import hashlib
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from console.demo.site import pages
from console.demo.site.pages import Content, Story
from milepost.dates import PartialDate

BASE = "https://canals.example"

_PLACES = ("Arlow", "Bremmen", "Cawdle", "Dunmere", "Eskford", "Farlith", "Gantry", "Holmsey", "Iverton", "Jarrow Side",
           "Kettlewick", "Lunden Reach", "Marrowby", "Nethercut", "Ostwell", "Pellham", "Quarrington", "Rushmoor")
_THINGS = ("lock", "aqueduct", "weir", "towpath", "basin", "tunnel", "inclined plane", "feeder", "drawbridge", "barge",
           "reservoir", "sluice", "wharf", "dredger", "pound", "staircase of locks", "boat lift", "culvert")
_DEEDS = ("opened", "was dug", "collapsed", "was lined with puddled clay", "carried its first coal", "froze over",
          "was widened", "was sold at auction", "took its first steam tug", "was surveyed on horseback",
          "flooded three parishes", "was roofed in cast iron", "lost its water", "was bridged in one night")
_ENDS = ("halved the price of bread", "emptied the turnpike", "taught a generation of engineers to level",
         "made the valley a market town", "ended the packhorse trade", "ruined its shareholders", "fed forty mills",
         "set the gauge for every later cut", "drew the border of two counties", "proved that clay holds water",
         "outlived the railway beside it", "put a price on rain", "was copied in six countries")
_FIRST = ("Ansel", "Berta", "Corin", "Delia", "Edwin", "Fenna", "Gilles", "Hanne", "Ivo", "Juno", "Klaas", "Lotte")
_LAST = ("Aldervane", "Brockhurst", "Cradley", "Dovercourt", "Ellingham", "Fothergill", "Greaves", "Hawksworth",
         "Inglebright", "Jessop-Vane", "Kettleborough", "Lathbury", "Mossgrave", "Nethersole")
_COMPANIES = ("Navigation", "Canal Company", "Drainage Board", "Towing Society", "Lock Trust")
_ERAS = {"diggers": "The Diggers", "steam": "Steam on the Water", "revival": "Revival"}
_THEMES = {"works": "Works", "trade": "Trade", "people": "People", "water": "Water"}


_KINDS = {".xml": "application/xml", ".txt": "text/plain"}


class Answer(NamedTuple):
    """What the site says to one path."""

    status: int
    body: bytes = b""
    location: str = ""


Site = Mapping[str, Answer]


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    """The site as one look finds it, and what is new since the looks before."""

    name: str
    site: Site
    news: frozenset[str] = frozenset()  # keys that readers should hear of
    down: bool = False  # nobody answers


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """All days in order, and what should have become of everything at their end."""

    days: tuple[Day, ...]
    renamed: Mapping[str, str]  # old key → new key
    withdrawn: frozenset[str]
    added: frozenset[str]


# --- stories --------------------------------------------------------------------------------------------------------


def story(dice: random.Random, number: int) -> Story:
    """One milestone in words of our own; `number` keeps keys apart."""
    place, thing = dice.choice(_PLACES), dice.choice(_THINGS)
    people = tuple(f"{dice.choice(_FIRST)} {dice.choice(_LAST)}" for _ in range(dice.randint(0, 3)))
    companies = tuple(f"{dice.choice(_PLACES)} {dice.choice(_COMPANIES)}" for _ in range(dice.randint(0, 2)))
    year, month = dice.randint(1700, 1990), dice.randint(1, 12)
    return Story(
        key=f"{place}-{thing}-{number}".lower().replace(" ", "-"),
        title=f"The {thing} at {place} {dice.choice(_DEEDS)}",
        date=PartialDate(value=dice.choice((f"{year}", f"{year}-{month:02d}", f"{year}-{month:02d}-17"))),
        era=dice.choice(tuple(_ERAS)), category=dice.choice(tuple(_THEMES)), impact=dice.randint(1, 5),
        what_happened=" ".join(_sentence(dice, _DEEDS) for _ in range(3)),
        why_it_mattered=" ".join(_sentence(dice, _ENDS) for _ in range(2)),
        people=tuple(dict.fromkeys(people)), organizations=tuple(dict.fromkeys(companies)),
        tags=tuple(dict.fromkeys(dice.choice(_THINGS).replace(" ", "-") for _ in range(3))),
        image_alt="" if number % 7 else f"An engraving of the {thing} at {place}",
    )


def _sentence(dice: random.Random, ends: tuple[str, ...]) -> str:
    return (f"{dice.randint(2, 90)} years on, the {dice.choice(_THINGS)} of {dice.choice(_PLACES)} {dice.choice(ends)} "
            f"before the {dice.choice(_THINGS)} at {dice.choice(_PLACES)}.")


def content(stories: tuple[Story, ...], base_url: str = BASE) -> Content:
    """The site that tells these stories."""
    eras = {slug: label for slug, label in _ERAS.items() if slug in {one.era for one in stories}}
    themes = {slug: label for slug, label in _THEMES.items() if slug in {one.category for one in stories}}
    return Content(name="Canals", tagline="A history of cut water", base_url=base_url, eras=eras, categories=themes,
                   stories=stories)


def site(stories: tuple[Story, ...], build: str, *, base_url: str = BASE, thumb: int = 300,
         moved: Mapping[str, str] | None = None) -> dict[str, Answer]:
    """Every answer of one release; `moved`: old key → new key that it redirects to."""
    built = {
        path: Answer(200, _thumbnails(body, base_url, thumb) if path.startswith("/story/") else body)
        for path, body in pages.build(content(stories, base_url), build_id=build).items()
        if not path.startswith("/art/")
    }
    return built | {f"/story/{old}": Answer(308, location=f"/story/{new}") for old, new in (moved or {}).items()}


def _thumbnails(body: bytes, base_url: str, width: int) -> bytes:
    """Pictures are somebody else's, in sizes."""
    for start in (f"{base_url}/art/", "/art/"):
        body = body.replace(start.encode(), b"https://pictures.example/thumb/")
    return body.replace(b".svg", f".svg/{width}px-view.png".encode())


def mixed(old: Site, new: Site, dice: random.Random, share: float = 0.5) -> dict[str, Answer]:
    """A deploy that is half done: each path is answered by one of two builds."""
    missing = Answer(404)
    return {path: (new if dice.random() < share else old).get(path, missing) for path in sorted({*old, *new})}


def without(whole: Site, *paths: str, listed: bool = True) -> dict[str, Answer]:
    """The site with some pages gone; unless `listed`, no page links to them."""
    left = {path: answer for path, answer in whole.items() if path not in paths}
    if listed:
        return left
    return {path: Answer(answer.status, _unlinked(answer.body, paths), answer.location)
            for path, answer in left.items()}


def _unlinked(body: bytes, paths: tuple[str, ...]) -> bytes:
    for path in paths:
        body = body.replace(f'href="{path}"'.encode(), b'href="/gone"').replace(f"{path}<".encode(), b"/gone<")
    return body


# --- the history ----------------------------------------------------------------------------------------------------


def history(seed: int, stories_at_first: int) -> History:
    """Five releases of so many stories and a few more, with every kind of bad day between them."""
    dice = random.Random(seed)  # noqa: S311
    stories = [story(dice, number) for number in range(stories_at_first)]
    fresh = [story(dice, stories_at_first + number) for number in range(4)]
    order = stories.copy()
    dice.shuffle(order)
    take = iter(order)
    removed = [next(take) for _ in range(3)]
    flapping, blinking = next(take), next(take)
    redirected = [next(take) for _ in range(3)]
    silent = [next(take) for _ in range(3)]
    edits = [next(take) for _ in range(20)]

    first = tuple(stories)
    pictured = tuple(one if one.image_alt or dice.random() < 0.2 else replace(one, image_alt=f"View of {one.title}")
                     for one in first)
    touched = {one.key: edited(dice, one) for one in (*edits, redirected[0], silent[0])}
    renames = {one.key: f"{one.key}-{one.date.year}" for one in (*redirected, *silent)}
    left = [one for one in pictured if one.key not in {gone.key for gone in removed}]
    fourth = (
        *(replace(touched.get(one.key, one), key=renames.get(one.key, one.key), image_alt=one.image_alt)
          for one in left),
        fresh[0],
    )
    flapped = tuple(edited(dice, one) if one.key == flapping.key else one for one in fourth)
    fifth = (*fourth, fresh[1], fresh[2])
    # said anew throughout: only a redirect tells that it is the same
    anew = replace(story(random.Random(2), 0), key=f"{order[-1].key}-anew")  # noqa: S311
    last = (*(anew if one.key == order[-1].key else one for one in fifth), fresh[3])

    moved = {one.key: renames[one.key] for one in redirected}
    one_ = site(first, "b1")
    two = site(pictured, "b2")
    three = site(pictured, "b3", thumb=250)
    four = site(fourth, "b4", thumb=250, moved=moved)
    other = site(flapped, "b4x", thumb=250, moved=moved)
    five = site(fifth, "b5", base_url="https://waterways.example", thumb=250, moved=moved)
    renames[order[-1].key] = anew.key
    six = site(last, "b6", base_url="https://waterways.example", thumb=250, moved=moved | {order[-1].key: anew.key})
    blink = f"/story/{blinking.key}"
    every_story = [path for path in six if path.startswith("/story/")]
    most = (*every_story[::2], *every_story[1::4])
    days = (
        Day(name="baseline", site=one_),
        Day(name="nothing new", site=one_),
        Day(name="release 2: only images", site=two),
        Day(name="release 3: only thumbnail sizes", site=three),
        Day(name="half of release 4", site=mixed(three, four, dice, 0.5)),
        Day(name="more of release 4", site=mixed(three, four, dice, 0.8)),
        Day(name="release 4", site=four, news=frozenset({fresh[0].key})),
        Day(name="release 4 again", site=four),
        Day(name="A → B", site=other),
        Day(name="B → A", site=four),
        Day(name="A → B once more", site=other),
        Day(name="nobody answers", site={}, down=True),
        Day(name="every answer is a 503", site={path: Answer(503) for path in four}),
        Day(name="B → A once more", site=four),
        Day(name="every story is a 404, though listed", site=without(four, *every_story)),
        Day(name="a page is gone for a day", site=without(four, blink, listed=False)),
        Day(name="it is back", site=four),
        Day(name="release 5: two more, on another domain", site=five, news=frozenset({fresh[1].key, fresh[2].key})),
        Day(name="a page is gone", site=without(five, blink, listed=False)),
        Day(name="it is still gone", site=without(five, blink, listed=False)),
        Day(name="it is there again", site=five),
        Day(name="rolled back to release 4", site=four),
        Day(name="still rolled back", site=four),
        Day(name="release 5 again", site=five),
        Day(name="a listing is broken while news come", site=six | {"/age/steam": Answer(500)}),
        Day(name="all is well", site=six, news=frozenset({fresh[3].key})),
        Day(name="a deploy that lost most stories", site=without(six, *most, listed=False)),
        Day(name="all is well again", site=six),
    )
    return History(
        days=days, renamed=renames, withdrawn=frozenset(one.key for one in removed),
        added=frozenset(one.key for one in fresh),
    )


def edited(dice: random.Random, one: Story) -> Story:
    """What an editor does to a story: a word, a sentence, a tag."""
    match dice.randint(0, 3):
        case 0:
            return replace(one, why_it_mattered=f"{one.why_it_mattered} {_sentence(dice, _ENDS)}")
        case 1:
            return replace(one, what_happened=one.what_happened.replace(" years on", " winters later", 1))
        case 2:
            return replace(one, title=one.title.replace("The ", "The great ", 1))
        case _:
            return replace(one, tags=(*one.tags, "edited"), impact=one.impact % 5 + 1)


# --- the server -----------------------------------------------------------------------------------------------------


class Server:
    """Plays one site at a time on loopback, with ETags."""

    def __init__(self) -> None:
        self.site: Site = {}
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving() -> Iterator[Server]:
    """A server from entering the context to leaving it."""
    server = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(server)) as listener:
        listener.daemon_threads = True
        server.port = listener.server_address[1]
        thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        listener.shutdown()
        thread.join()


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer = server.site.get(self.path, Answer(404, b"<!doctype html><title>Not here</title>"))
            status, body = answer.status, answer.body
            headers = {"Content-Type": _KINDS.get(Path(self.path).suffix, "text/html; charset=utf-8")}
            if self.path != "/robots.txt" and status == 200:
                headers["ETag"] = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
                if self.headers.get("If-None-Match") == headers["ETag"]:
                    status, body = 304, b""
            if answer.location:
                headers["Location"] = answer.location
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if status != 304:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            return

    return Handler
