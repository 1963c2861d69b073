"""Which pages a look need not ask for, as their sitemap says that they are as they were; and when that was not true.

    a page and its <lastmod> ─▶ had before with the very same, long enough after it? ─ yes ─▶ not asked, counted
                                no; or the page waits for something; or its time has come ─▶ asked
    asked all the same, and it had changed ─▶ nothing of that source is believed any more, until an operator begins anew
"""

import datetime as dt
import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import pairwise

from crawler.lastmod import latest
from milepost.printable import counted, printable
from milepost.records import Change
from milepost.settings import TRUST, SourceSettings
from store.archive import lastmods
from store.archive.lastmods import Ended
from store.archive.pages import Pages
from store.archive.snapshots import Snapshots
from store.database import Database
from store.milestones.looks import Look

# A page that was had sooner after its lastmod may have changed again since, or a copy of it was still the old one.
SETTLED = dt.timedelta(days=1)
_SPREAD = 0.5  # the soonest that a page is asked for all the same, as a share of `revisit_days`
_FULL = 1 << 64


class TrustedLastmods:
    """Of one look at one source."""

    def __init__(
        self, settings: SourceSettings, database: Database, look: Look, *, full: bool, alternating: Iterable[str]
    ) -> None:
        """`full`: every page is asked for. `alternating`: the pages of what is counted look by look."""
        self._database, self._look = database, look
        self.trusts = settings.lastmod == TRUST
        before = lastmods.noted(database, look.source)
        if before is not None and not self.trusts:  # the way to begin anew
            lastmods.note(database, look.source, None)
            before = None
        self._before = before or lastmods.Lastmods()
        self._every = full or self._before.ended is not None
        self._revisit = dt.timedelta(days=settings.revisit_days)
        self._due = self._due_pages(alternating) if self.trusts and self._before.pairs and not self._every else set()
        self._named = self._unreadable = 0
        self._example = ""
        # Of what may be believed later: a page's own number and that of it with its lastmod.
        self._pages, self._pairs = array("Q"), array("Q")
        self._asked = array("Q")  # pages asked for all the same

    def _due_pages(self, alternating: Iterable[str]) -> set[str]:
        """What is asked for whatever its lastmod says: each page within `revisit_days`, at a time of its own, so that
        not all of them come at once."""
        now, due = self._look.started_at, set(alternating)
        pages = Pages(self._database)
        for url, seen_at in pages.seen_before(self._look.source, now - self._revisit * _SPREAD):
            if now - seen_at >= self._revisit * (_SPREAD + (1 - _SPREAD) * _mark(url) / _FULL):
                due.add(url)
        return due | pages.unsettled(self._look.source)

    def unchanged(self, url: str, lastmod: str) -> bool:
        """Whether the page need not be asked for, as its sitemap names this `lastmod` ("": none, or several)."""
        if not lastmod:
            return False
        self._named += 1
        moment = latest(lastmod)
        if moment is None:
            self._unreadable += 1
            self._example = self._example or lastmod[:40]
            return False
        page, pair = _mark(url), _mark(f"{url}\n{lastmod}")
        if moment + SETTLED <= self._look.started_at:
            self._pages.append(page)
            self._pairs.append(pair)
        if not _has(self._before.pairs, pair):
            return False
        if self._every or url in self._due:
            self._asked.append(page)
            return False
        return True

    def untrue(self, changes: Iterable[Change], page_of: Callable[[str], str]) -> str | None:
        """The first page that was asked for all the same and had changed, though its lastmod had not; `page_of`: key →
        address. What only reads otherwise from the same bytes is the reader's doing."""
        if self._before.ended is not None or not self._asked:
            return None
        asked = set(self._asked)
        for change in changes:
            if change.kind in ("cosmetic", "withdrawn"):
                continue
            url = page_of(change.key)
            if _mark(url) in asked and self._has_other_bytes(url):
                return url
        return None

    def _has_other_bytes(self, url: str) -> bool:
        snapshots = Snapshots(self._database)
        last = [number for number, _, status in snapshots.history(self._look.source, url) if status == 200][-2:]
        return any(snapshots.get(one).body_hash != snapshots.get(two).body_hash for one, two in pairwise(last))

    def settle(self, untrue: str | None, not_asked: int) -> tuple[str, ...]:
        """Note with which lastmod each page stands by now; returns sentences of what nobody has to decide. `untrue`:
        a page that had changed though its lastmod had not."""
        if not self.trusts:
            return ()
        ended = self._before.ended or (None if untrue is None else Ended(url=untrue, look=self._look.id))
        now = lastmods.Lastmods(pairs=array("Q") if ended else self._standing(), ended=ended)
        if now != self._before:
            lastmods.note(self._database, self._look.source, now)
            self._before = now
        said = [f"{counted(not_asked, 'page')} not asked for: their lastmod is unchanged"] if not_asked else []
        if self._unreadable:
            said.append(f"{counted(self._unreadable, 'lastmod')} of the sitemap can't be read, the first: "
                        f"{printable(self._example)}; those pages are asked for")
        return tuple(said)

    def _standing(self) -> "array[int]":
        """The pairs of pages that answered in this look, and of those that it did not ask for."""
        answered = set(map(_mark, Pages(self._database).seen_since(self._look.source, self._look.started_at)))
        return array("Q", sorted({
            pair for page, pair in zip(self._pages, self._pairs, strict=True)
            if page in answered or (_has(self._before.pairs, pair) and not self._every)
        }))

    def ended(self) -> tuple[str, ...]:
        """A sentence where the setting is not followed any more."""
        if (ended := self._before.ended) is None:
            return ()
        said = (f'the setting lastmod = "{TRUST}" is not followed: look {ended.look} found that {printable(ended.url)} '
                "had changed though its lastmod had not. Every page is asked for; to begin anew, take the setting out "
                "for one look")
        return (said,)

    def wanting(self) -> tuple[str, ...]:
        """A sentence where the setting leads to nothing, by a look that read every sitemap."""
        if self.trusts and self._before.ended is None and self._named == self._unreadable:
            why = "none of them can be read" if self._named else "no sitemap of its pages names one"
            return (f'the setting lastmod = "{TRUST}" leads to nothing: {why}',)
        return ()


def _mark(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _has(pairs: "array[int]", pair: int) -> bool:
    at = bisect_left(pairs, pair)
    return at < len(pairs) and pairs[at] == pair
