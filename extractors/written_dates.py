"""Dates as people write them, read only as far as they are certain, with the reason where they are not; purely.

    "2012-09" ─▶ ISO 8601 ───────────────────────────────┐
    "19/03/1932" ─▶ figures: one order or none ──────────┼▶ a date, or why there is none
    "3. Oktober 1990" ─▶ words of the page's language ───┘
"""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from extractors.clean import clean
from extractors.date_words import EVER, DateWords, Words, code_of, date_words, words_of
from milepost.dates import PartialDate

_CAP = 80  # characters that a date may have
_WORDS = 20  # words and figures that a date may have
_STEPS = 500  # in understanding them: the dearest honest date takes about sixty

_ISO = re.compile(r"(\d{4})(?:[-.](\d{2})(?:[-.](\d{2}))?)?(?:T.*|\s\d\d:.*)?", re.ASCII)
_ISO_RANGE = re.compile(r"(\d{4}(?:-\d{2}){0,2})/(\d{4}(?:-\d{2}){0,2}|\.\.)", re.ASCII)  # ISO 8601-1 §5.5, 8601-2 §9
_BEFORE = re.compile(r"[-−]\d{4,6}(?:-\d\d){0,2}(?:T.*)?", re.ASCII)
_FIGURES = re.compile(r"(\d{1,2})\s?([./-])\s?(\d{1,2})\s?\2\s?(\d{4})\.?")
_YEAR_FIRST = re.compile(r"(\d{4})\s?([./-])\s?(\d{1,2})\s?\2\s?(\d{1,2})\.?")
_SHORT_RANGE = re.compile(r"(\d{2})(\d{2})\s?([-–—])\s?(\d{2})", re.ASCII)
_MONTH_YEAR = re.compile(r"(\d{1,2})\s?[./-]\s?(\d{4})")
_TIME = re.compile(
    r"[,T]?\s*\b(?:at\s+|um\s+|à\s+|kl\.?\s*)?\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:\s*(?:[ap]\.?m\.?|uhr)(?![^\W\d_]))?"
    r"(?:\s*\(?(?:[+-]\d{2}:?\d{2}|(?:GMT|UTC?|Z|[A-Z]{1,2}[DS]?T)(?:[+-]\d{1,4})?)\b\)?)?", re.IGNORECASE,
)


class Reading(NamedTuple):
    """What was read: a date, or why there is none ("": there was nothing to read)."""

    date: PartialDate | None
    why: str = ""


class _Parts(NamedTuple):
    """What one way of understanding some words makes of them."""

    year: int | None = None
    month: int | None = None
    day: int | None = None
    weekday: int | None = None
    era: str = ""  # "ours" | "before"
    circa: bool = False
    named: bool = False  # the month is written as a word
    short: int = 4  # figures that the year is written with


NOTHING = Reading(None)


@lru_cache(maxsize=4096)
def read_date(text: str | None, language: str = "") -> Reading:
    """Read a date; `language` is the BCP 47 tag that the page gives its words, "" when it gives none.

    Without one only figures and English are understood. What may be two dates is none.
    """
    line = clean(text, _CAP + 1)
    if not line:
        return NOTHING
    if 7 <= len(line) <= 9 and (match := _SHORT_RANGE.fullmatch(line)):
        century, start, dash, end = match.groups()
        # "2011-12" is a month, "2011–12" may be one, "2012-13" may be one that somebody miscounted.
        if int(start) < int(end) and int(end) > (31 if dash == "-" else 12):
            return Reading(PartialDate(value=century + start, until=century + end))
    if match := _ISO.fullmatch(line):
        return _iso(line, match)
    if len(line) > _CAP or not any(sign.isdecimal() for sign in line):
        return _not_read(line, language)
    if _BEFORE.fullmatch(line):
        return _too_early(line)
    if match := _ISO_RANGE.fullmatch(line):
        return _iso_range(line, *match.groups())
    code = code_of(language)
    words = date_words(code) if code else None
    bare = " ".join(_TIME.sub(" ", line).split()) if ":" in line else line
    return (
        _figures(bare, words) or _written(bare, words) or (_english(bare, words) if code != "en" else None)
        or _not_read(line, language)
    )


def _iso(line: str, match: re.Match[str]) -> Reading:
    try:
        return Reading(PartialDate(value="-".join(filter(None, match.groups()))))
    except ValueError:
        return _no_such_day(line)


def _checked(line: str, year: int | None, month: int | None = None, day: int | None = None) -> Reading:
    try:
        return Reading(PartialDate.of(year or 0, month, day))
    except ValueError:
        return _no_such_day(line)


def _no_such_day(line: str) -> Reading:
    return Reading(None, f"“{line}”: there is no such day")


def _not_read(line: str, language: str) -> Reading:
    given = f"in the page's language, “{clean(language, 40)}”" if language else "and the page gives no language"
    return Reading(None, f"“{clean(line, _CAP)}” can't be read as a date {given}")


def _too_early(line: str) -> Reading:
    return Reading(None, f"“{line}” is before our era: no record can hold such a year")


def _iso_range(line: str, start: str, end: str) -> Reading:
    try:
        date = PartialDate(value=start)
        return Reading(date if start == end else PartialDate(value=start, until=end))
    except ValueError:
        return Reading(None, f"“{line}”: there is no such stretch of time")


# --- figures --------------------------------------------------------------------------------------------------------


def _figures(line: str, words: DateWords | None) -> Reading | None:
    """Dates of figures alone; None when the line is none of them."""
    if match := _YEAR_FIRST.fullmatch(line):
        year, month, day = int(match[1]), int(match[3]), int(match[4])
        if words is not None and not words.year_first and month != day and day <= 12:
            return _two_ways(line, year, month, day)
    elif match := _FIGURES.fullmatch(line):
        first, second, year = int(match[1]), int(match[3]), int(match[4])
        dotted = match[2] == "." and words is not None and words.day_first
        if first <= 12 and second <= 12 and first != second and not dotted:
            return _two_ways(line, year, first, second)
        day, month = (first, second) if second <= 12 else (second, first)
    elif match := _MONTH_YEAR.fullmatch(line):
        month, year, day = int(match[1]), int(match[2]), None
    else:
        return None
    return _of_other_calendar(line, year, words) or _checked(line, year, month, day)


def _two_ways(line: str, year: int, one: int, other: int) -> Reading:
    if not year:
        return _checked(line, year)
    ways = " or ".join(PartialDate.of(year, *pair).human() for pair in ((other, one), (one, other)))
    return Reading(None, f"“{line}” may be {ways}")


def _of_other_calendar(line: str, year: int, words: DateWords | None) -> Reading | None:
    if words is None or words.gregorian[0] <= year <= words.gregorian[1]:
        return None
    return Reading(None, f"“{line}” may be a year of another calendar")


# --- words ----------------------------------------------------------------------------------------------------------


def _english(line: str, own: DateWords | None) -> Reading | None:
    """A date in English words on another language's page; None where that language means another month by one."""
    english = date_words("en")
    if english is None:
        return None
    months = 0
    for word in words_of(line):
        if month := english.month(word):
            months += 1
            if own is not None and own.month(word) not in (None, month):
                return None
    if own is None:
        return _written(line, english)
    reading = _written(line, english) if months else None
    if reading is not None and reading.date is not None and own.gregorian != EVER and reading.date.year > 2300:
        return Reading(None, f"“{line}” may be a year of another calendar")
    return reading


def _written(line: str, words: DateWords | None) -> Reading | None:
    """A date, or a stretch of time, in the words of a language; None when not every word is understood."""
    if words is None:
        return None
    said = words_of(line)
    if not said or len(said) > _WORDS:
        return None
    singles = set(_ways(said, words))
    found = {_date(line, parts, words) for parts in singles if _is_whole(parts)}
    if not found:
        found = set(_stretches(line, said, words))
    if not found:
        return None
    dates = {reading for reading in found if reading.date is not None}
    if len(dates) == 1:
        return next(iter(dates))
    if dates:
        told = sorted(f"{reading.date.human()}" for reading in dates if reading.date)
        return Reading(None, f"“{line}” may be {' or '.join(told)}")
    return min(found)  # by its words: the same reason at every reading


def _is_whole(parts: _Parts) -> bool:
    if parts.year is None or (parts.month is None and (parts.day is not None or parts.weekday is not None)):
        return False
    if parts.weekday is not None and parts.day is None:
        return False
    # '79 is 1979 as well; a number of three figures is a year only in a date or beside its era.
    return bool(parts.era) or parts.short >= (3 if parts.named and parts.day else 4)


def _date(line: str, parts: _Parts, words: DateWords) -> Reading:
    year = parts.year or 0
    if parts.era == "before":
        return _too_early(line)
    if (not parts.named or words.shared_months) and parts.era != "ours" and (
        other := _of_other_calendar(line, year, words)
    ):
        return other
    reading = _checked(line, year, parts.month, parts.day)
    date = reading.date
    if date is None:
        return reading
    if parts.weekday is not None and date.month is not None and date.day is not None:
        day = dt.date(date.year, date.month, date.day)
        if day.weekday() != parts.weekday:
            return Reading(None, f"“{line}”: that day was a {day:%A}")
    return Reading(replace(date, confirmed=False, circa=True)) if parts.circa else reading


def _ways(said: Words, words: DateWords, *, closing: bool = False) -> Iterator[_Parts]:
    """Every way in which all of some words can be understood as parts of one date."""
    pending: list[tuple[int, _Parts]] = [(0, _Parts())]
    steps = 0
    while pending and (steps := steps + 1) <= _STEPS:
        at, parts = pending.pop()
        if at == len(said):
            yield parts
            continue
        word = said[at]
        if word.isdecimal():
            pending += [(at + 1, more) for more in _number(word, parts)]
        for form in words.forms.get(word, ()):
            end = at + len(form.words)
            if said[at:end] != form.words:
                continue
            match form.kind:
                case "month" if parts.month is None:
                    pending.append((end, parts._replace(month=form.value, named=True)))
                case "weekday" if parts.weekday is None:
                    pending.append((end, parts._replace(weekday=form.value)))
                case "ours" | "before" if not parts.era:
                    pending.append((end, parts._replace(era=form.kind)))
                case "circa" if at == 0 or word in ("頃", "ごろ"):
                    pending.append((end, parts._replace(circa=True)))
                case "between" if word != "(" or ")" in said:
                    pending.append((end, parts))
                case "to" if word in "-‐‑" and 0 < at < len(said) - 1 and not closing:
                    pending.append((end, parts))  # "19-March-1932"


def _number(word: str, parts: _Parts) -> Iterator[_Parts]:
    value = int(word)
    if parts.day is None and len(word) <= 2 and 1 <= value <= 31:
        yield parts._replace(day=value)
    if parts.year is None and value >= 1 and len(word) <= 4:
        yield parts._replace(year=value, short=len(word))


def _stretches(line: str, said: Words, words: DateWords) -> Iterator[Reading]:
    """From one date to another: the one may leave out what the other says."""
    for at, word in enumerate(said):
        for form in words.forms.get(word, ()):
            end = at + len(form.words)
            if form.kind == "to" and at and said[at:end] == form.words:
                now = any(form.kind == "now" and form.words == said[end:] for form in words.forms.get(said[-1], ()))
                for start in set(_ways(said[:at], words, closing=True)):
                    if now and _is_whole(start):
                        begins = _date(line, start, words)
                        yield begins if begins.date is None else Reading(replace(begins.date, until=".."))
                    for close in set(_ways(said[end:], words, closing=True)):
                        yield from _stretch(line, start, close, words)


def _stretch(line: str, start: _Parts, close: _Parts, words: DateWords) -> Iterator[Reading]:
    one, other = _filled(start, close), _filled(close, start)
    if not (_is_whole(one) and _is_whole(other)) or close.circa:
        return
    if (one.month is None, one.day is None) != (other.month is None, other.day is None):
        return
    if (start.year is None and start.month is None and start.day is None) or (
        close.year is None and close.month is None and close.day is None
    ):
        return
    begins, ends = _date(line, one, words), _date(line, other, words)
    if begins.date is None or ends.date is None:
        yield begins if begins.date is None else ends
    elif begins.date.sort_key < ends.date.sort_key:
        yield Reading(PartialDate(
            value=begins.date.value, confirmed=begins.date.confirmed, circa=begins.date.circa, until=ends.date.value,
        ))


def _filled(parts: _Parts, other: _Parts) -> _Parts:
    """A date's parts with the year, and the month of its day, that only the other end of the stretch says."""
    month = other.month if parts.month is None and parts.day is not None else parts.month
    return parts._replace(
        year=other.year if parts.year is None else parts.year, month=month, named=parts.named or other.named,
        era=parts.era or other.era, short=other.short if parts.year is None else parts.short,
    )
