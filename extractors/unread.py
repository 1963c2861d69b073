"""What looks like a milestone on a page and could not be read, and whether it stands where the newest one does; purely.

    the page's milestones in its order, read (by their dates) or not ─▶ placed ─▶ Unread
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from lxml.etree import _Element as Element

from extractors.clean import clean
from milepost.dates import PartialDate
from milepost.printable import printable
from milepost.records import Unread, UnreadKind

_SAYS_CAP = 120  # characters
_IN_ORDER = 0.8  # of the neighbours whose dates differ: a page whose dates go up and down has no newest end

Read = PartialDate | None  # one that was read: its date


def unread(kind: UnreadKind, says: str, why: str, *, key: str | None = None) -> Unread:
    """One of them, its words made fit to be shown."""
    return Unread(kind=kind, says=printable(clean(says, _SAYS_CAP)), why=printable(clean(why, _SAYS_CAP)), key=key)


def placed(found: Sequence[Unread | Read], *, newest_first: bool | None = True) -> tuple[Unread, ...]:
    """Those of a page that could not be read, in its order, each with whether it stands where the newest one does.

    `found`: all of the page's in its order. `newest_first`: what holds where no dates tell; None: nothing does.
    """
    dates = [one for one in found if isinstance(one, PartialDate)]
    newest_first = _order([date.sort_key for date in dates], newest_first)
    beyond = max(dates, key=lambda date: date.sort_key).value if dates else None
    read = [at for at, one in enumerate(found) if not isinstance(one, Unread)]
    first, last = (read[0], read[-1]) if read else (len(found), -1)
    return tuple(
        replace(one, beyond=beyond, newest=newest_first is not None and (at < first if newest_first else at > last))
        for at, one in enumerate(found) if isinstance(one, Unread)
    )


def shape(element: Element) -> tuple[str, str, object]:
    """What the entries of one list have in common: what they are, and whose children.

    A <div> or <section> is anything: one without a class is like no other.
    """
    names, parent = element.get("class") or "", element.getparent()
    if element.tag in ("div", "section") and not names:
        return str(element.tag), "", element
    if not names or parent is None:
        return str(element.tag), names, parent
    return str(element.tag), names, (parent.tag, parent.get("class") or "")


def _order(keys: Sequence[tuple[int, int, int]], otherwise: bool | None) -> bool | None:
    """Whether the newest come first; None where dates go up and down."""
    steps = [one > other for one, other in pairwise(keys) if one != other]
    if not steps:
        return otherwise
    down = sum(steps) / len(steps)
    return True if down >= _IN_ORDER else False if down <= 1 - _IN_ORDER else None
