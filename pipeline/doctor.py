"""Looks at what the settings point at: each check is one finding, a sentence with what to do.

    database, sources ─ sender ─ relay (connect, EHLO, TLS, login) ─ DNS (SPF, DKIM, DMARC, MX, PTR) ─ a test mail
"""

import asyncio
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from crawler.client import Answer, Client
from crawler.render import Renderer
from delivery.checks import dns_records
from delivery.checks.dns_records import Sender
from delivery.checks.nameserver import DnsResolver
from delivery.maildir import MaildirTransport
from delivery.message.build import MessageTemplate
from delivery.ports import Resolver, Transport
from delivery.smtp.connect import PipelineTransport
from delivery.smtp.session import SmtpSession, SmtpTransport
from extractors import registry
from milepost.dates import utc_now
from milepost.errors import FetchError, MilepostError
from milepost.records import Unread, Variant
from milepost.settings import Settings, SourceSettings
from pipeline.edit import TrialMail, send_trial
from pipeline.look.found_feeds import hint, told
from pipeline.look.unread_entries import lost_and_waiting
from pipeline.mail_identity import (
    bounce_address,
    bounces_at,
    letterhead,
    list_id,
    relay,
    sender,
    sender_domain,
    signer,
    signing,
)
from pipeline.operate.rotation import leaked_signer, old_secrets
from store.archive import source_feeds
from store.archive.pages import Pages
from store.database import Database, connect
from store.milestones.looks import Looks
from store.milestones.milestones import Milestones
from store.subscribers import addresses
from store.subscribers.people import Subscribers
from store.upkeep.check import check
from store.upkeep.restore import refuse

_LINK = "MILEPOST-DOCTOR-LINK"
_PATIENCE_S = 30.0  # for any answer of a relay
_PAGE = b"<!doctype html><html><body><script>document.write('<p>written by a ' + 'script</p>')</script></body></html>"
_WORDS = "This is a test mail: if you read it, the way from Milepost to your mailbox is open. Nobody else was sent it."


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What one check came to. `ok` None: it could not be told from here, or is for you to judge."""

    check: str
    ok: bool | None
    says: str
    publish: str | None = None  # a record for the DNS, as a line of a zone file


def examine(settings: Settings, *, to: str | None = None, resolver: Resolver | None = None) -> list[Finding]:
    """Run every check; one that fails doesn't stop the rest. Nothing is sent, but for a test mail `to` an address.

    `resolver` asks the DNS, else the name servers of this machine are asked.
    """
    return list(_findings(settings, to, resolver or DnsResolver()))


def _findings(settings: Settings, to: str | None, resolver: Resolver) -> Iterator[Finding]:
    yield _try("database", lambda: _database(settings))
    yield from _readers(settings)
    yield from _waiting(settings)
    if not settings.sources:
        yield Finding(check="sources", ok=False, says="none is configured; add a [[sources]] block")
    for source in settings.sources:
        yield _try(f"source {source.key}", lambda source=source: _source(settings, source))  # type: ignore[misc]
    if any(source.render for source in settings.sources):
        yield _try("browser", lambda: asyncio.run(_rendered(settings)))
    yield from _degraded(settings)
    yield from _feeds(settings)
    yield from _unread(settings)
    yield _try("sender", lambda: _sender(settings))
    yield _try("mail relay", lambda: _relay(_first(settings)))
    if settings.mail.fallback is not None:
        yield _try("second relay", lambda: _relay(_second(settings)))
    yield from _published(settings, resolver)
    yield from _leaving(settings)
    yield _sign_ups(settings)
    if to is not None:
        yield _try("test mail", lambda: _test_mail(settings, to))
    yield from _secrets(settings)


def _try(name: str, run: Callable[[], str]) -> Finding:
    try:
        return Finding(check=name, ok=True, says=run())
    except MilepostError as error:
        return Finding(check=name, ok=False, says=str(error))


def _database(settings: Settings) -> str:
    with connect(settings.store.url) as database:
        findings = check(database)
        with database.connect() as connection:
            refuse(connection)  # a restored one sends nothing until an operator has looked
    if findings:
        raise MilepostError("; ".join(findings))
    return "whole, and of this version"


def _readers(settings: Settings) -> Iterator[Finding]:
    try:
        with connect(settings.store.url) as database:
            asked = Subscribers(database).cadences()
    except MilepostError:
        return  # the check of the database has said so
    yield _try("readers", lambda: _heard(settings, asked))


def _heard(settings: Settings, asked: Mapping[str, int]) -> str:
    made = settings.newsletter.cadences
    left = [f"{count} asked for {name}" for name, count in sorted(asked.items()) if name not in made]
    if left:
        raise MilepostError(
            f"some subscribers will hear nothing: {', '.join(left)}, which is not made",
            where="newsletter.cadences", hint="Add the cadence there, or change what they asked for.",
        )
    return f"{sum(asked.values())} active, each of a cadence that is made"


def _waiting(settings: Settings) -> Iterator[Finding]:
    """Who never confirmed: nothing here asks them again."""
    try:
        with connect(settings.store.url) as database:
            pending = Subscribers(database).counts().get("pending", 0)
    except MilepostError:
        return  # the check of the database has said so
    if pending:
        yield Finding(check="readers", ok=None, says=(
            f"{pending} are pending and hear nothing: `milepost subscribers list --state pending`; who confirmed to "
            "you becomes active by `milepost subscribers return`"
        ))


def _source(settings: Settings, source: SourceSettings) -> str:
    site = registry.get(source.extractor, source.options)
    url = f"{source.fetch_from or source.base_url}/robots.txt"
    answer = asyncio.run(_ask(settings, source, url))
    return f"{url} answers {answer}; read by {site.signature}"


async def _rendered(settings: Settings) -> str:
    """A page of our own, rendered as a look renders those of a site."""
    async def nothing(url: str, _most: int) -> Answer:
        raise FetchError("a page of our own asks for nothing", where=url)

    page = Answer(url="http://milepost.invalid/", status=200, headers={"content-type": "text/html"}, body=_PAGE)
    async with Renderer(settings.render, max_html=settings.fetch.max_body_bytes) as renderer:
        rendered = await renderer.render(page, nothing)
    if "<p>written by a script</p>" not in rendered.html:
        raise MilepostError("it runs no scripts", where=rendered.by)
    sources = ", ".join(source.key for source in settings.sources if source.render)
    return f"{rendered.by.partition(';')[0]} renders pages, for {sources}"


def _degraded(settings: Settings) -> Iterator[Finding]:
    """Sources that are followed though their witnesses dispute a field."""
    try:
        with connect(settings.store.url) as database:
            told = {source.key: Looks(database).degraded(source.key) for source in settings.sources}
    except MilepostError:
        return  # the check of the database has said so
    for key, sentences in told.items():
        if sentences:
            yield Finding(check=f"source {key}", ok=None, says=f"degraded: {'; '.join(sentences)}")


def _feeds(settings: Settings) -> Iterator[Finding]:
    """What sources advertise beside their pages: used, left out, or used by nobody; what is lost is degraded."""
    try:
        with connect(settings.store.url) as database:
            found = {source.key: source_feeds.noted(database, source.key) for source in settings.sources}
    except MilepostError:
        return  # the check of the database has said so
    for key, feeds in found.items():
        for ok, sentences in ((True, told(feeds)), (None, hint(feeds))):
            if sentences:
                yield Finding(check=f"source {key}", ok=ok, says="; ".join(sentences))


def _unread(settings: Settings) -> Iterator[Finding]:
    """Sources that show what nobody can read: not well until it is read, or an operator let it pass."""
    try:
        with connect(settings.store.url) as database:
            told = {source.key: _unread_of(database, source.key) for source in settings.sources}
    except MilepostError:
        return  # the check of the database has said so
    for key, (lost, waiting) in told.items():
        if lost:
            first = "; ".join(str(one) for one in (waiting or lost)[:3])
            counted = f"{len(lost)} on its pages look like milestones and can't be read: {first}"
            todo = f". See `milepost source check {key}`; a look that they hold is let pass by `milepost holds release`"
            yield Finding(check=f"source {key}", ok=False if waiting else None,
                          says=counted + (todo if waiting else ", and you let that pass"))


def _unread_of(database: Database, source: str) -> tuple[tuple[Unread, ...], tuple[Unread, ...]]:
    found = Pages(database).unread(source)
    known = Milestones(database).known(source) if found else {}
    return lost_and_waiting(database, source, found, known)


async def _ask(settings: Settings, source: SourceSettings, url: str) -> int:
    async with Client(limits=settings.fetch, allow_hosts=source.allow_hosts) as client:
        return (await client.get(url)).status


def _sender(settings: Settings) -> str:
    if not settings.mail.postal_address.strip():
        raise MilepostError("mail.postal_address is empty", hint="Readers have a right to it; set it.")
    name, address = sender(settings)
    if settings.mail.postal_address == "1 Example Street, Exampletown" or address == "news@example.org":
        raise MilepostError("mail.from or mail.postal_address is still the example's", hint="Write your own there.")
    return f"{name} <{address}>" if name else address


def _first(settings: Settings) -> Transport:
    """The relay without another to turn to: each is looked at by itself."""
    transport = relay(settings, timeout=_PATIENCE_S)
    return replace(transport, fallback=None) if isinstance(transport, PipelineTransport) else transport


def _second(settings: Settings) -> Transport:
    transport = relay(settings, timeout=_PATIENCE_S)
    return (transport.fallback or transport) if isinstance(transport, PipelineTransport) else transport


def _relay(transport: Transport) -> str:
    session = transport.open()
    facts = session.facts if isinstance(session, SmtpSession) else ()
    session.quit()
    login = (f"logged in as {transport.user}",) if isinstance(transport, SmtpTransport) and transport.user else ()
    told = ", ".join([*facts, *login])
    return f"{transport.where} takes mail{f' ({told})' if told else ''}"


def _published(settings: Settings, resolver: Resolver) -> Iterator[Finding]:
    """What the DNS says; nothing to ask where mails stay in a folder."""
    try:
        transport = relay(settings)
        if isinstance(transport, MaildirTransport):
            return
        bounces = bounce_address(settings)
        address = sender(settings).address
        key = signer(settings)
    except MilepostError as error:
        yield Finding(check="dns", ok=False, says=str(error))
        return
    mail = settings.mail
    who = Sender(
        address=address, envelope_domain=mail.bounce_domain or bounces.rpartition("@")[2].lower(),
        bounce_domain=mail.bounce_domain,
        dkim_name=key.record_name if key else None, dkim_record=key.record if key else "",
        dkim_before=tuple(
            f"{one.lower()}._domainkey.{sender_domain(settings)}" for one in mail.previous_dkim_selectors
        ),
        relay=transport.host if isinstance(transport, SmtpTransport) else None,
    )
    for one in dns_records.examine(resolver, who):
        yield Finding(check=one.check, ok=one.ok, says=one.says, publish=str(one.publish) if one.publish else None)


def _leaving(settings: Settings) -> Iterator[Finding]:
    """Mails name an address to leave by where bounces have a domain: somebody has to read what comes there."""
    domain = settings.mail.bounce_domain
    if domain is not None and not settings.bounces.sources:
        yield Finding(check="leaving by mail", ok=None, says=(
            f"mails name an address to leave by, {bounces_at(domain).replace('@', '+…@')}, and bounces.sources names "
            "no inbox: see that `milepost bounces INBOX` reads what comes there, daily"
        ))


def _sign_ups(settings: Settings) -> Finding:
    """Who is counted as one visitor, and what keeps programs out: wrong in front of a proxy, it keeps everybody out."""
    web, check = settings.web, "sign-ups"
    if not web.signup:
        return Finding(check=check, ok=True, says="switched off (web.signup)")
    works = f"proof of work: {web.proof_of_work} (web.proof_of_work)"
    if urlsplit(web.base_url).hostname in ("localhost", "127.0.0.1", "::1"):
        return Finding(check=check, ok=True, says=f"taken on this machine alone; {works}")
    return Finding(check=check, ok=None, says=(
        f"visitors are told apart by the X-Forwarded-For of {', '.join(web.trusted_proxies) or 'nobody'} "
        f"(web.trusted_proxies): a proxy elsewhere makes all its visitors one network, which may sign up "
        f"{web.signup_per_network} addresses an hour (web.signup_per_network); {works}"
    ))


def _secrets(settings: Settings) -> Iterator[Finding]:
    """The key of readers' links, and old secrets that are still accepted."""
    key = "set in the settings" if settings.web.signing_key else "a random one, kept in the database"
    try:
        with connect(settings.store.url) as database:
            now = utc_now()
            leaked, old = leaked_signer(settings, database), old_secrets(settings, database, now)
    except MilepostError:  # the check of the database has said so
        leaked, old = None, ()
    if leaked is not None:
        key = f"{leaked} has leaked, and its links only unsubscribe: set another web.signing_key"
    yield Finding(check="signing key", ok=leaked is None, says=key)
    for one in old:
        kept = "for good" if one.until is None else f"until {one.until:%Y-%m-%d}"
        late = "; that is over: take it out of the settings" if one.overdue(now) else ""
        yield Finding(check="old secret", ok=not late, says=(
            f"{one.setting} is accepted since {one.since:%Y-%m-%d}, {kept}{late}"
        ))


def _test_mail(settings: Settings, to: str) -> str:
    """One mail that is like those of an issue, and is in no ledger."""
    with connect(settings.store.url) as database:
        head = letterhead(settings, list_id(settings, database))
    variant = Variant(
        name="doctor", subject=f"[Test] {settings.newsletter.name}: a mail from milepost doctor",
        html=f'<!doctype html><html lang="en"><body><p>{_WORDS}</p><a href="{_LINK}">Unsubscribe</a></body></html>',
        text=f"{_WORDS}\n\nUnsubscribe: {_LINK}\n", placeholder=_LINK,
    )
    address = addresses.parse(to).address
    message = MessageTemplate.build(variant, letterhead=head, date=utc_now()).bytes_for(
        address=address, unsubscribe_url=f"{settings.web.base_url}/u",
        message_id=f"<doctor.{secrets.token_hex(8)}@{sender_domain(settings)}>",
    )
    reply = send_trial(settings, TrialMail(
        address=address, envelope=bounce_address(settings), message=signing(settings)(message),
    ))
    return f"{address}: the relay says {reply.code} {reply.text}; look whether it arrived, and in which folder"
