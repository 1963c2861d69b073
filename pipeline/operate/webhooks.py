"""Tells others of what happened, by signed POSTs from a queue: late rather than never, and at times twice.

    what is new ─▶ queued ─▶ signed POST (https://www.standardwebhooks.com) ─▶ 2xx, or again later

Whoever is told knows an event again by its webhook-id. Private addresses are refused as the crawler refuses them.
"""

import asyncio
import base64
import datetime as dt
import hashlib
import hmac
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from crawler.client import Client
from milepost.dates import utc_now
from milepost.errors import MilepostError
from milepost.settings import Settings
from newsletter.issue.view import issue_link
from store.database import Database
from store.operators.webhooks import Added, Message, Sent, Webhooks

log = logging.getLogger("milepost.webhooks")

Post = Callable[[str, bytes, Mapping[str, str]], int]  # address, body, headers → status; raises FetchError

RETRIES = tuple(
    dt.timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
)  # as the specification recommends; after them it is given up
MOST = 100  # attempts of a round
_TAKEN = dt.timedelta(minutes=10)
_GONE = 410  # "stop telling me", says the specification
_WITHIN_S = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Posted:
    """What a round came to."""

    queued: int = 0
    sent: int = 0
    waiting: int = 0  # tried, and tried again later
    given_up: int = 0
    why: str = ""  # the last one's reason


def endpoint_id(url: str) -> str:
    """How an address is known in the queue."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def sign(secrets: Sequence[str], message_id: str, at: int, body: bytes) -> str:
    """The webhook-signature of a POST; `secrets` as in the settings, `at` in seconds since 1970. Pure.

    One signature for each secret, with a space between: a receiver believes whichever it knows
    (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Signature scheme").
    """
    signed = f"{message_id}.{at}.".encode() + body
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    return " ".join("v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys)


def post(
    settings: Settings, database: Database, *, now: Callable[[], dt.datetime] = utc_now, send: Post | None = None
) -> Posted:
    """Queue what is new and tell what is due; an address that does not answer keeps nobody else waiting for long.

    Raises StoreError.
    """
    asked = settings.webhooks.urls
    if not asked:
        return Posted()
    queue, by_id = Webhooks(database), {endpoint_id(url): url for url in asked}
    queued = sum(queue.fill(endpoint, partial(_event, settings), now()) for endpoint in by_id)
    came_to: Counter[str] = Counter()
    down: dict[str, str] = {}  # addresses that did not answer in this round
    why = ""
    for message in queue.take(by_id, now(), now() + _TAKEN, MOST):
        url = by_id[message.endpoint]
        status, failed = (None, down[url]) if url in down else _send(settings, url, message, now(), send)
        if status is not None and 200 <= status < 300:
            queue.settle(message.id, "sent", now())
            came_to["sent"] += 1
            continue
        why = failed or f"answered {status}"
        if status is None:
            down[url] = why
        if status == _GONE or message.attempts >= len(RETRIES):
            queue.settle(message.id, "dropped", now(), why=why)
            came_to["given_up"] += 1
            log.warning("%s is told to nobody: %s", message.event, why)
        else:
            queue.settle(message.id, "queued", now(), why=why, again_at=now() + RETRIES[message.attempts])
            came_to["waiting"] += 1
    return Posted(queued=queued, why=why, **came_to)


def _send(
    settings: Settings, url: str, message: Message, now: dt.datetime, send: Post | None
) -> tuple[int | None, str]:
    secrets = [one.get_secret_value() for one in (settings.webhooks.secret, settings.webhooks.previous_secret) if one]
    at, body = int(now.timestamp()), message.body.encode()
    headers = {
        "Content-Type": "application/json", "webhook-id": f"{message.event}@{message.endpoint}",
        "webhook-timestamp": str(at),
    }
    headers["webhook-signature"] = sign(secrets, headers["webhook-id"], at, body)
    try:
        return (send or partial(_post, settings))(url, body, headers), ""
    except MilepostError as error:
        return None, error.what


def _post(settings: Settings, url: str, body: bytes, headers: Mapping[str, str]) -> int:
    async def go() -> int:
        async with Client(limits=settings.fetch, allow_hosts=settings.webhooks.allow_hosts) as client:
            return await client.post(url, body, headers=headers, within=_WITHIN_S)

    return asyncio.run(go())


def _event(settings: Settings, found: Added | Sent) -> tuple[str, str]:
    """The event's name and its body, in the specification's form: type, timestamp, data."""
    if isinstance(found, Added):
        record = found.milestone
        name, kind = f"milestone.added:{found.change}", "milestone.added"
        data: dict[str, object] = {
            "source": record.source, "key": record.key, "url": record.url, "title": record.title,
            "date": record.date.value if record.date else None, "category": record.category,
        }
    else:
        name, kind = f"issue.sent:{found.number}", "issue.sent"
        data = {"issue": found.number, "number": found.sequence, "cadence": found.cadence, "subject": found.subject,
                "url": issue_link(settings.web, found.number)}
    return name, json.dumps({"type": kind, "timestamp": found.at.isoformat(), "data": data}, ensure_ascii=False)
