"""Dates as honest as their source: a year, a month or a day, and whether that is settled.

Values follow ISO 8601-1:2019 §5.2.2.2 (reduced precision): ``1957``, ``2012-09``, ``2022-11-30``.
"""

import calendar
import datetime as dt
import re
from dataclasses import dataclass
from typing import Literal, Self

from milepost.pickling import pickled_and_shared

Precision = Literal["year", "month", "day"]

_FORM = re.compile(r"\d{4}(?:-\d{2}(?:-\d{2})?)?", re.ASCII)
_FIRST_DAY = "-01-01"  # what a year lacks to be a day, and, without its month, what a month lacks
_PRECISIONS: tuple[Precision, ...] = ("year", "month", "day")
SKEW = dt.timedelta(minutes=5)  # that two machines' clocks may differ by


@pickled_and_shared
@dataclass(frozen=True, kw_only=True, slots=True)
class PartialDate:
    """A date known to a year, a month or a day; `confirmed` is False while a witness may have padded it.

    `circa` and `until` are ISO 8601-2:2019's "approximate" (§8.3) and the end of an interval (§9).
    """

    value: str  # "1957" | "2012-09" | "2022-11-30"; of a stretch of time its beginning
    confirmed: bool = True  # False: this precision is a floor, a better witness may add a month or day
    circa: bool = False  # the page itself says "about"
    until: str | None = None  # the end of a stretch of time, as finely as its beginning or not; ".." while it goes on

    def __post_init__(self) -> None:
        if _FORM.fullmatch(self.value) is None:
            raise ValueError(f"not a year, a month or a day: {self.value!r} (want YYYY, YYYY-MM or YYYY-MM-DD)")
        try:
            dt.date.fromisoformat(self.value + _FIRST_DAY[len(self.value) - 4 :])
        except ValueError as error:
            raise ValueError(f"no such date: {self.value!r} ({error})") from None
        if self.until is None or self.until == "..":
            return
        if PartialDate(value=self.until).sort_key <= self.sort_key:
            raise ValueError(f"a stretch of time that ends before it begins: {self.value!r} to {self.until!r}")

    @classmethod
    def of(cls, year: int, month: int | None = None, day: int | None = None, *, confirmed: bool = True) -> Self:
        """Build from numbers; raises ValueError when there is no such date."""
        parts = [f"{year:04d}"] + [f"{part:02d}" for part in (month, day) if part is not None]
        return cls(value="-".join(parts), confirmed=confirmed)

    @property
    def precision(self) -> Precision:
        return _PRECISIONS[self.value.count("-")]

    @property
    def year(self) -> int:
        return int(self.value[:4])

    @property
    def month(self) -> int | None:
        return int(self.value[5:7]) if len(self.value) > 4 else None

    @property
    def day(self) -> int | None:
        return int(self.value[8:]) if len(self.value) > 7 else None

    @property
    def sort_key(self) -> tuple[int, int, int]:
        """Orders a bare year before its months, a bare month before its days."""
        return self.year, self.month or 0, self.day or 0

    def contains(self, other: "PartialDate") -> bool:
        """Whether `other` is this date or a more precise one inside it ("2012" contains "2012-09")."""
        return other.value == self.value or other.value.startswith(f"{self.value}-")

    def human(self) -> str:
        """English, to the precision that is known: "1957", "September 2012", "c. 1440", "1957 – 1960", "since 1957"."""
        if self.month is None:
            text = str(self.year)
        else:
            text = f"{calendar.month_name[self.month]} {self.year}"
            text = text if self.day is None else f"{self.day} {text}"
        if self.circa:
            text = f"c. {text}"
        if self.until is None:
            return text
        return f"since {text}" if self.until == ".." else f"{text} – {PartialDate(value=self.until).human()}"


def believed(moment: dt.datetime, now: dt.datetime, longest: dt.timedelta = dt.timedelta(0)) -> bool:
    """Whether a right clock can have written it, where nothing is ever put off for longer than `longest`. Pure.

    What lies further ahead was written by a clock that was ahead: nothing waits for it.
    """
    return moment <= now + longest + SKEW


def utc_now() -> dt.datetime:
    """The one clock; the door and the flows hand it inwards as a parameter."""
    return dt.datetime.now(dt.UTC)
