"""Decides when an issue is due, which of its items a reader gets, and where each subscriber is placed.

    pending changes, clock ─▶ due ─▶ period        items, readers ─▶ variants        subscriber ─▶ place ─▶ Placement
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from zoneinfo import ZoneInfo

from milepost.dates import SKEW, believed
from milepost.records import NOBODY, Cadence, IssueItem, Placement, Standing, Subscriber, Variant, check_aware
from milepost.settings import WEEKDAYS
from milepost.topics import fits

EVERYTHING = "all"  # the variant that holds every item
_OWED = "owed-"  # begins the period of an instant issue that no news gave its name
_LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
PATIENCE = 4  # quiet windows that what was found first waits at the most, however much goes on landing


def due(
    cadence: Cadence, *, now: dt.datetime, last: str | None, pending: Mapping[int, dt.datetime],
    timezone: str, weekday: str, hour: int, quiet: dt.timedelta = dt.timedelta(0),
    owed: Mapping[int, dt.datetime] = MappingProxyType({}),
) -> str | None:
    """The period to publish now, or None.

    `pending`: change id → when it was detected, of the changes no issue of this cadence has announced. `last`: the
    period of the cadence's newest issue. `weekday` ("monday" …; weekly) and `hour` (0..23) are local to `timezone`.

    `owed`: debt → since when, of what a former choice owes readers of this cadence and an issue of it can pay.

    instant: once nothing new has landed for `quiet` (see quiet_from). The others: once the slot has come for
    something detected at it or before; however many slots were missed, only the newest one is due, so that there is one
    issue. What turns up after its slot, by however little, waits for the next. What is owed waits for a slot as news
    does; that of instant readers goes with the next news, or else at the hour of the day: however many change their
    minds, that is one issue a day.

    What was found at a moment that is yet to come was found by a clock that was ahead: it is due, as if found long ago.
    """
    check_aware(now)
    pending, owed = _found(pending, now), _found(owed, now)
    if not pending and not owed:
        return None
    if cadence == "instant":
        if pending and (period := f"c{min(pending)}") != last:
            return None if now < quiet_from(pending.values(), quiet) else period
        slot = latest_slot("daily", now=now, timezone=timezone, weekday=weekday, hour=hour)
        return f"{_OWED}{_name('daily', slot)}" if owed and min(owed.values()) <= slot else None
    slot = latest_slot(cadence, now=now, timezone=timezone, weekday=weekday, hour=hour)
    if min([*pending.values(), *owed.values()]) > slot:
        return None
    period = _name(cadence, slot)
    return None if last is not None and last >= period else period  # ISO periods sort by time


def latest_period(cadence: Cadence, *, now: dt.datetime, timezone: str) -> str | None:
    """What sorts after every period that an issue of this cadence can have by `now`; None for instant ones.

    A period behind it was named by a clock that was ahead, and keeps no other issue waiting.
    """
    if cadence == "instant":
        return None
    return f"{_name(cadence, (now + SKEW).astimezone(ZoneInfo(timezone)))}~"  # behind "+", of an early one


def _found(moments: Mapping[int, dt.datetime], now: dt.datetime) -> Mapping[int, dt.datetime]:
    return {key: at if believed(at, now) else _LONG_AGO for key, at in moments.items()}


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
    cadence: Cadence, *, now: dt.datetime, pending: Collection[int], timezone: str, weekday: str, hour: int,
    owed: Collection[int] = (),
) -> str:
    """The period of an issue that an operator asks for before it is due; `pending` and `owed` are not both empty.

    It sorts just after the newest slot's own period, so that the next slot still has its turn.
    """
    first = f"c{min(pending)}" if pending else f"{_OWED}{min(owed)}"
    if cadence == "instant":
        return first
    return f"{_name(cadence, latest_slot(cadence, now=now, timezone=timezone, weekday=weekday, hour=hour))}+{first}"


def _name(cadence: Cadence, moment: dt.datetime) -> str:
    """The ISO 8601 name of the day, week or month that a local time falls in."""
    return moment.strftime({"daily": "%Y-%m-%d", "weekly": "%G-W%V", "monthly": "%Y-%m"}[cadence])


def offered(
    items: Sequence[IssueItem], topics: Collection[str], standing: Standing = NOBODY, *,
    owed: Sequence[IssueItem] = (),
) -> tuple[IssueItem, ...]:
    """What an issue offers somebody with these topics (category and tag slugs; none = everything), in order.

    News of its own goes by topic, to whoever was not told it by another cadence. A correction goes to whoever is owed
    it, whatever their topics are today: they were told the mistake. `owed`: what the issue carries of earlier ones of
    its cadence; it goes to those alone whom a former choice owes it.
    """
    def due(item: IssueItem) -> bool:
        if item.role == "correction":
            return item.change_id in standing.wrong
        return item.milestone_id not in standing.told and fits(item.milestone, topics)

    return tuple(filter(due, items)) + tuple(item for item in owed if item.change_id in standing.owed and due(item))


def variants(
    items: Sequence[IssueItem], readers: Iterable[tuple[Collection[str], Standing]], *, owed: Sequence[IssueItem] = (),
) -> dict[str, tuple[IssueItem, ...]]:
    """Variant name → its items, for all readers' topics and how they stand; "all" is always among them, and first.

    Where corrections are owed there is a variant without them too, for those who turn out not to be.
    """
    named = {EVERYTHING: tuple(items or owed)}
    wanted = {(frozenset(topics), standing) for topics, standing in readers}
    for topics, standing in wanted | {(topics, NOBODY) for topics, _ in wanted}:
        chosen = offered(items, topics, standing, owed=owed)
        if chosen:
            named.setdefault(variant_name(items or owed, chosen), chosen)
    return {EVERYTHING: named.pop(EVERYTHING)} | dict(sorted(named.items()))


def variant_name(items: Sequence[IssueItem], chosen: Sequence[IssueItem]) -> str:
    """ "all" when everything was chosen, else a short hash of what was: equal choices share one rendering."""
    numbers = sorted(item.change_id for item in chosen)
    if numbers == sorted(item.change_id for item in items):
        return EVERYTHING
    return hashlib.sha256(",".join(map(str, numbers)).encode("ascii")).hexdigest()[:12]


def in_tongue(name: str, language: str) -> str:
    """The name of a variant's rendering in a language, "all.de"; "" is the newsletter's own."""
    return f"{name}.{language}" if language else name


def place(
    subscriber: Subscriber, suppressed: bool, *, cadence: Cadence, items: Sequence[IssueItem],
    rendered: Collection[str], drafted_at: dt.datetime, standing: Standing = NOBODY, owed: Sequence[IssueItem] = (),
    render: Callable[[str, Sequence[IssueItem]], Variant | None] = lambda _name, _chosen: None,
    now: dt.datetime | None = None, zone: dt.tzinfo = dt.UTC, language: str = "",
) -> Placement:
    """Where freezing an issue puts one candidate.

    `items`: the issue's; `owed`: what it carries of earlier ones; `rendered`: the names of its variants; `drafted_at`:
    when those were made: who signed up later is "joined_later". `render` makes a variant that the draft did not
    foresee, None where it can't: the reader gets one that tells less then, and what is missing stays owed; without any
    that fits they are "owed" all of it. `now` and `zone`: whoever pauses then is left out until a day of that zone;
    they are owed what it offers them, or, as they chose, it counts as told. `language`: the reader's, "" where it is
    the newsletter's.
    """
    reason = _exclusion(subscriber, suppressed, cadence, late=joined_later(subscriber, drafted_at, now))
    if reason is not None:
        return Placement(exclusion=reason)
    chosen = offered(items, subscriber.topics, standing, owed=owed)
    if now is not None and subscriber.paused_until is not None and subscriber.paused(now):
        return _paused(subscriber, subscriber.paused_until.astimezone(zone), items, chosen, standing)
    held = {item.change_id for item in (*items, *owed)}
    over = frozenset(
        item.change_id for item in (*items, *owed)
        if item.role == "news" and item.milestone_id in standing.told and item.change_id in standing.owed
    )
    for some in _less_and_less(chosen, {item.change_id for item in items}):
        name = in_tongue(variant_name(items or owed, some), language)
        made = None if name in rendered else render(name, some)
        if name in rendered or made is not None:
            told = frozenset(item.change_id for item in some)
            missed = frozenset(item.change_id for item in chosen) - told - standing.owed
            return Placement(
                variant=name, rendering=made, told=standing.owed & told | over, passed=standing.passed, owes=missed,
            )
    missed = frozenset(item.change_id for item in chosen)
    if missed or standing.owed - held:
        reason = "owed"
    elif any(fits(item.milestone, subscriber.topics) for item in items if item.role == "news") or not items:
        reason = "nothing_new"
    else:
        reason = "no_match"
    return Placement(exclusion=reason, told=over, passed=standing.passed, owes=missed - standing.owed)


def _paused(
    subscriber: Subscriber, until: dt.datetime, items: Sequence[IssueItem], chosen: Sequence[IssueItem],
    standing: Standing,
) -> Placement:
    """What an issue means to somebody who pauses; what was owed them before the pause stays so."""
    reason = f"paused until {until:%Y-%m-%d}"
    own = {item.change_id for item in items}
    missed = frozenset(item.change_id for item in chosen if item.change_id in own)
    if subscriber.pause_skips:
        return Placement(exclusion=reason, waived=missed - standing.owed, passed=missed & standing.owed)
    return Placement(exclusion=reason, owes=missed - standing.owed)


def _less_and_less(chosen: tuple[IssueItem, ...], own: Collection[int]) -> Iterator[tuple[IssueItem, ...]]:
    """What to try to tell a reader: all that they are offered, then without what is owed, then the news alone."""
    news = tuple(item for item in chosen if item.change_id in own)
    alone = tuple(item for item in news if item.role == "news")
    for before, some in pairwise(((), chosen, news, alone)):
        if some and some != before:
            yield some


def joined_later(subscriber: Subscriber, drafted_at: dt.datetime, now: dt.datetime | None) -> bool:
    """Whether somebody signed up after an issue was drafted; a clock that was ahead keeps nobody waiting for it."""
    return drafted_at < subscriber.created_at and (now is None or believed(subscriber.created_at, now))


def _exclusion(subscriber: Subscriber, suppressed: bool, cadence: Cadence, *, late: bool) -> str | None:
    if suppressed:
        return "suppressed"
    if subscriber.state != "active":
        return subscriber.state  # "pending" | "unsubscribed"
    if subscriber.cadence != cadence:
        return "other_cadence"
    return "joined_later" if late else None
