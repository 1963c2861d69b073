"""A look at a site and the issue that follows from it, in a process of its own that is killed at a commit.

    scrape ─▶ publish, again and again as a schedule would; kill -9 before or after the COUNTth commit
"""

import datetime as dt
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from milepost.dates import utc_now
from milepost.settings import load
from pipeline.look.scrape import scrape
from pipeline.publish import publish
from store.engine import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class Errand:
    """What to do, and where to die of it."""

    settings: Path
    source: str
    when: Literal["before", "after", ""] = ""
    commit: int = 0  # 1 is the first


class _Counter:
    """Counts durable transactions, and ends the process at one of them."""

    def __init__(self, errand: Errand) -> None:
        self.errand, self.commits = errand, 0

    def patch(self) -> None:
        counter, begin = self, Database.begin

        @contextmanager
        def counted(self: Database) -> Iterator[sa.Connection]:
            with begin(self) as connection:
                yield connection
                counter.commits += 1
                counter._die("before")
            counter._die("after")

        Database.begin = counted  # type: ignore[method-assign]

    def _die(self, when: str) -> None:
        if (self.errand.when, self.errand.commit) == (when, self.commits):
            os.kill(os.getpid(), signal.SIGKILL)


def later() -> dt.datetime:
    """When every cadence's hour has come, and it has been quiet for long enough."""
    return utc_now() + dt.timedelta(days=2)


def run(errand: Errand, said: Connection) -> None:
    """Says "go", then how many transactions the look, and the look and the issue together, took."""
    counter = _Counter(errand)
    counter.patch()
    settings = load(errand.settings)
    said.send("go")
    scrape(settings, errand.source)
    looked = counter.commits
    publish(settings, now=later)
    said.send(f"{looked} {counter.commits}")
