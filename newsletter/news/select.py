"""Decides when an issue is due, which of its items a reader gets, and where each subscriber is placed.

    pending changes, clock ─▶ due ─▶ period        items, readers ─▶ variants        subscriber ─▶ place ─▶ Placement
"""

import datetime as dt
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from zoneinfo import ZoneInfo

from milepost.records import Cadence, IssueItem, Placement, Subscriber, check_aware
from milepost.settings import WEEKDAYS

EVERYTHING = "all"  # the variant that holds every item
PATIENCE = 4  # quiet windows that what was found first waits at the most, however much goes on landing


def due(
    cadence: Cadence, *, now: dt.datetime, last: str | None, pending: Mapping[int, dt.datetime],
    timezone: str, weekday: str, hour: int, quiet: dt.timedelta = dt.timedelta(0),
) -> str | None:
    """The period to publish now, or None.

    `pending`: change id → when it was detected, of the changes no issue of this cadence has announced. `last`: the
    period of the cadence's newest issue. `weekday` ("monday" …; weekly) and `hour` (0..23) are local to `timezone`.

    instant: once nothing new has landed for `quiet` (see quiet_from). The others: once the slot has come for
    something detected at it or before; however many slots were missed, only the newest one is due, so that there is one
    issue. What turns up after its slot, by however little, waits for the next.
    """
    check_aware(now)
    if not pending:
        return None
    if cadence == "instant":
        period = f"c{min(pending)}"
        return None if period == last or now < quiet_from(pending.values(), quiet) else period
    slot = latest_slot(cadence, now=now, timezone=timezone, weekday=weekday, hour=hour)
    if min(pending.values()) > slot:
        return None
    period = _name(cadence, slot)
    return None if last is not None and last >= period else period  # ISO periods sort by time


def quiet_from(found: Iterable[dt.datetime], quiet: dt.timedelta) -> dt.datetime:
    """When an instant issue of what was found at these moments (at least one) may be made.

    What lands together is told together: `quiet` after the last of them, and no later than PATIENCE times that after
    the first, so that a trickle ends too.
    """
    moments = sorted(moment.astimezone(dt.UTC) for moment in found)
    return min(moments[-1] + quiet, moments[0] + PATIENCE * quiet)


def latest_slot(cadence: Cadence, *, now: dt.datetime, timezone: str, weekday: str, hour: int) -> dt.datetime:
    """The newest publishing time of daily, weekly or monthly (the 1st) that is not after `now`, in `timezone`.

    An hour that the clocks skip in spring is published at just after the gap; one that comes twice, at its first.
    """
    zone = ZoneInfo(timezone)
    today = now.astimezone(zone).date()
    slot = _slot(cadence, today, zone, weekday, hour)
    if slot.astimezone(dt.UTC) <= now.astimezone(dt.UTC):  # instants: two local times of one zone compare by the wall
        return slot
    back = {"daily": dt.timedelta(days=1), "weekly": dt.timedelta(days=7), "monthly": dt.timedelta(days=today.day)}
    return _slot(cadence, today - back[cadence], zone, weekday, hour)


def _slot(cadence: Cadence, day: dt.date, zone: ZoneInfo, weekday: str, hour: int) -> dt.datetime:
    """The slot of the day's, the week's (ISO, from Monday) or the month's period."""
    if cadence == "weekly":
        day += dt.timedelta(days=WEEKDAYS.index(weekday) - day.weekday())
    elif cadence == "monthly":
        day = day.replace(day=1)
    return dt.datetime.combine(day, dt.time(hour), tzinfo=zone)


def early_period(
    cadence: Cadence, *, now: dt.datetime, pending: Collection[int], timezone: str, weekday: str, hour: int
) -> str:
    """The period of an issue that an operator asks for before it is due.

    It sorts just after the newest slot's own period, so that the next slot still has its turn.
    """
    first = f"c{min(pending)}"
    if cadence == "instant":
        return first
    return f"{_name(cadence, latest_slot(cadence, now=now, timezone=timezone, weekday=weekday, hour=hour))}+{first}"


def _name(cadence: Cadence, moment: dt.datetime) -> str:
    """The ISO 8601 name of the day, week or month that a local time falls in."""
    return moment.strftime({"daily": "%Y-%m-%d", "weekly": "%G-W%V", "monthly": "%Y-%m"}[cadence])


def matching(
    items: Sequence[IssueItem], topics: Collection[str], owed: Collection[int] = ()
) -> tuple[IssueItem, ...]:
    """The items for somebody with these topics (category and tag slugs; none = everything), in order.

    News goes by topic. A correction goes to whoever is owed it (by its change id), whatever their topics are today:
    they were told the mistake.
    """
    wanted = {topic.casefold() for topic in topics}
    return tuple(
        item for item in items
        if (item.change_id in owed if item.role == "correction" else not wanted or wanted & _topics(item))
    )


def variants(
    items: Sequence[IssueItem], readers: Iterable[tuple[Collection[str], Collection[int]]]
) -> dict[str, tuple[IssueItem, ...]]:
    """Variant name → its items, for all readers' topics and corrections owed; "all" is always among them, and first.

    Where corrections are owed there is a variant without them too, for those who turn out not to be.
    """
    named = {EVERYTHING: tuple(items)}
    wanted = {(frozenset(topics), frozenset(owed)) for topics, owed in readers}
    for topics, owed in wanted | {(topics, frozenset()) for topics, _ in wanted}:
        chosen = matching(items, topics, owed)
        if chosen:
            named.setdefault(variant_name(items, chosen), chosen)
    return {EVERYTHING: named.pop(EVERYTHING)} | dict(sorted(named.items()))


def variant_name(items: Sequence[IssueItem], chosen: Sequence[IssueItem]) -> str:
    """ "all" when everything was chosen, else a short hash of what was: equal choices share one rendering."""
    if len(chosen) == len(items):
        return EVERYTHING
    ids = ",".join(str(number) for number in sorted(item.change_id for item in chosen))
    return hashlib.sha256(ids.encode("ascii")).hexdigest()[:12]


def place(
    subscriber: Subscriber, suppressed: bool, *, cadence: Cadence, items: Sequence[IssueItem],
    rendered: Collection[str], drafted_at: dt.datetime, owed: Collection[int] = (),
) -> Placement:
    """Where freezing an issue puts one candidate.

    `items`: the issue's; `rendered`: the names of its variants; `drafted_at`: when those were made. Who signed up, or
    chose topics that need another variant, later than that is "joined_later". `owed`: the corrections among the items,
    by change id, that are to be told to this subscriber; without a variant for just these, the news goes out alone.
    """
    reason = _exclusion(subscriber, suppressed, cadence, drafted_at)
    if reason is not None:
        return Placement(exclusion=reason)
    choices = [matching(items, subscriber.topics, owed), matching(items, subscriber.topics)]
    names = [variant_name(items, chosen) for chosen in choices if chosen]
    if not names:
        return Placement(exclusion="no_match")
    name = next((name for name in names if name in rendered), None)
    return Placement(exclusion="joined_later") if name is None else Placement(variant=name)


def _exclusion(subscriber: Subscriber, suppressed: bool, cadence: Cadence, drafted_at: dt.datetime) -> str | None:
    if suppressed:
        return "suppressed"
    if subscriber.state != "active":
        return subscriber.state  # "pending" | "unsubscribed"
    if subscriber.cadence != cadence:
        return "other_cadence"
    return "joined_later" if subscriber.created_at > drafted_at else None


def _topics(item: IssueItem) -> set[str]:
    milestone = item.milestone
    return {topic.casefold() for topic in (milestone.category, *milestone.tags) if topic}
