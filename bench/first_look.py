"""A first look at one big source: every page fetched, archived, read and recorded.

    python -m bench.first_look [--pages 3000] [--again]

    a server with numbered pages of the sample site ─▶ scrape, in a process of its own ─▶ seconds, CPU a page, memory

The CPU is that of the look and of the processes it started, not the server's; the memory is that of the look's own
process at its peak. `--again` looks once more, when nothing has changed.
"""

import argparse
import asyncio
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.crawl import serve
from bench.scale import BASE, SOURCE, Took, body, measured
from milepost.settings import Settings, parse
from pipeline.look.scrape import scrape

CHUNK = 10_000  # pages in one sitemap
STORY = "/story/salisbury-cathedral-clock-"


def site(count: int) -> Callable[[str], bytes | None]:
    """What a site of `count` milestones answers."""

    def answer(path: str) -> bytes | None:
        if path.startswith(STORY) and int(path.removeprefix(STORY)) < count:
            return _wire(body(int(path.removeprefix(STORY))), "text/html; charset=utf-8")
        if path == "/sitemap.xml":
            parts = "".join(f"<sitemap><loc>{BASE}/s{part}.xml</loc></sitemap>" for part in range(-(-count // CHUNK)))
            return _wire(f"<sitemapindex>{parts}</sitemapindex>".encode(), "application/xml")
        if path.startswith("/s") and path.endswith(".xml"):
            part = int(path[2:-4])
            urls = "".join(f"<url><loc>{BASE}{STORY}{number}</loc></url>"
                           for number in range(part * CHUNK, min(count, (part + 1) * CHUNK)))
            return _wire(f"<urlset>{urls}</urlset>".encode(), "application/xml")
        return None if path != "/" else _wire(b"<!DOCTYPE html><html><body><main></main></body></html>", "text/html")

    return answer


def _wire(content: bytes, kind: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


def _serve(count: int, pipe: Any) -> None:
    asyncio.run(serve(site(count), ready=pipe.send))


@contextmanager
def serving(count: int) -> Iterator[str]:
    """Such a site in a process of its own; gives its URL."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(count, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def settings_for(file: Path, url: str, pages: int) -> Settings:
    """Of a store in `file` and the site at `url`."""
    return parse({
        "store": {"url": f"sqlite:///{file}"},
        "sources": [{"key": SOURCE, "extractor": "sample", "base_url": BASE, "fetch_from": url,
                     "allow_hosts": ["127.0.0.1"], "max_pages": pages + 100}],
    })


def look(file: Path, url: str, pages: int) -> int:
    """One look; returns how many milestones are known after it."""
    report = scrape(settings_for(file, url, pages), SOURCE)
    assert report.state == "complete", report
    return report.milestones


def main() -> None:
    """Print a line a look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=3000)
    parser.add_argument("--again", action="store_true", help="look once more")
    chosen = parser.parse_known_args()[0]
    with tempfile.TemporaryDirectory() as folder, serving(chosen.pages) as url:
        for what in ("first look", "nothing changed")[: 2 if chosen.again else 1]:
            _line(what, chosen.pages, measured(look, Path(folder) / "look.db", url, chosen.pages))


def _line(what: str, pages: int, took: Took) -> None:
    assert took.result == pages, took
    print(f"{what}: {pages:,} pages in {took.seconds:.1f} s, {took.cpu / pages * 1000:.2f} ms of CPU a page, "
          f"{took.peak_mb} MB at its peak ({took.before_mb} before)", flush=True)


if __name__ == "__main__":
    main()
