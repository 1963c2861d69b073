"""Measures the crawler: against Scrapy on the same pages, and alone on many generated ones.

    python bench/crawl.py --pages FOLDER [--scrapy-python PYTHON]     captured or sample pages, as served on loopback
    python bench/crawl.py --url http://127.0.0.1:8100 …               a site that is being served already
    python bench/crawl.py [--synthetic 20000]                         memory and pace at N/10 and at N

Every run is a process of its own, the server another; Scrapy runs in any Python that has it, interleaved with ours, at
the same concurrency and with the same archive (SQLite + zlib) behind both. Wall and CPU are those of the crawl, without
imports. Standard library only at the top: Scrapy's Python need not have Milepost's packages.
"""

import argparse
import asyncio
import contextlib
import datetime as dt
import gzip
import hashlib
import json
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
CHUNK = 10_000  # pages in one synthetic sitemap
BASE = "https://timeline.example"
OTHER = ("about", "explore", "history", "person", "people", "organization", "organizations", "api")


def kind_of(path: str) -> str:
    """Milestones below /timeline/, listings all the rest but a few."""
    first = path.strip("/").split("/", 1)[0]
    return "milestone" if path.startswith("/timeline/") else "other" if first in OTHER else "listing"


# --- the archive, the same behind both ------------------------------------------------------------------------------


class Archive:
    """Keeps every page by its hash, in one SQLite file that is thrown away."""

    def __init__(self, folder: str) -> None:
        self.db = sqlite3.connect(Path(folder) / "archive.db", isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("CREATE TABLE blob (hash TEXT PRIMARY KEY, body BLOB)")
        self.db.execute("CREATE TABLE page (url TEXT PRIMARY KEY, hash TEXT)")
        self.pages = 0

    def add(self, url: str, body: bytes) -> None:
        digest = hashlib.sha256(body).hexdigest()
        self.db.execute("BEGIN")
        self.db.execute("INSERT OR IGNORE INTO blob VALUES (?, ?)", (digest, zlib.compress(body, 1)))
        self.db.execute("INSERT OR REPLACE INTO page VALUES (?, ?)", (url, digest))
        self.db.execute("COMMIT")
        self.pages += 1


def measured(work: Callable[[Archive], None]) -> dict[str, Any]:
    """Run `work` and say what it took."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive(folder)
        wall, cpu = time.perf_counter(), time.process_time()
        work(archive)
        took = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        archive.db.close()
    return {"pages": archive.pages, "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024} | took


# --- the contenders -------------------------------------------------------------------------------------------------


def run_milepost(url: str, concurrency: int) -> dict[str, Any]:
    sys.path.insert(0, str(ROOT))
    from crawler.crawl import CrawlPlan, Fetched, Outcome, crawl
    from milepost.records import PageKind, Validators
    from milepost.settings import FetchSettings

    kinds: dict[str, PageKind] = {"milestone": "milestone", "listing": "listing", "other": "other"}

    class Nothing:
        def validators(self, url: str) -> Validators | None:  # noqa: ARG002
            return None

    plan = CrawlPlan(
        source="bench", base_url=BASE, fetch_from=url, allow_hosts=frozenset({str(urlsplit(url).hostname)}),
        seeds=("/",), classify=lambda path: kinds[kind_of(path)], limits=FetchSettings(concurrency=concurrency),
        max_pages=1_000_000,
    )

    def work(archive: Archive) -> None:
        def keep(outcome: Outcome) -> None:
            if isinstance(outcome, Fetched):
                archive.add(outcome.url, outcome.snapshot.body)

        asyncio.run(crawl(plan, memory=Nothing(), on_page=keep, now=lambda: dt.datetime.now(dt.UTC)))

    return measured(work)


def run_scrapy(url: str, concurrency: int) -> dict[str, Any]:
    import scrapy  # type: ignore[import-not-found,unused-ignore]
    from scrapy.crawler import CrawlerProcess  # type: ignore[import-not-found,unused-ignore]
    from scrapy.spiders import SitemapSpider  # type: ignore[import-not-found,unused-ignore]

    def work(archive: Archive) -> None:
        class Spider(SitemapSpider):  # type: ignore[misc,unused-ignore]
            name = "bench"
            sitemap_urls = (f"{url}/sitemap.xml",)
            sitemap_follow = ("",)

            def sitemap_filter(self, entries: Any) -> Iterator[Any]:
                for entry in entries:
                    path = urlsplit(entry["loc"]).path.rstrip("/") or "/"
                    if path.endswith(".xml") or kind_of(path) != "other":
                        yield entry | {"loc": url + path}

            def parse(self, response: Any) -> None:
                archive.add(response.url, response.body)

        process = CrawlerProcess(
            {
                "CONCURRENT_REQUESTS": concurrency, "CONCURRENT_REQUESTS_PER_DOMAIN": concurrency,
                "DOWNLOAD_DELAY": 0, "ROBOTSTXT_OBEY": True, "COOKIES_ENABLED": False, "LOG_ENABLED": False,
                "TELNETCONSOLE_ENABLED": False, "RETRY_ENABLED": True, "USER_AGENT": "bench",
            }
        )
        process.crawl(Spider)
        process.start()

    assert scrapy.__version__
    return measured(work)


# --- the server -----------------------------------------------------------------------------------------------------


def _wire(body: bytes, kind: str) -> bytes:
    packed = gzip.compress(body, 6, mtime=0)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    return head.encode() + packed


def folder_pages(folder: Path) -> Callable[[str], bytes | None]:
    """Answers for a folder of captured pages: /x is x.html, / is index.html; packed once, so it costs little CPU."""
    answers: dict[str, bytes] = {}
    for file in folder.rglob("*"):
        path = "/" + file.relative_to(folder).as_posix()
        if file.suffix == ".html":
            place = "/" if path == "/index.html" else path.removesuffix(".html")
            answers[place] = _wire(file.read_bytes(), "text/html")
        elif file.suffix in (".xml", ".txt"):
            answers[path] = _wire(file.read_bytes(), "application/xml" if file.suffix == ".xml" else "text/plain")
    return answers.get


def synthetic_pages(count: int) -> Callable[[str], bytes | None]:
    """Answers for `count` generated milestones of some 20 KB, in sitemaps of ten thousand."""
    filler = " ".join(hashlib.sha256(str(number).encode()).hexdigest() for number in range(300))
    listed = -(-count // CHUNK)

    def answer(path: str) -> bytes | None:
        if path == "/":
            return _wire(b"<!DOCTYPE html><html><body><article>home</article></body></html>", "text/html")
        if path == "/sitemap.xml":
            parts = "".join(f"<sitemap><loc>{BASE}/s{part}.xml</loc></sitemap>" for part in range(listed))
            return _wire(f"<sitemapindex>{parts}</sitemapindex>".encode(), "application/xml")
        if path.startswith("/s") and path.endswith(".xml"):
            part = int(path[2:-4])
            numbers = range(part * CHUNK, min(count, (part + 1) * CHUNK))
            urls = "".join(f"<url><loc>{BASE}/timeline/m{number}</loc></url>" for number in numbers)
            return _wire(f"<urlset>{urls}</urlset>".encode(), "application/xml")
        if path.startswith("/timeline/m"):
            head = f"<!DOCTYPE html><html><body><article><h1>Milestone {path[11:]}</h1>".encode()
            body = head + filler.encode() + b"</article></body></html>"
            line = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
            return line.encode() + body
        return None

    return answer


class _Server(asyncio.Protocol):
    def __init__(self, answer: Callable[[str], bytes | None]) -> None:
        self.answer = answer
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self.rest = (self.rest + data).split(b"\r\n\r\n")
        for request in requests:
            path = request.split(b" ", 2)[1].decode().split("?", 1)[0]
            self.transport.write(self.answer(path) or b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


def _say(port: int) -> None:
    print(port, flush=True)


async def serve(answer: Callable[[str], bytes | None], ready: Callable[[int], object] = _say) -> None:
    """Serve until killed; `ready` is told the port, and by itself prints it in a line."""
    server = await asyncio.get_running_loop().create_server(lambda: _Server(answer), "127.0.0.1", 0)
    ready(server.sockets[0].getsockname()[1])
    await server.serve_forever()


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[str]:
    """A server in a process of its own; gives its URL."""
    command = [sys.executable, __file__, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


# --- the tables -----------------------------------------------------------------------------------------------------


def once(python: str, contender: str, url: str, concurrency: int) -> dict[str, Any]:
    """One run in a fresh process."""
    command = [python, __file__, "--run", contender, "--url", url, "--concurrency", str(concurrency)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def has_scrapy(python: str) -> bool:
    command = [python, "-c", "import scrapy"]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


def compare(url: str, *, scrapy_python: str, concurrency: int, runs: int) -> None:
    """Both, interleaved; medians and the ratio."""
    contenders = {"milepost": sys.executable}
    if has_scrapy(scrapy_python):
        contenders["scrapy"] = scrapy_python
    else:
        print("Scrapy can't be imported; give --scrapy-python a Python that has it. Milepost alone:")
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
    for _ in range(runs):
        for name, python in contenders.items():
            results[name].append(once(python, name, url, concurrency))
    medians = {
        name: {key: statistics.median(run[key] for run in taken) for key in ("pages", "wall", "cpu", "rss")}
        for name, taken in results.items()
    }
    print(f"Medians of {runs} runs, {concurrency} requests at a time")
    print(f"{'':10}{'pages':>7}{'wall s':>9}{'cpu s':>9}{'RSS MB':>9}")
    for name, row in medians.items():
        print(f"{name:10}{row['pages']:7.0f}{row['wall']:9.2f}{row['cpu']:9.2f}{row['rss']:9.0f}")
    if "scrapy" in medians:
        ours, theirs = medians["milepost"], medians["scrapy"]
        print(f"{'ratio':10}{'':7}{ours['wall'] / theirs['wall']:9.2f}{ours['cpu'] / theirs['cpu']:9.2f}")


def synthetic(count: int, concurrency: int) -> None:
    """Memory and pace at a tenth and at the whole."""
    print(f"{'pages':>8}{'pages/s':>9}{'cpu s':>9}{'RSS MB':>9}")
    for pages in (count // 10, count):
        with serving("--serve-synthetic", str(pages)) as url:
            row = once(sys.executable, "milepost", url, concurrency)
        assert row["pages"] == pages + 1, row
        print(f"{pages:8}{pages / row['wall']:9.0f}{row['cpu']:9.2f}{row['rss']:9.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--pages", type=Path, help="a folder of captured or sample pages")
    parser.add_argument("--url", help="a site that is served already")
    parser.add_argument("--synthetic", type=int, metavar="N", help="crawl N/10 and N generated pages (default: 2000)")
    parser.add_argument("--scrapy-python", default=sys.executable, help="a Python that can import scrapy")
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--runs", type=int, default=5)
    for hidden in ("--run", "--serve-pages", "--serve-synthetic"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        print(json.dumps({"milepost": run_milepost, "scrapy": run_scrapy}[given.run](given.url, given.concurrency)))
    elif given.serve_pages:
        asyncio.run(serve(folder_pages(Path(given.serve_pages))))
    elif given.serve_synthetic:
        asyncio.run(serve(synthetic_pages(int(given.serve_synthetic))))
    elif given.synthetic:
        synthetic(given.synthetic, given.concurrency)
    elif given.url or given.pages:
        with contextlib.nullcontext(given.url) if given.url else serving("--serve-pages", str(given.pages)) as url:
            compare(url, scrapy_python=given.scrapy_python, concurrency=given.concurrency, runs=given.runs)
    else:
        synthetic(2000, given.concurrency)


if __name__ == "__main__":
    main()
