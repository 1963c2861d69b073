"""Reasons for a look to wait for an operator: numbers that a broken site brings about sooner than the world does.

    what a look counted ─▶ GUARDS, one after the other ─▶ the first Hold, or None
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

_UNREAD_SHARE = 0.1  # of all entries: a source of which we miss so much is not watched

Guard = Literal["drift", "incomplete", "shrunken", "unread", "removal", "surge"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """Why a look's changes wait."""

    guard: Guard
    reason: str  # one sentence


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """What a look counted, and what it is measured by."""

    known: int  # milestones that were present before it
    added: int = 0
    telling: int = 0  # changes that could reach an issue
    missing: int = 0  # known ones that are gone and listed nowhere, and that no operator let go
    listed: int | None = None  # milestones that the listings named; None where they could not all be read
    listed_before: int | None = None
    asked: int = 0  # pages
    failed: int = 0  # of those
    astray: int = 0  # of those: they redirect to what is no milestone's page, or several to one
    astray_to: str = ""  # where most of them lead
    let_go: int = 0  # of the pages that failed or lead astray: an operator released a look that missed them too
    broken: str | None = None  # why the listings could not all be read
    drifted: str | None = None  # why what was read should not be trusted
    unsure: int = 0  # new keys on a page as it was last read …
    left: int = 0  # … beside known ones that nobody reads there any more
    unread: int = 0  # what looks like a milestone, could not be read, and no operator let pass
    entries: int = 0  # those, and all that are on record
    unread_newest: str | None = None  # the words of one of them that stands where the newest does
    newest_read: str = ""  # a title
    minimum: int = 10  # so many new ones are never too many …
    fewest: int = 3  # … nor are so many that are gone …
    share: float = 0.2  # … nor is this part of what was known
    max_failed_share: float = 0.2


def hold(counted: Counted) -> Hold | None:
    """The first guard that stops a look, in the order of GUARDS; None when it may go on."""
    for guard, reason_of in GUARDS:
        reason = reason_of(counted)
        if reason is not None:
            return Hold(guard=guard, reason=reason)
    return None


def surge(added: int, known: int, *, minimum: int, share: float) -> str | None:
    """Why `added` new milestones beside `known` ones are too many to announce unseen, in one sentence; None if not.

    Too many is more than `minimum`, and more than `share` (0..1) of the known ones.
    """
    if not _too_many(added, known, minimum, share):
        return None
    beside = f"beside {known} known ones" if known else "where none were known"
    return f"{added} new milestones at once {beside}: more than {_limit(minimum, share)}"


def read_otherwise(counted: Counted) -> str | None:
    """Why new keys on a page that is as it was are not announced unseen; None where there are none."""
    if not counted.unsure:
        return None
    return (f"{counted.unsure} new milestones stood on their page when it was last read, and {counted.left} known ones "
            "are read there no more: has the source another extractor, or other options? Put them back, or release it")


def removal(missing: int, known: int, *, minimum: int, share: float) -> str | None:
    """Why `missing` of `known` milestones are too many to take for withdrawn; None if they are not."""
    if not _too_many(missing, known, minimum, share):
        return None
    return f"{missing} of {known} milestones are gone at once: more than {_limit(minimum, share)}; none is withdrawn"


def shrunken(listed: int | None, before: int | None, *, minimum: int, share: float) -> str | None:
    """Why listings that name `listed` milestones, and named `before`, should not be believed; None if they should."""
    if listed is None or before is None or not _too_many(before - listed, before, minimum, share):
        return None
    fewer = f"{before - listed} fewer than before"
    return f"sitemap and listings name {listed} milestones, {fewer}: more than {_limit(minimum, share)}"


def incomplete(counted: Counted) -> str | None:
    """Why a look that did not see all should not be acted on; None if it saw enough, or has nothing to tell."""
    share = (counted.failed + counted.astray - counted.let_go) / max(counted.asked, 1)
    allowed = counted.max_failed_share
    before = f" beside {counted.let_go} that were let go" if counted.let_go else ""
    if share > allowed and counted.astray:
        also = f", {counted.failed} failed" if counted.failed else ""
        return (
            f"{counted.astray} pages redirect to {counted.astray_to}{also}, {share:.0%} of those asked for{before}: "
            f"more than {allowed:.0%}"
        )
    if share > allowed:
        return f"{counted.failed} pages failed, {share:.0%} of those asked for{before}: more than {allowed:.0%}"
    if counted.broken is not None and counted.telling:
        return f"the look is incomplete, so what it found waits for a complete one: {counted.broken}"
    return None


def unread(counted: Counted) -> str | None:
    """Why a look that saw milestones and could not read them should not be acted on; None if they don't matter.

    They do where the newest seems to be among them, and where they are a tenth of all.
    """
    if counted.unread_newest is None and counted.unread < _UNREAD_SHARE * counted.entries:
        return None
    if not counted.unread:
        return None
    among = "" if counted.unread_newest is None else f", among them “{counted.unread_newest}” where the newest stands"
    newest = f"the newest read is {counted.newest_read}" if counted.newest_read else "none was read"
    return f"{counted.unread} of {counted.entries} entries could not be read{among}; {newest}"


def _too_many(count: int, of: int, minimum: int, share: float) -> bool:
    return count > max(minimum, share * of)


def _limit(minimum: int, share: float) -> str:
    return f"{minimum}, and more than {share:.0%}"


# The first that has a reason gives it: what can't be trusted comes before what is merely much.
GUARDS: tuple[tuple[Guard, Callable[[Counted], str | None]], ...] = (
    ("drift", lambda c: c.drifted),
    ("incomplete", incomplete),
    ("shrunken", lambda c: shrunken(c.listed, c.listed_before, minimum=c.fewest, share=c.share)),
    ("unread", unread),
    ("removal", lambda c: removal(c.missing, c.known, minimum=c.fewest, share=c.share)),
    ("surge", read_otherwise),
    ("surge", lambda c: surge(c.added, c.known, minimum=c.minimum, share=c.share)),
)
