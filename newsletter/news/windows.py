"""Which entries only fell off the old end of a page that shows its last few, when as many new ones came in; purely.

    what left a page, what stayed, what came ─▶ fallen: they are not gone, the page is a window
"""

from collections.abc import Collection, Mapping

from milepost.dates import PartialDate
from milepost.records import Milestone


def fallen(
    left: Mapping[str, Milestone], stayed: Collection[Milestone], came: Collection[Milestone], *,
    before: Collection[str],
) -> frozenset[str]:
    """The keys in `left` that fell off: those that fell `before`, and now no more than `came`.

    Only what is older than all that came, and no newer than what `stayed`, can have fallen off the page's end; where
    dates don't tell that, nothing did.
    """
    kept, new = ([record.date for record in shown if record.date is not None] for shown in (stayed, came))
    if len(kept) + len(new) < len(stayed) + len(came):
        return frozenset()
    old = {
        key for key, record in left.items() if record.date is not None
        and all(_earlier(record.date, date) for date in new)
        and all(_earlier(record.date, date) or record.date.value == date.value for date in kept)
    }
    now = old - set(before)
    return frozenset(old if len(now) <= len(came) else old - now)


def _earlier(one: PartialDate, other: PartialDate) -> bool:
    """Whether it is certain that one was before the other: 2012 is before 2013-01, and not before 2012-09."""
    return one.sort_key < other.sort_key and not one.contains(other)
