"""Looks at what the settings point at, without sending or changing anything: each check is one finding."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from crawler.client import Client
from crawler.outcomes import user_agent
from delivery.transports import from_url
from extractors import registry
from flows.steps.mailing import sender
from milepost.errors import MilepostError
from milepost.settings import Settings, SourceSettings
from store.checking import check
from store.database import connect


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What one check came to."""

    check: str
    ok: bool
    says: str


def examine(settings: Settings) -> list[Finding]:
    """Run every check; one that fails doesn't stop the rest."""
    return list(_findings(settings))


def _findings(settings: Settings) -> Iterator[Finding]:
    yield _try("database", lambda: _database(settings))
    if not settings.sources:
        yield Finding(check="sources", ok=False, says="none is configured; add a [[sources]] block")
    for source in settings.sources:
        yield _try(f"source {source.key}", lambda source=source: _source(settings, source))  # type: ignore[misc]
    yield _try("sender", lambda: _sender(settings))
    yield _try("mail relay", lambda: _relay(settings))
    key = "set in the settings" if settings.web.signing_key else "a random one, kept in the database"
    yield Finding(check="signing key", ok=True, says=key)


def _try(name: str, run: Callable[[], str]) -> Finding:
    try:
        return Finding(check=name, ok=True, says=run())
    except MilepostError as error:
        return Finding(check=name, ok=False, says=str(error))


def _database(settings: Settings) -> str:
    with connect(settings.store.url) as database:
        findings = check(database)
    if findings:
        raise MilepostError("; ".join(findings))
    return "whole, and of this version"


def _source(settings: Settings, source: SourceSettings) -> str:
    site = registry.get(source.extractor, source.options)
    url = f"{source.fetch_from or source.base_url}/robots.txt"
    answer = asyncio.run(_ask(settings, source, url))
    return f"{url} answers {answer}; read by {site.signature}"


async def _ask(settings: Settings, source: SourceSettings, url: str) -> int:
    async with Client(
        limits=settings.fetch, user_agent=user_agent(settings.fetch.contact),
        allow_hosts=frozenset(source.allow_hosts),
    ) as client:
        return (await client.get(url)).status


def _sender(settings: Settings) -> str:
    if not settings.mail.postal_address.strip():
        raise MilepostError("mail.postal_address is empty", hint="Readers have a right to it; set it.")
    name, address = sender(settings)
    return f"{name} <{address}>" if name else address


def _relay(settings: Settings) -> str:
    transport = from_url(settings.mail.url.get_secret_value(), timeout=min(settings.mail.timeout, 30.0))
    transport.open().quit()
    return f"{transport.where} takes mail"
