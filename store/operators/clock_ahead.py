"""Moments that only a clock can have written which was ahead: counted by what would have waited for them.

    the few tables with moments that something waits for ─▶ counts ─ note ─▶ kept for a day, so that somebody is told

Nothing does wait for them (store.clock): what they were of is due, or looked at as if it were long ago.
"""

import contextlib
import datetime as dt
import json
import logging
from collections.abc import Mapping

import sqlalchemy as sa

from milepost.dates import believed
from milepost.errors import StoreError
from store.clock import ahead
from store.engine import Database
from store.ledger import letters
from store.ledger.transitions import LONGEST_DEFERRAL, in_state
from store.meta import Meta
from store.operators import notices, webhooks
from store.schema.tables import (
    address_change,
    delivery,
    letter,
    look,
    notice,
    notice_message,
    sign_up,
    webhook_message,
)

log = logging.getLogger("milepost.clock")

KEPT = dt.timedelta(days=1)
WINDOWS = "windows of approvals"  # counted by who ends them
_KEY = "clock_ahead"
_LAST_LOOKS = sa.select(sa.func.max(look.c.id)).where(look.c.state != "running").group_by(look.c.source)
_NEVER = dt.timedelta(0)
# what → its moment, which rows, and for how long it is ever put off
_MOMENTS: Mapping[str, tuple[sa.Column[dt.datetime], sa.ColumnElement[bool], dt.timedelta]] = {
    "deferred mails": (delivery.c.next_attempt_at, in_state("deferred"), LONGEST_DEFERRAL),
    "letters": (letter.c.next_attempt_at, letter.c.state == "queued", letters.LONGEST_WAIT),
    "notices": (notice_message.c.next_attempt_at, notice_message.c.state == "queued", notices.LONGEST_WAIT),
    "reminders": (notice.c.told_at, sa.true(), _NEVER),
    "webhooks": (webhook_message.c.next_attempt_at, webhook_message.c.state == "queued", webhooks.LONGEST_WAIT),
    "looks": (look.c.finished_at, look.c.id.in_(_LAST_LOOKS), _NEVER),
    "sign-ups": (sign_up.c.asked_at, sa.true(), _NEVER),
    "changes of address": (address_change.c.asked_at, sa.true(), _NEVER),
}


def watch(database: Database, now: dt.datetime) -> None:
    """Count what lies further ahead than anything is ever put off, and keep it; raises StoreError."""
    with database.questions() as connection:
        row = connection.execute(sa.select(*(
            sa.select(sa.func.count()).where(which, ahead(moment, now, longest)).scalar_subquery()
            for moment, which, longest in _MOMENTS.values()
        ))).one()
    note(database, now, dict(zip(_MOMENTS, row, strict=True)))


def note(database: Database, now: dt.datetime, counted: Mapping[str, int]) -> None:
    """Keep what was counted, 0 too; what is more than before is said, and told for a day. Raises StoreError."""
    at, known, told = _kept(database)
    found = {what: how_many for what, how_many in {**known, **counted}.items() if how_many}
    if found == known:
        return
    new = {what: how_many for what, how_many in counted.items() if how_many > known.get(what, 0)}
    if new:
        log.warning("not believed, since they are yet to come: the moments of %s", in_words(new))
        told = (told if _lately(at, now) else {}) | new
    kept = {"at": (now if new or at is None else at).isoformat(), "found": found, "told": told}
    with contextlib.suppress(StoreError):  # a full disk, somebody's lock: it is counted again the next time
        Meta(database).set(_KEY, json.dumps(kept))


def noted(database: Database, now: dt.datetime) -> Mapping[str, int]:
    """What was found within a day, also what has been mended since; raises StoreError."""
    at, _, told = _kept(database)
    return told if _lately(at, now) else {}


def _lately(at: dt.datetime | None, now: dt.datetime) -> bool:
    return at is not None and believed(at, now) and now - at < KEPT


def _kept(database: Database) -> tuple[dt.datetime | None, dict[str, int], dict[str, int]]:
    kept = json.loads(Meta(database).get(_KEY) or "{}")
    return (dt.datetime.fromisoformat(kept["at"]), kept["found"], kept["told"]) if kept else (None, {}, {})


def in_words(found: Mapping[str, int]) -> str:
    """How many of what: "letters (3), looks (1)". Pure."""
    return ", ".join(f"{what} ({how_many})" for what, how_many in sorted(found.items()))
