"""Tells operators what waits or is wrong; whatever happens on the way, no look and no dispatch is the worse for it.

    stand ─▶ decide ─▶ kept with a message a channel, in one transaction ─▶ each sent, retried, or given up after days

While the database can't be used, what was told is kept in a small file beside the settings.
"""

import contextlib
import datetime as dt
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from delivery.channels import ChannelAddress, tell
from milepost.dates import utc_now
from milepost.errors import MilepostError, StoreError
from milepost.settings import Settings
from pipeline.operate.conditions import Condition, muted
from pipeline.operate.standing import WAIT_S, Standing, channels, stand
from pipeline.operate.telling import Telling, Words, decide
from pipeline.operate.webhooks import post
from store.database import Database, connect
from store.operators.notices import LONGEST_WAIT, Message, Notice, Notices

log = logging.getLogger("milepost.notices")

Tell = Callable[[ChannelAddress, str, str], str | None]  # see delivery.channels.tell

FIRST_RETRY = dt.timedelta(minutes=2)
GIVE_UP = dt.timedelta(days=3)
FORGET = dt.timedelta(days=90)
_TAKEN = dt.timedelta(minutes=5)  # for an attempt, until another process may make one
FOLDER = Path(".milepost")  # beside the settings
_FILE = "told.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Noticed:
    """What one round came to."""

    conditions: tuple[Condition, ...]
    title: str | None = None  # of the message it wrote
    sent: int = 0
    failed: tuple[str, ...] = ()  # a sentence for each channel that did not take its message now


def notify(
    settings: Settings, *, folder: Path, now: Callable[[], dt.datetime] = utc_now, tell: Tell = tell
) -> Noticed:
    """Tell what is new, what lasts and what is over. Raises nothing but a bug; what failed is in the result and a log.

    `folder`: where the settings lie.
    """
    standing = stand(settings, now=now())
    asked = channels(settings)
    if not asked:
        return Noticed(conditions=standing.conditions)
    try:
        if standing.figures is None:
            done = _without_database(settings, standing, asked, folder / FOLDER / _FILE, now, tell)
        else:
            done = _with_database(settings, standing, asked, folder / FOLDER / _FILE, now, tell)
    except (MilepostError, OSError) as error:
        log.warning("operators could not be told: %s", error)
        return Noticed(conditions=standing.conditions, failed=(str(error),))
    for sentence in done.failed:
        log.warning("%s", sentence)
    return done


def quietly(settings: Settings, *, folder: Path) -> Noticed:
    """`notify` at the end of other work, which not even a bug in here may spoil; other programs are told before."""
    try:
        _tell_others(settings)
        return notify(settings, folder=folder)
    except Exception:
        log.exception("telling operators failed")
        return Noticed(conditions=(), failed=("telling operators failed; the log has more",))


def _tell_others(settings: Settings) -> None:
    """What is due of webhooks; a database that can't be used is what `notify` tells of."""
    if settings.webhooks.urls:
        with contextlib.suppress(StoreError), connect(settings.store.url, wait_seconds=WAIT_S) as database:
            post(settings, database)


def noticed_to_json(done: Noticed) -> dict[str, Any]:
    """The form of `notify send --json`."""
    return {"conditions": len(done.conditions), "title": done.title, "sent": done.sent, "failed": list(done.failed)}


def trial(settings: Settings, *, tell: Tell = tell) -> list[tuple[str, str | None]]:
    """Send a test message on every channel: (its name, why it was not taken)."""
    title = f"{settings.newsletter.name}: a test"
    body = "If you read this, Milepost can tell you on this channel when something waits for you or is wrong."
    return [(channel.name, tell(channel, title, body)) for channel in channels(settings)]


def told_so_far(database: Database) -> list[dict[str, Any]]:
    """What operators were told, or will be, and is not over: the form of `notify list --json`."""
    return [
        {name: value.isoformat() if isinstance(value, dt.datetime) else value for name, value in asdict(one).items()}
        for one in Notices(database).list()
    ]


def _with_database(
    settings: Settings, standing: Standing, asked: Sequence[ChannelAddress], file: Path,
    now: Callable[[], dt.datetime], tell: Tell,
) -> Noticed:
    with connect(settings.store.url, wait_seconds=WAIT_S) as database:
        notices = Notices(database)
        with notices.round() as round_:
            decided = _decide(settings, standing, (*_read(file)[0], *round_.notices()), round_.last_message())
            round_.keep({one.key: one for one in decided.known}.values())
            if decided.news is not None and decided.whole is not None:
                behind = round_.behind()
                for channel in asked:
                    words = decided.whole if channel.id in behind else decided.news
                    round_.queue(channel.id, words.title, words.body, standing.at)
        file.unlink(missing_ok=True)
        by_id = {channel.id: channel for channel in asked}
        sent, failed = 0, []
        for message in notices.take(by_id, now(), now() + _TAKEN):
            channel = by_id[message.channel]
            why = tell(channel, message.title, message.body)
            if why is None:
                notices.settle(message.id, "sent", now())
                sent += 1
                continue
            failed.append(f"{channel.name} did not take a notice: {why}")
            _again(notices, message, why, now())
        notices.forget(standing.at - FORGET)
    title = None if decided.news is None else decided.news.title
    return Noticed(conditions=standing.conditions, title=title, sent=sent, failed=tuple(failed))


def _again(notices: Notices, message: Message, why: str, now: dt.datetime) -> None:
    if now - message.created_at >= GIVE_UP:
        notices.settle(message.id, "dropped", now, why=why)
        return
    wait = min(FIRST_RETRY * 2 ** min(message.attempts, 10), LONGEST_WAIT)
    notices.settle(message.id, "queued", now, why=why, again_at=now + wait)


def _decide(
    settings: Settings, standing: Standing, known: Sequence[Notice], last_message: dt.datetime | None
) -> Telling:
    rules = settings.notify
    return decide(
        [one for one in standing.conditions if not muted(one, settings)], known, now=standing.at,
        name=settings.newsletter.name, last_message=last_message, every=dt.timedelta(minutes=rules.every_minutes),
        remind=dt.timedelta(hours=rules.remind_hours),
    )


# --- while there is no database ---------------------------------------------------------------------------------------


def _without_database(
    settings: Settings, standing: Standing, asked: Sequence[ChannelAddress], file: Path,
    now: Callable[[], dt.datetime], tell: Tell,
) -> Noticed:
    """The same, of what was told in this way before. A message that no channel takes is written anew the next time."""
    known, last = _read(file)
    decided = _decide(settings, standing, known, last)
    if decided.news is None:
        _write(file, decided.known, last)
        return Noticed(conditions=standing.conditions)
    words: Words = decided.news
    refused = [(channel, tell(channel, words.title, words.body)) for channel in asked]
    failed = [f"{channel.name} did not take a notice: {why}" for channel, why in refused if why is not None]
    if len(failed) < len(asked):
        _write(file, decided.known, now())
    return Noticed(
        conditions=standing.conditions, title=words.title, sent=len(asked) - len(failed), failed=tuple(failed)
    )


def _read(file: Path) -> tuple[list[Notice], dt.datetime | None]:
    """What the file has; nothing where there is none, or it can't be read."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        notices = [
            Notice(**{name: _moment(value) if name.endswith("_at") or name == "since" else value
                      for name, value in one.items()})
            for one in kept["notices"]
        ]
        return notices, _moment(kept["last_message"])
    return [], None


def _moment(text: str | None) -> Any:
    return None if text is None else dt.datetime.fromisoformat(text)


def _write(file: Path, notices: Sequence[Notice], last_message: dt.datetime | None) -> None:
    kept = {"notices": [asdict(one) for one in notices], "last_message": last_message}
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".part")
    partial.write_text(json.dumps(kept, default=dt.datetime.isoformat), encoding="utf-8")
    partial.replace(file)
