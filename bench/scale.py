"""How what is measured grows with its size: one table, beside each figure how it grew from the size before.

    python -m bench.scale [--subjects pages,sources,…] [--store sqlite,postgresql] [--large] [--sizes 1000,10000]
                          [--server own|URL]

    a subject's bench, at each size ─▶ figures ─▶ a line for each: size: figure (growth)

The growth is the figure ÷ the one of the size before, ÷ the growth of the size. 1.00: it grows as the size does; above:
faster; below: slower (at ten times the size 0.10 is a figure that stayed as it was). A rate (…/s) that more processes
are to raise is best at 1.00. The table is Markdown; each size is told as it comes (on standard
error), with what measuring it took. `--large` takes hours and gigabytes; `--sizes`: of one subject.

What is measured is in the benches that it calls, each with a table of its own: bench.first_look (pages), bench.sources,
bench.readers (readers, topics), bench.dispatchers (ledger, dispatchers), bench.web (clients).
"""

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import dispatchers, first_look, readers, sources, web
from bench.apart import cpu_used
from bench.servers import empty, server_cpu, server_for
from bench.sinks import which
from tests.store import postgresql

MB = 1_000_000
BOTH = ("sqlite", "postgresql")
Figures = dict[str, float]  # by what they are, with their unit


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Something that grows, and the bench that measures it."""

    grows: str
    measure: Callable[[str, str | None, int], Figures]  # store, server, size
    small: tuple[int, ...]
    large: tuple[int, ...]
    stores: tuple[str, ...] = BOTH


# --- the printer ----------------------------------------------------------------------------------------------------


def growth(before: tuple[int, float], after: tuple[int, float]) -> float | None:
    """How a figure grew for how its size did, each (size, figure): 1.0 is linear. None: it began at nothing."""
    (small, was), (large, now) = before, after
    return now / was / (large / small) if was else None


def head() -> list[str]:
    """The table's first lines."""
    return ["| what grows | store | figure | at each size: figure (growth) |", "|---|---|---|---|"]


def rows(grows: str, store: str, measured: dict[int, Figures]) -> Iterator[str]:
    """A line for each figure, of the sizes in their order."""
    for name in dict.fromkeys(name for figures in measured.values() for name in figures):
        points = [(size, figures[name]) for size, figures in measured.items() if name in figures]
        cells = [f"{points[0][0]:,}: {_short(points[0][1])}"]
        for before, after in itertools.pairwise(points):
            grown = growth(before, after)
            cells.append(f"{after[0]:,}: {_short(after[1])} ({'–' if grown is None else f'{grown:.2f}'})")
        yield f"| {grows} | {store} | {name} | {'; '.join(cells)} |"


def _short(figure: float) -> str:
    """Three digits of it that count, or all before the point."""
    return f"{figure:,.0f}" if figure >= 100 or figure == int(figure) else f"{figure:.{1 if figure >= 10 else 2}f}"


# --- the subjects ---------------------------------------------------------------------------------------------------


def _known(figures: dict[str, float | None]) -> Figures:
    """Those that can be told of this store."""
    return {name: figure for name, figure in figures.items() if figure is not None}


def pages(store: str, server: str | None, size: int) -> Figures:
    with empty(store, server) as url:
        before = server_cpu(url)
        done = first_look.looks(url, size, changed=0.01)
        after = server_cpu(url)
    return _known({
        "first look: CPU s": done.first.cpu, "first look: s": done.first.seconds,
        "first look: MB at its peak": done.first.peak_mb,
        "second look: CPU s": done.again.cpu, "second look: MB at its peak": done.again.peak_mb,
        "both: server's CPU s": None if before is None or after is None else after - before,
        "database: MB": done.size / MB,
    })


def several(store: str, server: str | None, size: int) -> Figures:
    done = sources.measure(store, server, size, pages=30)
    return _known({
        "first look: CPU s": done.first.cpu, "first look: s": done.first.seconds,
        "first look: MB at its peak": done.first.peak_mb,
        "second look: CPU s": done.again.cpu, "second look: s": done.again.seconds,
        "both: server's CPU s": done.server, "database: MB": done.size / MB,
    })


def issue(store: str, server: str | None, people: int, topics: int, *, sending: bool = False) -> Figures:
    steps, before, after = readers.measure(store, server, people, topics, sending=sending)
    draft, freeze = steps["draft"], steps["freeze"]
    figures = _known({
        "draft: CPU s": draft.took.cpu, "draft: MB at its peak": draft.took.peak_mb,
        "freeze: CPU s": freeze.took.cpu, "freeze: s": freeze.took.seconds,
        "freeze: MB at its peak": freeze.took.peak_mb, "freeze: server's CPU s": freeze.server,
        "freeze: WAL MB": None if freeze.wal is None else freeze.wal / MB,
        "freeze: longest wait of a sign-up, s": freeze.waited,
        "database before: MB": before / MB, "database after: MB": after / MB,
    })
    if "send" in steps:
        took = steps["send"].took
        figures |= {
            "send: mails/s": took.result / took.seconds, "send: CPU s": took.cpu, "send: MB at its peak": took.peak_mb,
        }
    return figures


def sent(server: str | None, deliveries: int, processes: int) -> Figures:
    with empty("postgresql", server) as url:
        dispatchers.fill(url, deliveries)
        done = dispatchers.measure(url, processes, MAILS)
    assert not done.twice, done
    return _known({
        "mails/s": done.mails / done.seconds, "CPU µs a mail": done.cpu / done.mails * 1e6,
        "server's CPU µs a mail": None if done.server is None else done.server / done.mails * 1e6,
        "tuples read for a mail": done.tuples / done.mails, "WAL bytes a mail": done.wal / done.mails,
    })


def clients(store: str, server: str | None, size: int) -> Figures:
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as name, empty(store, server) as url:
        folder = Path(name)
        web.prepare(folder, url if store == "postgresql" else None, 1, 9, 1000)
        with web.serving(folder) as port:
            numbers = itertools.count()
            for kind in ("sign-up", "issue"):
                asks = web.asks_of(kind, 20_000, numbers, iter(()))
                took, statuses, seconds = web.under_load(port, asks, SECONDS, size)
                assert set(statuses) <= {200, 503}, statuses  # 503: come again
                figures |= {
                    f"{kind}: answers/s": len(took) / seconds, f"{kind}: p50 ms": took[len(took) // 2] * 1000,
                    f"{kind}: p99 ms": took[int(len(took) * 0.99)] * 1000, f"{kind}: come again": statuses[503],
                }
    return figures


MAILS = 6000  # of an issue, however large
SECONDS = 4.0  # of load
SUBJECTS = {
    "pages": Subject(
        grows="pages of a source", measure=pages, small=(1000, 3000, 10_000), large=(1000, 10_000, 100_000),
    ),
    "sources": Subject(
        grows="sources of 30 pages", measure=several, small=(1, 10, 100), large=(10, 100, 1000),
    ),
    "readers": Subject(
        grows="readers, 10 choices of topics", measure=lambda store, server, size: issue(store, server, size, 10),
        small=(1000, 10_000, 100_000), large=(10_000, 100_000, 1_000_000),
    ),
    "topics": Subject(
        grows="choices of topics, 20,000 readers",
        measure=lambda store, server, size: issue(store, server, 20_000, size, sending=True),
        small=(10, 100, 1000), large=(10, 1000, 10_000),
    ),
    "ledger": Subject(
        grows="deliveries of an issue, 2 processes", measure=lambda _, server, size: sent(server, size, 2),
        small=(10_000, 100_000), large=(10_000, 100_000, 1_000_000), stores=("postgresql",),
    ),
    "dispatchers": Subject(
        grows="processes that send, 10,000 deliveries", measure=lambda _, server, size: sent(server, 10_000, size),
        small=(1, 2, 4), large=(1, 2, 4), stores=("postgresql",),
    ),
    "clients": Subject(
        grows="clients at a time, one web process", measure=clients, small=(8, 64), large=(8, 64, 256),
    ),
}


def _cpu(server: str | None) -> float:
    return cpu_used() + ((server_cpu(server) if server else None) or 0.0)


def main() -> None:
    """Print the table, a subject at a time."""
    def words(text: str) -> list[str]:
        return text.split(",")

    def numbers(text: str) -> tuple[int, ...]:
        return tuple(sorted(int(number) for number in text.split(",")))

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=words, default=list(SUBJECTS), help=", ".join(SUBJECTS))
    parser.add_argument("--store", type=words, default=list(BOTH))
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--sizes", type=numbers, help="of the one subject that is chosen")
    parser.add_argument("--server", default="own", metavar="own|URL")
    chosen = parser.parse_known_args()[0]
    if unknown := (set(chosen.subjects) - set(SUBJECTS)) | (set(chosen.store) - set(BOTH)):
        parser.error(f"{', '.join(sorted(unknown))}: there are {', '.join(SUBJECTS)}, on {' and '.join(BOTH)}")
    if chosen.sizes and len(chosen.subjects) != 1:
        parser.error("--sizes are those of one subject: name it with --subjects")
    with ExitStack() as stack:
        server, lacking = None, None
        try:
            server = stack.enter_context(server_for(chosen.server, wanted="postgresql" in chosen.store))
        except postgresql.NoServerError as error:
            lacking = str(error)
        print(f"{os.cpu_count()} cores; mail goes to {which()}\n")
        print("\n".join(head()), flush=True)
        for name in chosen.subjects:
            subject = SUBJECTS[name]
            if not set(subject.stores) & set(chosen.store):
                print(f"{name}: only on {' and '.join(subject.stores)}, which was not asked for", file=sys.stderr)
            sizes = chosen.sizes or (subject.large if chosen.large else subject.small)
            for store in (one for one in subject.stores if one in chosen.store):
                if store == "postgresql" and lacking:
                    continue
                measured: dict[int, Figures] = {}
                for size in sizes:
                    began, used = time.monotonic(), _cpu(server)
                    measured[size] = subject.measure(store, server, size)
                    told = ", ".join(f"{figure} {_short(value)}" for figure, value in measured[size].items())
                    print(f"{name}, {store}, {size:,} ({time.monotonic() - began:.0f} s, {_cpu(server) - used:.1f} s of"
                          f" CPU): {told}", file=sys.stderr, flush=True)
                print("\n".join(rows(subject.grows, store, measured)), flush=True)
    if lacking:
        sys.exit(f"scale: not measured on PostgreSQL: {lacking}")


if __name__ == "__main__":
    main()
