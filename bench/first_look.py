"""A look at one big source: every page fetched, archived, read and recorded, then all again when little has changed.

    python -m bench.first_look [--pages 1000 10000 …] [--changed 0.01] [--store postgresql://…] [--processes N]
        [--lastmod]

    a server with numbered pages of the sample site ─▶ scrape, in a process of its own ─▶ seconds, CPU a page, memory

The server knows conditional requests. The CPU is that of the look and of the processes it started, neither the server's
nor a PostgreSQL's; the memory is that of the look's own process at its peak. Each number of pages has a database of its
own; one on PostgreSQL is named, is empty, and takes one number. `--changed`: the share of the pages that a second look
finds otherwise. `--lastmod`: the sitemaps say when each page was last changed, the second look asks for every page all
the same, and a third one, after as many other pages have changed, believes them.
"""

import argparse
import asyncio
import hashlib
import multiprocessing
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bench.apart import Took, measured
from bench.big_store import BASE, SOURCE, body
from milepost.settings import Settings, parse
from pipeline.look.scrape import scrape
from store.archive.retention import Archive
from store.database import connect, upgrade

CHUNK = 10_000  # pages in one sitemap
STORY = "/story/salisbury-cathedral-clock-"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Site:
    """A site of `count` milestones; of its second version, so many in a hundred thousand are told otherwise, of its
    third as many others as well."""

    def __init__(self, count: int, changed: float, *, lastmod: bool = False) -> None:
        self.count, self.every, self.lastmod = count, round(1 / changed) if changed else 0, lastmod
        self.version = 1
        self.page = lru_cache(maxsize=64)(self._page)  # a milestone's is made for each request

    def answer(self, path: str, known: str) -> bytes:
        """The bytes of an answer; `known`: the ETag that whoever asks has."""
        if path in ("/second", "/third"):
            self.version = 2 if path == "/second" else 3
            self.page.cache_clear()
            return _wire(b"", "text/plain", "")
        if path.startswith(STORY):
            number = int(path.removeprefix(STORY))
            anew = self._anew(number)
            tag = f'"{number}{"b" if anew else "a"}"'
            if known == tag:
                return f"HTTP/1.1 304 Not Modified\r\nETag: {tag}\r\n\r\n".encode()
            page = body(number).replace(b"clock without a face", b"clock without any face") if anew else body(number)
            return _wire(page, "text/html; charset=utf-8", tag)
        page, kind = self.page(path)
        return NOT_FOUND if page is None else _wire(page, kind, "")

    def _anew(self, number: int) -> bool:
        return bool(self.every) and number % self.every < self.version - 1

    def _entry(self, number: int) -> str:
        changed = f"<lastmod>2020-02-0{1 + self._anew(number)}</lastmod>" if self.lastmod else ""
        return f"<url><loc>{BASE}{STORY}{number}</loc>{changed}</url>"

    def _page(self, path: str) -> tuple[bytes | None, str]:
        if path == "/sitemap.xml":
            parts = -(-self.count // CHUNK)
            listed = "".join(f"<sitemap><loc>{BASE}/s{part}.xml</loc></sitemap>" for part in range(parts))
            return f"<sitemapindex>{listed}</sitemapindex>".encode(), "application/xml"
        if path.startswith("/s") and path.endswith(".xml"):
            part = int(path[2:-4])
            urls = "".join(map(self._entry, range(part * CHUNK, min(self.count, (part + 1) * CHUNK))))
            return f"<urlset>{urls}</urlset>".encode(), "application/xml"
        if path == "/":
            return b"<!DOCTYPE html><html><body><main></main></body></html>", "text/html"
        return None, ""


def _wire(content: bytes, kind: str, tag: str) -> bytes:
    known = f"ETag: {tag}\r\n" if tag else ""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{known}Content-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


class _Server(asyncio.Protocol):
    def __init__(self, site: Site) -> None:
        self.site, self.rest = site, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self.rest = (self.rest + data).split(b"\r\n\r\n")
        for request in requests:
            first, *headers = request.decode().split("\r\n")
            known = next((line[15:] for line in headers if line.lower().startswith("if-none-match: ")), "")
            self.transport.write(self.site.answer(first.split(" ", 2)[1], known))


async def _serve_until_killed(site: Site, hosts: int, ready: Callable[[list[int]], object]) -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(lambda: _Server(site), "127.0.0.1", 0) for _ in range(hosts)]
    ready([server.sockets[0].getsockname()[1] for server in servers])
    await asyncio.gather(*(server.serve_forever() for server in servers))


def _serve(count: int, changed: float, hosts: int, lastmod: bool, pipe: Any) -> None:
    asyncio.run(_serve_until_killed(Site(count, changed, lastmod=lastmod), hosts, pipe.send))


@contextmanager
def serving(count: int, changed: float = 0, hosts: int = 1, *, lastmod: bool = False) -> Iterator[list[str]]:
    """Such a site in a process of its own; gives its URLs, one for each port that it is asked for at."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(count, changed, hosts, lastmod, theirs), daemon=True)
    process.start()
    try:
        yield [f"http://127.0.0.1:{port}" for port in ours.recv()]
    finally:
        process.terminate()
        process.join()


def settings_for(store: str, url: str, pages: int, processes: int | None = None, *, lastmod: bool = False) -> Settings:
    """Of that store and the site at `url`."""
    return parse({
        "store": {"url": store}, "fetch": {"reading_processes": processes, "max_look_minutes": 1440},
        "sources": [{"key": SOURCE, "extractor": "sample", "base_url": BASE, "fetch_from": url,
                     "allow_hosts": ["127.0.0.1"], "max_pages": pages + 100,
                     "lastmod": "trust" if lastmod else "ignore"}],
    })


def look(
    store: str, url: str, pages: int, processes: int | None = None, lastmod: bool = False, full: bool = False
) -> tuple[int, int]:
    """One look; returns how many milestones are known after it, and how many pages came anew."""
    report = scrape(settings_for(store, url, pages, processes, lastmod=lastmod), SOURCE, full=full)
    assert report.state == "complete", report
    return report.milestones, report.fetched


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What the first look took, the one after a change, and one that believed the sitemaps; bytes of the database after
    the first, and what is in it."""

    first: Took
    again: Took
    believing: Took | None
    size: int
    said: str


def looks(store: str, pages: int, changed: float, processes: int | None = None, *, lastmod: bool = False) -> Looks:
    """Look at a site of so many pages, and again when that share of them is told otherwise; `store` is empty."""
    believing: Took | None = None
    with serving(pages, changed, lastmod=lastmod) as [url]:
        upgrade(store)
        first = measured(look, store, url, pages, processes, lastmod)
        said, size = kept(store)
        urllib.request.urlopen(f"{url}/second").close()  # noqa: S310 - our own
        again = measured(look, store, url, pages, processes, lastmod, lastmod)
        if lastmod:
            urllib.request.urlopen(f"{url}/third").close()  # noqa: S310 - our own
            believing = measured(look, store, url, pages, processes, lastmod)
            assert believing.result == again.result, (again, believing)  # it finds as many changes by asking for them
    assert first.result[0] == again.result[0] == pages, (first, again)
    return Looks(first=first, again=again, believing=believing, size=size, said=said)


def kept(store: str) -> tuple[str, int]:
    """The bytes that the database takes, and those of it that are bodies of pages; and a hash of all that is known."""
    with connect(store) as database, database.connect() as connection:
        if database.file is not None:
            size = database.file.stat().st_size
        else:
            size = int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
        rows = connection.exec_driver_sql("SELECT key, fingerprint FROM milestone JOIN milestone_version "
                                          "ON milestone_id = milestone.id AND number = version ORDER BY key")
        digest = hashlib.sha256(repr([tuple(row) for row in rows]).encode()).hexdigest()[:8]
        return f"{size / 1e6:,.0f} MB, of it pages {Archive(database).size().stored_bytes / 1e6:,.0f}; {digest}", size


def main() -> None:
    """Print a line a look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, nargs="+", default=[3000])
    parser.add_argument("--changed", type=float, default=0.01, help="share of the pages, for the second look")
    parser.add_argument("--store", help="an empty PostgreSQL database")
    parser.add_argument("--processes", type=int, help="that read pages; by default one a core")
    parser.add_argument("--lastmod", action="store_true", help="a third look that believes what the sitemaps say")
    chosen = parser.parse_known_args()[0]
    for pages in chosen.pages:
        with tempfile.TemporaryDirectory() as folder:
            store = chosen.store or f"sqlite:///{folder}/look.db"
            done = looks(store, pages, chosen.changed, chosen.processes, lastmod=chosen.lastmod)
        _line("first look", pages, done.first)
        print(f"{'':>18}the database: {done.said}; {done.size / pages:,.0f} bytes a page")
        _line(f"{chosen.changed:.1%} changed", pages, done.again)
        print(f"{'':>18}of the first look's CPU: {done.again.cpu / done.first.cpu:.1%}", flush=True)
        if done.believing is not None:
            _line("lastmods believed", pages, done.believing)
            print(f"{'':>18}of the first look's CPU: {done.believing.cpu / done.first.cpu:.1%}", flush=True)


def _line(what: str, pages: int, took: Took) -> None:
    _, fetched = took.result
    print(f"{what:>17}: {pages:>7,} pages, {fetched:>7,} came, {took.seconds:>7.1f} s, "
          f"{took.cpu / pages * 1000:.2f} ms of CPU a page, {took.peak_mb} MB at its peak ({took.before_mb} before)",
          flush=True)


if __name__ == "__main__":
    main()
