"""Dispatch against postfix's smtp-sink: our whole way (ledger on SQLite FULL, a letter for each reader) and others'.

    python -m bench.dispatch [--messages N] [--connections 1,10,40] [--rounds N] [--latency MS] [--senders A,B]
    python -m bench.dispatch --recipients 10000,100000,1000000 [--postgresql URL|own] [--rounds N]
    python -m bench.dispatch --profile

Every run has a process and a sink of its own; the rounds of all senders take turns, and the table shows medians.
`--postgresql` measures that beside SQLite: a server's URL, or "own" for one that is started here and keeps its promises
to the disk (`initdb` on the path, where distributions put it, or in the wheel that the tests use).
"""

import argparse
import cProfile
import importlib.util
import json
import pstats
import subprocess
import sys
from statistics import median

from bench.senders import SENDERS, Spent, enrol, freeze, send, spent, with_milepost
from bench.servers import empty, server_for
from bench.sinks import program, sink
from store.database import connect


def compare(senders: list[str], connections: list[int], messages: int, rounds: int, latency: float) -> None:
    """Print the table of medians."""
    late = f", {latency:g} ms a reply" if latency else ""
    print(f"{f'30 KB messages{late}':<30} {'conn':>4} {'messages/s':>10} {'CPU µs/message':>14} {'rounds':>6}")
    for lanes in connections:
        took: dict[str, list[Spent]] = {name: [] for name in senders}
        for _ in range(rounds):
            for name in senders:
                with sink(latency) as port:
                    took[name].append(_apart("sender", name, str(port), str(lanes), str(messages)))
        for name, runs in took.items():
            rate, cpu = median(run.rate for run in runs), median(run.cpu_us for run in runs)
            print(f"{name:<30} {lanes:>4} {rate:>10.0f} {cpu:>14.0f} {len(runs):>6}", flush=True)


def scale(sizes: list[int], lanes: int, rounds: int, server: str | None) -> None:
    """Print what freezing and sending take as the audience grows, on SQLite and, where there is one, on `server`."""
    print(f"{'store':<10} {'recipients':>10} {'step':<8} {'s':>8} {'rows/s':>8} {'CPU µs each':>11} {'RSS MiB':>8}")
    stores = ("sqlite", "postgresql") if server else ("sqlite",)
    for size in sizes:
        took: dict[tuple[str, str], list[Spent]] = {}
        for _ in range(rounds):
            for store in stores:
                with empty(store, server) as url, sink() as port:
                    for step in ("enrol", "freeze", "send"):
                        run = _apart(step, url, str(port), str(lanes), str(size))
                        took.setdefault((store, step), []).append(run)
        for (store, step), runs in took.items():
            seconds, rate, cpu, rss = (
                median(getattr(run, name) for run in runs) for name in ("seconds", "rate", "cpu_us", "rss")
            )
            if step != "enrol":
                print(f"{store:<10} {size:>10} {step:<8} {seconds:>8.1f} {rate:>8.0f} {cpu:>11.0f} {rss:>8.0f}",
                      flush=True)


def _apart(*what: str) -> Spent:
    """One measurement in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.dispatch", "--one", *what], check=True, stdout=subprocess.PIPE, text=True
    )
    return Spent(**json.loads(done.stdout.splitlines()[-1]))


def one(step: str, what: str, port: int, lanes: int, size: int) -> Spent:
    """The measurement that `_apart` asks for; `what` is a sender's name or a database's URL."""
    if step == "sender":
        return SENDERS[what](port, lanes, size)
    if step == "enrol":
        return spent(size, lambda: enrol(what, size))
    with connect(what) as database:
        if step == "freeze":
            return spent(size, lambda: freeze(database))
        return spent(size, lambda: send(database, port, lanes, size))


def profile(lanes: int, messages: int) -> None:
    """Print where the sending thread spends its time."""
    profiler = cProfile.Profile()
    with sink() as port:
        profiler.runcall(with_milepost, port, lanes, messages)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(35)


def main() -> None:
    """Print what was asked for."""
    def numbers(text: str) -> list[int]:
        return [int(number) for number in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=6000)
    parser.add_argument("--connections", type=numbers, default=[1, 10, 40])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.0, help="milliseconds that each reply comes late")
    parser.add_argument("--senders", default=None, help=f"some of: {'; '.join(SENDERS)} (by their first letters)")
    parser.add_argument("--recipients", type=numbers, help="measure how time and memory grow instead")
    parser.add_argument("--postgresql", metavar="URL|own", help="measure it beside SQLite as the audience grows")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        step, what, port, lanes, size = arguments.one
        print(one(step, what, int(port), int(lanes), int(size)).to_json())
        return
    if program("smtp-sink") is None or program("smtp-source") is None:
        sys.exit("dispatch: not measured, postfix's smtp-sink and smtp-source are not installed (Debian: postfix)")
    wanted = tuple(arguments.senders.split(",")) if arguments.senders else tuple(SENDERS)
    senders = [name for name in SENDERS if name.startswith(wanted)]
    if importlib.util.find_spec("aiosmtplib") is None:
        senders = [name for name in senders if not name.startswith("aiosmtplib")]
    if arguments.recipients:
        with server_for(arguments.postgresql or "", wanted=bool(arguments.postgresql)) as server:
            scale(arguments.recipients, 10, arguments.rounds, server)
    elif arguments.profile:
        profile(10, arguments.messages)
    else:
        compare(senders, arguments.connections, arguments.messages, arguments.rounds, arguments.latency)


if __name__ == "__main__":
    main()
