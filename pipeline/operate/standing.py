"""What is so now: one answer for `milepost status`, /ready, /metrics and the notices.

    settings ─▶ the database opened (or why not) ─▶ Figures, overdue news, free room, failing channels ─▶ Standing
"""

import datetime as dt
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from delivery.channels import ChannelAddress
from milepost.errors import SchemaError, StoreError
from milepost.settings import Settings
from pipeline.holds import waits
from pipeline.operate.conditions import FAILING, Channel, Condition, GivenUp, disk, judge, muted, plain, unusable
from pipeline.operate.rotation import OldSecret, leaked_signer, old_secrets
from pipeline.publish import overdue_news
from store.database import Database, connect
from store.operators import clock_ahead, waiting_runs
from store.operators.clock_ahead import in_words, noted
from store.operators.figures import Figures, SourceFigures, last_looks, read
from store.operators.figures import sources as source_figures
from store.operators.notices import Message, Notices
from store.operators.webhooks import Webhooks
from store.schema.tables import HEAD
from store.upkeep.restore import restored_from

__all__ = [
    "KEPT", "REMEMBERED", "WAIT_S", "LatelyStanding", "Readiness", "SourceFigures", "Standing", "channels",
    "channels_to_json", "figures_to_json", "free_mb", "messages_to_json", "readiness", "source_figures", "stand",
    "standing_to_json",
]

REMEMBERED = dt.timedelta(days=2)  # webhooks that were given up
KEPT = dt.timedelta(seconds=10)  # of one answer that is shown to all who ask
WAIT_S = 5.0  # for the database: who asks how things stand wants to hear that it is locked


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How everything stands."""

    at: dt.datetime
    conditions: tuple[Condition, ...]  # what waits for a person first
    figures: Figures | None  # None: the database can't be used, and a condition says why
    messages: Mapping[str, Message]  # channel → the last message for it
    old_secrets: tuple[OldSecret, ...] = ()  # that are still accepted


def stand(settings: Settings, *, now: dt.datetime, database: Database | None = None) -> Standing:
    """Ask for everything; `database`: one that is open already. What is wrong with it is a condition, no exception."""
    try:
        if database is not None:
            return _stand(settings, database, now)
        with connect(settings.store.url, wait_seconds=WAIT_S) as opened:
            return _stand(settings, opened, now)
    except StoreError as error:
        broken = unusable("migration" if isinstance(error, SchemaError) else "database", error)
        room = disk(free_mb(settings), settings.notify)
        return Standing(at=now, conditions=(broken, *room), figures=None, messages={})


def _stand(settings: Settings, database: Database, now: dt.datetime) -> Standing:
    rules = settings.notify
    clock_ahead.watch(database, now)
    figures = read(database, [source.key for source in settings.sources], looks=rules.down_looks, now=now,
                   asked=rules.incomplete_looks)
    messages, old = Notices(database).latest(), old_secrets(settings, database, now)
    return Standing(
        at=now, figures=figures, messages=messages, old_secrets=old,
        conditions=judge(
            figures, rules, now=now, waits=waits(settings, database), free_mb=free_mb(settings),
            channels=_failing(settings, messages), given_up=_given_up(database, now),
            old=old, leaked=leaked_signer(settings, database), ahead=in_words(noted(database, now)),
            runs=waiting_runs.noted(database, now),
            overdue=overdue_news(settings, database, by=dt.timedelta(hours=rules.overdue_hours), now=now),
        ),
    )


class LatelyStanding:
    """How everything stood a moment ago, the same for all who ask; `at` says when that was.

    Asked anew when it is KEPT old, or after an act: whoever decided sees what came of it. Several threads may ask.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database
        self._asking, self._keeping = threading.Lock(), threading.Lock()
        self._kept: Standing | None = None
        self._acts = 0

    def at(self, now: dt.datetime) -> Standing:
        """No older than KEPT; never raises for what is wrong with the database."""
        with self._asking:  # of those who come meanwhile none asks again
            with self._keeping:
                kept, acts = self._kept, self._acts
            if kept is None or not kept.at <= now < kept.at + KEPT:
                kept = stand(self._settings, now=now, database=self._database)
                with self._keeping:
                    self._kept = kept if acts == self._acts else None
            return kept

    def forget(self) -> None:
        """Something was done."""
        with self._keeping:
            self._kept = None
            self._acts += 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Readiness:
    """Whether the database can be used now, asked anew each time: one that is open may have been lost since."""

    why_not: str | None  # a sentence; None: it can be used
    revision: int = HEAD  # that this program needs
    restored: bool = False  # it sends nothing until an operator says so
    last_looks: Mapping[str, dt.datetime | None] = field(default_factory=dict)  # source → when one last ended


def readiness(settings: Settings) -> Readiness:
    """Open the database and ask; never raises for what is wrong with it."""
    try:
        with connect(settings.store.url, wait_seconds=WAIT_S) as database:
            keys = [source.key for source in settings.sources]
            ended = last_looks(database)
            return Readiness(
                why_not=None, restored=restored_from(database) is not None,
                last_looks={key: ended.get(key) for key in keys},
            )
    except StoreError as error:
        return Readiness(why_not=plain(str(error)))


def channels(settings: Settings) -> tuple[ChannelAddress, ...]:
    """Where operators are told."""
    return tuple(ChannelAddress(url.get_secret_value(), at) for at, url in enumerate(settings.notify.urls, 1))


def _given_up(database: Database, now: dt.datetime) -> GivenUp:
    count, why = Webhooks(database).given_up(now - REMEMBERED)
    return GivenUp(count=count, why=why)


def _failing(settings: Settings, messages: Mapping[str, Message]) -> list[Channel]:
    last = [(channel, messages[channel.id]) for channel in channels(settings) if channel.id in messages]
    return [
        Channel(name=channel.name, attempts=message.attempts, why=message.why, since=message.created_at)
        for channel, message in last if message.state != "sent" and message.attempts >= FAILING
    ]


def free_mb(settings: Settings) -> int | None:
    """Room on the disk of a SQLite database, in MB; None for another machine's, or where that can't be told."""
    url = make_url(settings.store.url)
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    try:
        return shutil.disk_usage(Path(url.database).absolute().parent).free // 1_000_000
    except OSError:
        return None


# --- in JSON ----------------------------------------------------------------------------------------------------------


def standing_to_json(standing: Standing, settings: Settings) -> dict[str, Any]:
    """The form of `status --json`: figures and sentences, never an address."""
    figures = standing.figures
    return {
        "at": standing.at.isoformat(),
        "conditions": [
            {"kind": one.kind, "about": one.about, "says": one.says, "do": one.do, "decide": one.decides,
             "since": _iso(one.since), "muted": muted(one, settings)}
            for one in standing.conditions
        ],
        "figures": None if figures is None else figures_to_json(figures),
        "channels": messages_to_json(settings, standing.messages),
        "old_secrets": [
            {"setting": one.setting, "count": one.count, "since": one.since.isoformat(), "until": _iso(one.until)}
            for one in standing.old_secrets
        ],
    }


def channels_to_json(settings: Settings, database: Database) -> list[dict[str, Any]]:
    """How each channel does."""
    return messages_to_json(settings, Notices(database).latest())


def messages_to_json(settings: Settings, messages: Mapping[str, Message]) -> list[dict[str, Any]]:
    """The same by what was asked for already: channel → its last message."""
    return [
        {"channel": channel.name} | (
            {"state": None, "attempts": 0, "at": None, "why": ""} if message is None else
            {"state": message.state, "attempts": message.attempts, "at": _iso(message.sent_at), "why": message.why}
        )
        for channel in channels(settings) for message in [messages.get(channel.id)]
    ]


def figures_to_json(figures: Figures) -> dict[str, Any]:
    """The figures of `status --json`."""
    return {
        "sources": [_source_to_json(source) for source in figures.sources],
        "issues": [
            {"issue": one.number, "cadence": one.cadence, "state": one.state, "deliveries": dict(one.states),
             "bounced": one.bounced, "complained": one.complained, "frozen_at": _iso(one.frozen_at)}
            for one in figures.issues
        ],
        "looks": dict(figures.looks), "milestones": dict(figures.milestones), "pages": figures.pages,
        "snapshots": figures.snapshots, "letters": dict(figures.letters), "subscribers": dict(figures.subscribers),
        "sign_ups": dict(figures.sign_ups), "bounces": dict(figures.bounces),
        "reports_refused": dict(figures.refused),
        "unknown": {str(issue): count for issue, count in figures.unknown.items()},
        "restored": figures.restored_from is not None,
    }


def _source_to_json(source: SourceFigures) -> dict[str, Any]:
    last = source.ended[0] if source.ended else None
    return {
        "source": source.key, "baseline": source.baseline, "look": last and last.id, "state": last and last.state,
        "ended_at": _iso(last.finished_at if last else None), "milestones": last and last.milestones,
        "failed_pages": last and last.failed, "held": bool(last and last.waiting),
        "running_since": _iso(source.running_since),
        "feeds": None if source.feeds is None else {
            "used": len(source.feeds.used), "ignored": len(source.feeds.ignored), "lost": len(source.feeds.lost),
            "unused": len(source.feeds.unused),
        },
        "lost_entries": dict(source.lost_entries),
    }


def _iso(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
