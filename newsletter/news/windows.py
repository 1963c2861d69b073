"""Which entries only fell off the old end of a page that shows its last few, when as many new ones came in; purely.

    what left a page, what it shows now, how many came ─▶ fallen: they are not gone, the page is a window
"""

from collections.abc import Collection, Mapping

from milepost.dates import PartialDate
from milepost.records import Milestone


def fallen(
    left: Mapping[str, Milestone], shown: Collection[Milestone], *, entered: int, before: Collection[str]
) -> frozenset[str]:
    """The keys in `left` that fell off: those that fell `before`, and now no more than `entered` the page.

    Only what is older than all that the page still shows can have fallen off its end; where dates don't tell that,
    nothing did.
    """
    dates = [record.date for record in shown if record.date is not None]
    if len(dates) < len(shown):
        return frozenset()
    old = {key for key, record in left.items()
           if record.date is not None and all(_earlier(record.date, date) for date in dates)}
    now = old - set(before)
    return frozenset(old if len(now) <= entered else old - now)


def _earlier(one: PartialDate, other: PartialDate) -> bool:
    """Whether it is certain that one was before the other: 2012 is before 2013-01, and not before 2012-09."""
    return one.sort_key < other.sort_key and not one.contains(other)
