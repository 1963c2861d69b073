"""What a browser makes of each public page: bytes, requests, milliseconds, and what a reader or a search would miss.

    python -m bench.pages [--loads 3]

Wants Debian's `chromium`. Each load has an empty cache; axe-core examines each page in light and in dark.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from lxml import html
from playwright.sync_api import Browser, Page, Request

from bench.browser import Scheme, browser, chromium, violations
from bench.web import links
from console.demo.newcomer import web_server
from milepost.settings import load
from store.database import connect
from tests.pipeline.prepared import SETTINGS, copy
from web.serve import free_port

_SCHEMES: tuple[Scheme, ...] = ("light", "dark")
_LOADED = "() => { const [n] = performance.getEntriesByType('navigation'); return n.loadEventEnd - n.startTime }"


class Figures(NamedTuple):
    """Of one page."""

    raw: int  # bytes of its body
    packed: int  # bytes of that as gzip
    requests: int  # of one load
    elsewhere: int  # of those, to another origin
    ms: float  # to the end of `load`, the median
    console: tuple[str, ...]  # errors
    axe: tuple[str, ...]  # rules that are broken
    missing: tuple[str, ...]  # what the page does not say of itself, and pictures without a size


def missing(page: str, *, public: bool) -> tuple[str, ...]:
    """What the HTML lacks; a page that is nobody else's needs no description and no canonical address."""
    root = html.document_fromstring(page)
    wanted = {"title": "string(//title)", "lang": "string(/html/@lang)"}
    if public:
        wanted |= {"description": "string(//meta[@name='description']/@content)",
                   "canonical": "string(//link[@rel='canonical']/@href)"}
    found = [name for name, path in wanted.items() if not str(root.xpath(path)).strip()]
    images: Any = root.xpath("//img[not(@width) or not(@height)]")
    return (*found, *(f"size of {one.get('src')}" for one in images))


def bodies(address: str) -> tuple[str, int, int]:
    """The page, and its bytes as they are and as gzip."""
    with httpx.Client(trust_env=False) as client:
        plain = client.get(address, headers={"Accept-Encoding": "identity"})
        with client.stream("GET", address, headers={"Accept-Encoding": "gzip"}) as answer:
            packed = sum(map(len, answer.iter_raw()))
    return plain.text, len(plain.content), packed


def measure(opened: Browser, origin: str, path: str, *, public: bool, loads: int) -> Figures:
    """Load it so many times, then have it examined."""
    took, asked, wrong = list[float](), list[Request](), list[str]()
    broken = set[str]()
    for number in range(loads):
        context = opened.new_context()
        page: Page = context.new_page()
        if number == 0:
            page.on("request", lambda one: asked.append(one))  # not the bound method: Playwright marks it
            page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
            page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(origin + path, wait_until="load")
        page.wait_for_function("() => performance.getEntriesByType('navigation')[0].loadEventEnd > 0")
        took.append(float(page.evaluate(_LOADED)))
        context.close()
    for scheme in _SCHEMES:
        context = opened.new_context(color_scheme=scheme, bypass_csp=True)
        page = context.new_page()
        page.goto(origin + path)
        broken |= {rule for rule, _ in violations(page)}
        context.close()
    text, raw, packed = bodies(origin + path)
    return Figures(
        raw=raw, packed=packed, requests=len(asked),
        elsewhere=sum(not one.url.startswith((origin, "data:")) for one in asked), ms=statistics.median(took),
        console=tuple(wrong), axe=tuple(sorted(broken)), missing=missing(text, public=public),
    )


def pages(origin: str, own: str) -> Iterator[tuple[str, str, bool]]:
    """(name, path, whether it is for everybody) of each."""
    listed = html.document_fromstring(httpx.get(f"{origin}/timeline", trust_env=False).text)
    addresses = [str(one) for one in listed.xpath("//a/@href")]  # type: ignore[union-attr]
    paths = [one.removeprefix(origin) for one in addresses]
    yield from (("all issues", "/issues", True), ("issue", "/issues/1", True), ("timeline", "/timeline", True))
    yield "milestone", next(one for one in paths if one.startswith("/timeline/") and "/pages/" not in one), True
    yield "topic", next(one for one in paths if one.startswith("/topics/")), True
    yield from (("subscribe", "/subscribe", True), ("own page", own, False), ("404", "/issues/999", False))


def main() -> None:
    """Print the table; a page that falls short makes the end another."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--loads", type=int, default=3, help="of each page")
    options = given.parse_args()
    if chromium() is None:
        sys.exit("pages: not measured, chromium is not installed (Debian: chromium)")
    short = list[str]()
    with tempfile.TemporaryDirectory() as name:
        folder, origin = Path(name), f"http://127.0.0.1:{free_port()}"
        text = SETTINGS.format(site="http://127.0.0.1:9", smtp=9).replace("https://news.clockwork.example", origin)
        (folder / "milepost.toml").write_text(text, encoding="utf-8")
        settings = load(folder / "milepost.toml")
        copy("issue", settings)
        with connect(settings.store.url) as database:
            own = f"{next(links(settings, database))}/preferences"
        print("| page | bytes | gzip | requests | elsewhere | ms | console | axe | missing |")
        print("|---|--:|--:|--:|--:|--:|--:|--:|---|")
        with web_server(folder / "milepost.toml", origin, folder / "log"), browser() as opened:
            for title, path, public in pages(origin, own):
                found = measure(opened, origin, path, public=public, loads=options.loads)
                # Chromium itself says of a 404 that it is one
                console = [said for said in found.console if not (title == "404" and "404" in said)]
                lacks = ", ".join(found.missing) or "nothing"
                print(f"| {title} | {found.raw} | {found.packed} | {found.requests} | {found.elsewhere} "
                      f"| {found.ms:.0f} | {len(console)} | {len(found.axe)} | {lacks} |",
                      flush=True)
                short += [f"{title}: {one}" for one in (*console, *found.axe, *found.missing)]
                short += [f"{title}: {found.elsewhere} requests to others"] if found.elsewhere else []
            for path in ("/feed.atom", "/milestones.atom"):
                _, raw, packed = bodies(origin + path)
                print(f"| `{path}` | {raw} | {packed} | 1 | 0 | | | | |", flush=True)
    if short:
        sys.exit("pages: " + "; ".join(short))


if __name__ == "__main__":
    main()
