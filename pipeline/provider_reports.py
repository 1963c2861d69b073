"""Takes in what a provider posts of bounces and complaints: proven by its signature and by a delivery of ours.

    body ─▶ authentic (delivery.bounces.provider_events) ─▶ whose? (Message-ID, envelope, queue id) ─▶ pipeline.bounces
"""

import asyncio
import datetime as dt
import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from crawler.client import Client
from delivery.bounces import provider_events
from delivery.bounces.provider_events import ForgedError, Told
from delivery.ports import Arrival
from milepost.errors import FetchError, NotFoundError, StoreError
from milepost.settings import FetchSettings, Settings
from pipeline.bounces import ReportReader, suppress_worn_out
from store.database import Database
from store.meta import REFUSED, Meta

log = logging.getLogger("milepost.bounces")

Fetch = Callable[[str], bytes]
Secret = TypeVar("Secret")

_COUNTED_EVERY = dt.timedelta(minutes=1)
_CERTIFICATES = 8  # that are kept
_CERTIFICATE_BYTES = 64 * 1024


@dataclass(slots=True)
class ProviderReports:
    """What the web process hands on; make one for a process, and use it from several threads."""

    settings: Settings
    database: Database
    fetch: Fetch | None = None  # from Amazon; None: by our guarded client
    _certificates: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    _refused: Counter[str] = field(default_factory=Counter)  # since the database was told last
    _counted_at: dict[str, dt.datetime] = field(default_factory=dict)
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def take(self, provider: str, headers: Mapping[str, str], body: bytes, now: dt.datetime) -> Mapping[str, int]:
        """Believe and record it; how many came to what (pipeline.bounces.RESULTS).

        Raises NotFoundError for a provider that the settings don't name, ForgedError for what it did not sign,
        MalformedError for what can't be read, FetchError and StoreError for what may pass: it is to be posted again.
        """
        try:
            told = self._read(provider, headers, body)
        except ForgedError:
            self._count(provider, now)
            raise
        if told.confirm is not None:
            self._ask(told.confirm)
            log.warning("Amazon SNS asked whether to post bounces here: confirmed")
        results: Counter[str] = Counter()
        if told.events:
            reader = ReportReader(self.settings, self.database, now)
            reader.record(
                [(Arrival(name=one.known_as, raw=one.known_as.encode()), one.bounce) for one in told.events], results,
                queue_ids={one.known_as: one.queue_id for one in told.events if one.queue_id}, exact=True,
            )
            if reader.soft:  # of nobody else anything has changed, and a storm of reports is a storm of these
                suppress_worn_out(self.database, now=now, among=reader.soft)
        return dict(results)

    def _count(self, provider: str, now: dt.datetime) -> None:
        """Remember that one was not signed by them; the database is told once a minute, however many come."""
        with self._counting:
            self._refused[provider] += 1
            before = self._counted_at.get(provider)
            if before is not None and now - before < _COUNTED_EVERY:
                return
            more, self._counted_at[provider] = self._refused.pop(provider), now
        try:
            Meta(self.database).add(f"{REFUSED}{provider}", more)
        except StoreError as error:  # who posted is answered all the same
            log.warning("%d refused reports of %s are not counted: %s", more, provider, error)

    def _read(self, provider: str, headers: Mapping[str, str], body: bytes) -> Told:
        bounces = self.settings.bounces
        match provider:
            case "ses" if bounces.ses_topics:
                url = provider_events.sns_certificate(body, bounces.ses_topics)
                return provider_events.from_sns(body, certificate=self._certificate(url))
            case "sendgrid" if bounces.sendgrid_key:
                return _by_either(
                    lambda key: provider_events.from_sendgrid(body, headers, public_key=key),
                    bounces.sendgrid_key, bounces.previous_sendgrid_key,
                )
            case "mailgun" if bounces.mailgun_key:
                return _by_either(
                    lambda key: provider_events.from_mailgun(body, key=key.get_secret_value()),
                    bounces.mailgun_key, bounces.previous_mailgun_key,
                )
            case "postmark" if bounces.postmark_password:
                return _by_either(
                    lambda key: provider_events.from_postmark(body, headers, password=key.get_secret_value()),
                    bounces.postmark_password, bounces.previous_postmark_password,
                )
        raise NotFoundError("no such provider is set up", where=provider, hint="See docs/operations/bounces.md.")

    def _certificate(self, url: str) -> bytes:
        if url not in self._certificates:
            self._certificates[url] = self._ask(url)
            while len(self._certificates) > _CERTIFICATES:
                self._certificates.popitem(last=False)
        return self._certificates[url]

    def _ask(self, url: str) -> bytes:
        return self.fetch(url) if self.fetch is not None else asyncio.run(_get(url, self.settings.fetch))


def _by_either(read: Callable[[Secret], Told], secret: Secret, previous: Secret | None) -> Told:
    """As today's secret reads it, else as the one of before does while both are accepted; raises what `read` does."""
    try:
        return read(secret)
    except ForgedError:
        if previous is None:
            raise
        return read(previous)


async def _get(url: str, limits: FetchSettings) -> bytes:
    """One page of Amazon's, by the client that connects to public addresses alone; raises FetchError."""
    async with Client(limits=limits) as client:
        answer = await client.get(url, max_body=_CERTIFICATE_BYTES, within=10.0)
    if answer.status != 200:
        raise FetchError(f"answered {answer.status}", where=url.partition("?")[0], status=answer.status)
    return answer.body
