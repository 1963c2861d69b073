"""What deciding costs: comparing 100,000 records, none or all of them edited. (A whole look: bench.big_store.)

    python -m bench.detect [--milestones 100000]

CPU seconds.
"""

import argparse
import time

from milepost.dates import PartialDate
from milepost.records import Milestone
from newsletter.news.detect import detect

BASE = "https://clockwork.example"
SOURCE = "bench"


def record(number: int, *, edited: bool = False) -> Milestone:
    """One of many milestones; texts as long as a site's."""
    text = f"Clock {number} was wound for the first time and struck {number % 12 + 1}. " * 4
    return Milestone(
        source=SOURCE, key=f"clock-{number}", url=f"{BASE}/story/clock-{number}", title=f"Clock {number}",
        date=PartialDate(value=f"{1500 + number % 500}"), category="towers", era="weights", impact=number % 5 + 1,
        what_happened=text, why_it_mattered=text + (" It still does." if edited else ""),
        people=(f"Maker {number % 97}", f"Patron {number % 13}"), organizations=(f"Guild {number % 7}",),
        tags=("clock", f"strike-{number % 12}"), extractor="sample/1",
    )


def main() -> None:
    """Print a line a part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--milestones", type=int, default=100_000)
    count: int = parser.parse_known_args()[0].milestones
    old = {f"clock-{number}": record(number) for number in range(count)}
    for share in (0, 100):
        new = {f"clock-{n}": record(n, edited=n % 100 < share) for n in range(count)}
        started = time.process_time()
        found = detect(old, new)
        took = time.process_time() - started
        assert len(found.changes) == count * share // 100
        print(f"detect, {count:,} records, {share:>3} % of them edited: {took:6.2f} s CPU")


if __name__ == "__main__":
    main()
