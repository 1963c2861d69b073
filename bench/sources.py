"""Many sources, each on a host of its own, looked at for the first time, then again when nothing has changed.

    python -m bench.sources [--sources 1,10,100] [--pages 30] [--store sqlite,postgresql] [--server own|URL]
                            [--at-once 4]

    one server, as many ports ─▶ look_at_several, in a process of its own ─▶ seconds, CPU, memory

So many go side by side as `fetch.sources_at_once` says, in threads of one process, as `milepost scrape` has them. The
server of the pages shares the machine. The CPU is that of the looks, not the server's.
"""

import argparse
from dataclasses import dataclass
from typing import Any

from bench.apart import Took, measured
from bench.big_store import BASE
from bench.first_look import serving
from bench.servers import empty, server_cpu, server_for, stored
from milepost.settings import Settings, parse
from pipeline.look.look_at_several import look_at_several
from pipeline.look.scrape import report_to_json, scrape
from pipeline.several import Stop
from store.database import upgrade

AT_ONCE = 4  # fetch.sources_at_once, as it comes


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """The first look at all of them and the second; the server's CPU seconds for both; bytes of the database."""

    first: Took
    again: Took
    server: float | None
    size: int


def settings_for(store: str, urls: list[str], pages: int, at_once: int) -> Settings:
    """The same site at each of these addresses, as a source of its own."""
    return parse({
        "store": {"url": store}, "fetch": {"sources_at_once": at_once},
        "sources": [{"key": f"site-{n}", "extractor": "sample", "base_url": BASE, "fetch_from": url,
                     "allow_hosts": ["127.0.0.1"], "max_pages": pages + 100} for n, url in enumerate(urls)],
    })


def look(store: str, urls: list[str], pages: int, at_once: int) -> int:
    """Look at all of them; returns how many pages came anew."""
    settings = settings_for(store, urls, pages, at_once)

    def one(key: str, stop: Stop) -> dict[str, Any]:
        return report_to_json(scrape(settings, key, stop=stop))

    told = look_at_several(settings, [source.key for source in settings.sources], one)
    assert all(each["state"] == "complete" and each["milestones"] == pages for each in told), told
    return sum(each["fetched"] for each in told)


def measure(store: str, server: str | None, sources: int, pages: int, at_once: int = AT_ONCE) -> Rounds:
    """Look at so many sources of so many pages twice, in a database of its own."""
    with empty(store, server) as url, serving(pages, hosts=sources) as urls:
        upgrade(url)
        before = server_cpu(url)
        first = measured(look, url, urls, pages, at_once)
        again = measured(look, url, urls, pages, at_once)
        after = server_cpu(url)
        return Rounds(first=first, again=again, size=stored(url),
                      server=None if before is None or after is None else after - before)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=lambda text: [int(one) for one in text.split(",")], default=[1, 10, 100])
    parser.add_argument("--pages", type=int, default=30, help="of each")
    parser.add_argument("--store", type=lambda text: text.split(","), default=["sqlite"])
    parser.add_argument("--server", default="own", metavar="own|URL")
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    chosen = parser.parse_known_args()[0]
    print(f"{'store':<10} {'sources':>7} {'look':<6} {'s':>7} {'CPU s':>7} {'MB':>5} {'came':>7}")
    with server_for(chosen.server, wanted="postgresql" in chosen.store) as server:
        for store in chosen.store:
            for sources in chosen.sources:
                rounds = measure(store, server, sources, chosen.pages, chosen.at_once)
                for name, took in (("first", rounds.first), ("again", rounds.again)):
                    print(f"{store:<10} {sources:>7} {name:<6} {took.seconds:>7.1f} {took.cpu:>7.1f} {took.peak_mb:>5}"
                          f" {took.result:>7,}", flush=True)


if __name__ == "__main__":
    main()
