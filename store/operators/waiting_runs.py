"""Runs of the schedules that wait for a process, as the last round of `notify` heard it of Prefect's server.

    who may ask that server ─ note ─▶ kept ─ noted ─▶ whoever tells how everything stands, where no Prefect is
"""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from milepost.dates import believed
from store.engine import Database
from store.meta import Meta

KEPT = dt.timedelta(days=1)  # without a round that says it again: nobody asks that server any more
_NAMED = 3
_KEY, _LATE = "runs_waiting", "runs_late"


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingRuns:
    """Those of one round; never none of them."""

    count: int
    since: dt.datetime  # of the first
    names: tuple[str, ...]  # of those that have waited longest


def note(database: Database, now: dt.datetime, runs: Sequence[tuple[str, dt.timedelta]]) -> None:
    """What a round found, nothing too: the names of runs, and for how long each has waited by now. Raises StoreError.
    """
    meta = Meta(database)
    if not runs and meta.get(_KEY) is None:
        return
    longest = sorted(runs, key=lambda run: run[1], reverse=True)
    kept = None if not runs else json.dumps({
        "at": now.isoformat(), "count": len(runs), "since": (now - longest[0][1]).isoformat(),
        "names": [name for name, _ in longest[:_NAMED]],
    })
    meta.set(_KEY, kept)


def noted(database: Database, now: dt.datetime) -> WaitingRuns | None:
    """What the last round found, KEPT long; None: none waits, or nobody asks. Raises StoreError."""
    found = Meta(database).get(_KEY)
    if found is None:
        return None
    kept = json.loads(found)
    at = dt.datetime.fromisoformat(kept["at"])
    if not believed(at, now) or now - at >= KEPT:
        return None
    return WaitingRuns(
        count=kept["count"], since=dt.datetime.fromisoformat(kept["since"]), names=tuple(kept["names"])
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Late:
    """Of a deployment of which each round finds a run that is due and that nobody took."""

    since: dt.datetime  # the first of these rounds
    waited: dt.timedelta  # of the time since then what counts


def note_late(database: Database, now: dt.datetime, found: Mapping[str, Late]) -> None:
    """What a round found, by deployment; the others are forgotten. Raises StoreError."""
    meta = Meta(database)
    if not found and meta.get(_LATE) is None:
        return
    meta.set(_LATE, None if not found else json.dumps({
        "at": now.isoformat(),
        "late": {key: [one.since.isoformat(), one.waited.total_seconds()] for key, one in found.items()},
    }))


def late(database: Database) -> tuple[dt.datetime | None, dict[str, Late]]:
    """When the last round found some, and what; (None, {}): it found none. Raises StoreError."""
    found = Meta(database).get(_LATE)
    if found is None:
        return None, {}
    kept = json.loads(found)
    return dt.datetime.fromisoformat(kept["at"]), {
        key: Late(since=dt.datetime.fromisoformat(since), waited=dt.timedelta(seconds=waited))
        for key, (since, waited) in kept["late"].items()
    }
