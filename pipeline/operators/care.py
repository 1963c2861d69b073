"""What operators do for readers and about addresses, by whichever door: done in somebody's name, and kept without one.

    Actor, why ─▶ may they? ─▶ pipeline.subscribers ─▶ kept: what, about reader 7, before → after

What is kept outlives an erase: no address stands in it, not even in the words of an error.
"""

import csv
import datetime as dt
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from milepost.dates import utc_now
from milepost.errors import InputError
from milepost.records import Cadence, Subscriber
from pipeline import subscribers, suppression_files
from pipeline.operators.acts import Actor, kept
from pipeline.several import Progress
from pipeline.subscribers import By, Choices, Imported, Suppression
from store.database import Database

Done = TypeVar("Done")
Found = TypeVar("Found", covariant=True)
Rows = Callable[[Database], Iterable[dict[str, str]]]
Put = Callable[[dict[str, str]], object]


class Act(Protocol[Found]):
    """One of `pipeline.subscribers`: what it does to an address, and what came of it."""

    def __call__(self, database: Database, address: str, /, *, by: By, now: dt.datetime) -> Found:
        """Raises MilepostError."""


class Care:
    """All that operators can do. Each raises ForbiddenError, InputError without a reason, and what the
    function of `pipeline.subscribers` that it calls raises."""

    def __init__(self, database: Database, *, now: Callable[[], dt.datetime] = utc_now) -> None:
        self._database, self._now = database, now

    def add(
        self, address: str, *, cadence: Cadence, topics: Sequence[str], by: Actor, why: str
    ) -> tuple[Subscriber, bool]:
        """Put somebody on the list who told an operator that they want it; see `subscribers.add`."""
        return self._kept(
            "reader.add", "a reader", by, why,
            lambda: subscribers.add(self._database, address, cadence=cadence, topics=topics,
                                    by=By(who=by.who, why=why), now=self._now()),
            after=lambda made: {"reader": made[0].id, "new": made[1]},
            says=lambda made: f"reader {made[0].id} {'is on the list' if made[1] else 'was on the list already'}",
        )

    def return_(self, reader: int | str, *, by: Actor, why: str) -> Subscriber:
        """Make somebody active who left or never confirmed; `reader`: their number, or their address."""
        return self._reader("reader.return", reader, "active", by, why, subscribers.return_, "is mailed again")

    def unsubscribe(self, reader: int | str, *, by: Actor, why: str) -> Subscriber:
        """Let somebody go; no message begins for them after this."""
        return self._reader("reader.unsubscribe", reader, "unsubscribed", by, why, subscribers.unsubscribe,
                            "is mailed no more")

    def erase(self, reader: int | str, *, by: Actor, why: str) -> bool:
        """Forget somebody everywhere; nothing brings that back. Returns whether the address was a subscriber's."""
        return self._reader("reader.erase", reader, "erased", by, why, subscribers.erase, "is forgotten everywhere")

    def suppress(self, address: str, *, by: Actor, why: str) -> bool:
        """Never mail an address again; returns whether that is new."""
        return self._kept(
            "address.suppress", "an address", by, why,
            lambda: subscribers.suppress(self._database, address, by=By(who=by.who, why=why), now=self._now()),
            after=lambda new: {"suppressed": True, "new": new},
            says=lambda new: "the address is never mailed from now on" if new else "the address was suppressed already",
        )

    def lift(self, address: str, *, by: Actor, why: str) -> Suppression:
        """Let a suppressed address be mailed again."""
        return self._kept(
            "address.lift", "an address", by, why,
            lambda: subscribers.lift(self._database, address, by=By(who=by.who, why=why), now=self._now()),
            after=lambda was: {"suppressed": False, "was": was.reason},
            says=lambda _: "the address is suppressed no more",
        )

    def import_suppressions(
        self, raw: bytes, name: str, *, by: Actor, why: str, progress: Progress | None = None
    ) -> suppression_files.Read:
        """Never mail any address of a CSV file again; see `suppression_files.import_file`."""
        return self._kept(
            "address.import", f"file {name}", by, why,
            lambda: suppression_files.import_file(self._database, raw, name, by=By(who=by.who, why=why),
                                                  now=self._now(), progress=progress),
            after=lambda done: {"addresses": len(done.listed), "new": done.count("added"), "errors": len(done.errors)},
            says=lambda done: f"{done.count('added')} of {len(done.listed)} addresses in the file are new to the list",
        )

    def export_suppressions(self, *, by: Actor, why: str) -> str:
        """Every address that is never mailed, as CSV that no spreadsheet runs and `import_suppressions` reads."""
        lines, put = _csv(suppression_files.COLUMNS)
        self.export_each_suppression(suppression_files.export_csv, put, by=by, why=why)
        return lines.getvalue()

    def export_each_suppression(self, rows: Rows, put: Put, *, by: Actor, why: str) -> None:
        """`export_each`, of the addresses that are never mailed."""
        self._handed_out("address.export", "all suppressions", "addresses", rows, put, by=by, why=why)

    def import_file(
        self, file: Path, *, cadence: Cadence, chosen: Choices, by: Actor, why: str, progress: Progress | None = None,
    ) -> Imported:
        """Take in a CSV file; see `subscribers.import_file`."""
        return self._kept(
            "reader.import", f"file {file.name}", by, why,
            lambda: subscribers.import_file(self._database, file, cadence=cadence, by=by.who, now=self._now(),
                                            chosen=chosen, progress=progress),
            after=lambda done: {"people": len(done.outcomes), "errors": len(done.errors)},
            says=lambda done: f"{done.count('added')} came in of {len(done.outcomes)} people in the file",
        )

    def export(self, *, by: Actor, why: str) -> str:
        """Every reader as CSV that no spreadsheet runs and `import_file` reads."""
        lines, put = _csv(subscribers.COLUMNS)
        self.export_each(subscribers.export_csv, put, by=by, why=why)
        return lines.getvalue()

    def export_each(self, rows: Rows, put: Put, *, by: Actor, why: str) -> None:
        """Hand every reader to `put` as `rows` reads them, one after the other; who took the list away is kept."""
        self._handed_out("reader.export", "all readers", "readers", rows, put, by=by, why=why)

    def _handed_out(
        self, what: str, about: str, of_them: str, rows: Rows, put: Put, *, by: Actor, why: str
    ) -> None:
        def handed_out() -> int:
            count = 0
            for count, row in enumerate(rows(self._database), 1):  # noqa: B007 (the last one counts)
                put(row)
            return count

        self._kept(
            what, about, by, why, handed_out,
            after=lambda count: {of_them: count}, says=lambda count: f"{count} {of_them} were written to a file",
        )

    def _reader(
        self, what: str, reader: int | str, state: str, by: Actor, why: str, act: Act[Done], says: str
    ) -> Done:
        found = (subscribers.show_reader(self._database, reader) if isinstance(reader, int)
                 else subscribers.show(self._database, reader))
        known = found.subscriber
        about = "an address" if known is None else f"reader {known.id}"
        return self._kept(
            what, about, by, why,
            lambda: act(self._database, found.address, by=By(who=by.who, why=why), now=self._now()),
            before={"state": None if known is None else known.state}, after=lambda _: {"state": state},
            says=lambda _: f"{about} {says}",
        )

    def _kept(
        self, what: str, about: str, by: Actor, why: str, do: Callable[[], Done], *, before: object = None,
        after: Callable[[Done], object], says: Callable[[Done], str],
    ) -> Done:
        if by.role is not None and not why.strip():  # commands, who have no role, ask for one themselves
            raise InputError("a reason is missing", hint="Say why; it is kept with what you did.")
        return kept(
            self._database, by, what, about, do, why=why, given="",
            before=before, after=after, says=says, now=self._now,
        )


def _csv(columns: Sequence[str]) -> tuple[io.StringIO, Put]:
    """The text of a file that has its heading, and what puts a row below."""
    lines = io.StringIO(newline="")
    writer = csv.DictWriter(lines, columns, lineterminator="\n")
    writer.writeheader()
    return lines, writer.writerow
