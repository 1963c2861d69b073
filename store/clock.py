"""Moments that a clock wrote which was ahead: nothing waits, and nothing counts, for longer than it was ever meant to.

A machine that starts with a wrong clock, or a hand that sets one, writes moments of next year. When it is right again,
they are no reason to be silent until then.
"""

import datetime as dt

import sqlalchemy as sa

from milepost.dates import SKEW


def ahead(
    column: sa.ColumnElement[dt.datetime], now: dt.datetime, longest: dt.timedelta = dt.timedelta(0)
) -> sa.ColumnElement[bool]:
    """Whether no right clock can have written it: `milepost.dates.believed`, asked of a database."""
    return column > now + longest + SKEW


def due(column: sa.ColumnElement[dt.datetime], now: dt.datetime, longest: dt.timedelta) -> sa.ColumnElement[bool]:
    """Whether its moment has come, where nothing is ever put off for longer than `longest`."""
    return sa.or_(column <= now, ahead(column, now, longest))


def within(column: sa.ColumnElement[dt.datetime], now: dt.datetime, window: dt.timedelta) -> sa.ColumnElement[bool]:
    """Whether it was in the last `window`; what is yet to come was not."""
    return sa.and_(column > now - window, column <= now + SKEW)
