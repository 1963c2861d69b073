"""Decides what operators are told: each thing once, once a day while it lasts, and when it is over; purely.

    (what is so now, what was told, now) ─▶ what is known from now on, and one message, or none

A storm is one message with its first lines; what comes and goes within the hour is the same thing still.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.operate.conditions import Condition
from store.operators.notices import Notice

SETTLE = dt.timedelta(hours=1)  # so long it must be gone to be over
MOST_LINES = 10  # of each part of a message


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """A message."""

    title: str
    body: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Telling:
    """What was decided."""

    known: tuple[Notice, ...]
    news: Words | None = None  # for who was told all that went before
    whole: Words | None = None  # for who was not: all that stands


def decide(
    conditions: Sequence[Condition], known: Sequence[Notice], *, now: dt.datetime, name: str,
    last_message: dt.datetime | None, every: dt.timedelta, remind: dt.timedelta,
) -> Telling:
    """`name`: the newsletter's, so that somebody with several knows which one speaks. `every`: the least time between
    two messages, `remind`: how often what lasts is told again."""
    before = {one.key: one for one in known}
    now_so = {one.key: one for one in conditions}
    standing = [_known(one, before.get(key), now) for key, one in now_so.items()]
    gone = [replace(one, gone_at=one.gone_at or now) for key, one in before.items() if key not in now_so]
    gone = [one for one in gone if one.told_at is not None]  # it came and went before anybody was told
    over = [one for one in gone if one.gone_at is not None and not one.gone_at <= now < one.gone_at + SETTLE]
    wait = last_message is not None and dt.timedelta(0) <= now - last_message < every  # later: the clock was ahead
    fresh = [one for one in standing if one.told_at is None]
    due = [one for one in standing if one.told_at is not None and not one.told_at <= now < one.told_at + remind]
    if wait or not (fresh or due or over):
        return Telling(known=(*standing, *gone))
    told = fresh if not due else standing  # a reminder reminds of all that lasts: one message a day, not one each
    marked = {one.key for one in told}
    lasting = [one for one in told if one not in fresh]
    return Telling(
        known=(
            *(replace(one, told_at=now) if one.key in marked else one for one in standing),
            *(one for one in gone if one not in over),
        ),
        news=_words(name, now_so, fresh, lasting, over, others=len(standing) - len(told)),
        whole=_words(name, now_so, fresh, [one for one in standing if one not in fresh], over, others=0),
    )


def _known(condition: Condition, before: Notice | None, now: dt.datetime) -> Notice:
    if before is None:
        return Notice(key=condition.key, says=condition.says, since=condition.since or now)
    return replace(before, says=condition.says, gone_at=None)


def _words(
    name: str, now_so: dict[str, Condition], fresh: Sequence[Notice], lasting: Sequence[Notice],
    over: Sequence[Notice], *, others: int,
) -> Words:
    open_ = [*fresh, *lasting]
    if len(open_) == 1 and not over:
        title = open_[0].says
    elif not open_:
        title = f"over: {over[0].says}" if len(over) == 1 else f"{len(over)} things are over"
    else:
        title = f"{len(open_) + others} things want you"
    parts = [
        _part("New", fresh, now_so), _part("Still so", lasting, now_so), _part("Over", over, {}),
        [f"{others} more {'is' if others == 1 else 'are'} still so."] if others else [],
        ["`milepost status` shows all of it, docs/operations/alarms.md what each means."],
    ]
    return Words(title=f"{name}: {title}"[:200], body="\n\n".join("\n".join(part) for part in parts if part))


def _part(heading: str, notices: Sequence[Notice], now_so: dict[str, Condition]) -> list[str]:
    if not notices:
        return []
    lines = [
        f"- {one.says}. {now_so[one.key].do}" if one.key in now_so else f"- {one.says}" for one in notices[:MOST_LINES]
    ]
    more = len(notices) - MOST_LINES
    return [f"{heading}:", *lines, *([f"- … and {more} more"] if more > 0 else [])]
