"""Reads when a sitemap says that a page was last changed (sitemaps.org: <lastmod>, a W3C date); pure.

    2031 · 2031-03 · 2031-03-04 · 2031-03-04T05:06Z · 2031-03-04T05:06:07.8+09:00 ─▶ the last moment that it may mean
"""

import calendar
import datetime as dt
import re

# https://www.w3.org/TR/NOTE-datetime: a time of day has its zone, or it is none; a date may be any zone's.
_WRITTEN = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,9})?)?(Z|[+-]\d\d:\d\d))?)?)?", re.ASCII)
_WESTMOST = dt.timedelta(hours=12)  # the zone in which a day ends last
# No page is older than the web: 0001-01-01 and 1970-01-01 are what programs write for a date that they don't know.
_FIRST_YEAR = 1990


def latest(written: str) -> dt.datetime | None:
    """The last moment (UTC) that it may mean: a date alone means any of its moments.

    None for what is no W3C date, or is older than the web.
    """
    found = _WRITTEN.fullmatch(written)
    if found is None or int(found[1]) < _FIRST_YEAR:
        return None
    year, month, day, hour, minute, second, zone = found.groups()
    try:
        if hour is None:
            last = int(day) if day else calendar.monthrange(int(year), int(month or 12))[1]
            start = dt.datetime(int(year), int(month or 12), last, tzinfo=dt.UTC)
            return start + dt.timedelta(days=1) + _WESTMOST
        moment = dt.datetime.fromisoformat(f"{year}-{month}-{day}T{hour}:{minute}:{second or '59'}{zone}")
        return moment.astimezone(dt.UTC) + dt.timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None
