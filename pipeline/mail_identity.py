"""What every message of the list needs and the settings tell: the list's identity, the reader's link, the key."""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from email.utils import parseaddr

from delivery.message.build import Letterhead
from delivery.message.dkim import Signer
from delivery.message.headers import Mailbox
from delivery.message.tokens import make
from delivery.ports import Transport
from delivery.smtp.auth import Token, TokenCommand
from delivery.smtp.connect import PipelineTransport
from delivery.transports import from_url
from milepost.errors import SettingsError
from milepost.records import Variant
from milepost.settings import Settings
from newsletter.issue.compose import settings_from
from newsletter.issue.design import TODAY, design_of
from newsletter.issue.known import NOTHING_KNOWN, Known, known_from
from newsletter.issue.render import dated
from store.database import Database
from store.issues.editions import Editions
from store.issues.issues import Issues
from store.meta import Meta

_LIST_ID = "list_id"


def sender(settings: Settings) -> Mailbox:
    """Who the mails are from, its domain in ASCII; raises SettingsError when mail.from is missing."""
    if not settings.mail.sender:
        hint = "Set it, as in: AI Timeline <news@timeline.example>."
        raise SettingsError("mail.from is missing", where="milepost.toml", hint=hint)
    return _mailbox(settings.mail.sender, "mail.from")


def sender_name(settings: Settings) -> str:
    """The name in mail.from as it was typed; "" where there is none."""
    return parseaddr(settings.mail.sender)[0]


def bounce_address(settings: Settings) -> str:
    """Where bounces go that name no delivery, the envelope's sender: mail.return_path, else the sender's address."""
    path = settings.mail.return_path
    return (_mailbox(path, "mail.return_path") if path else sender(settings)).address


def _mailbox(value: str, setting: str) -> Mailbox:
    """`Name <address>` as it was typed in a setting: the name raw, the domain in ASCII (RFC 5890); SettingsError."""
    name, address = parseaddr(value)
    local, _, domain = address.rpartition("@")
    try:
        if local:
            return Mailbox(name, f"{local}@{domain.encode('idna').decode('ascii')}")
    except UnicodeError:
        pass
    raise SettingsError(f"{setting} = {address or value!r} has no domain to mail from", where="milepost.toml")


def sender_domain(settings: Settings) -> str:
    """The ASCII domain that mails come from: in Message-IDs, and how we greet the relay."""
    return sender(settings).address.rpartition("@")[2]


def list_id(settings: Settings, database: Database) -> str:
    """The list's name for good (RFC 2919), as in news.timeline.example.

    Taken once from the sender's address and then kept by the store: readers' filters go by it, and it is in every
    unsubscribe link that was ever mailed, so it must outlive a change of mail.from.
    """
    meta = Meta(database)
    kept = meta.get(_LIST_ID)
    if kept is None:
        kept = sender(settings).address.replace("@", ".").lower()
        meta.set(_LIST_ID, kept)
    return kept


def bounces_at(domain: str) -> str:
    """The address below which each mail has one of its own, where bounces have a domain."""
    return f"bounces@{domain}"


def letterhead(settings: Settings, named: str, *, leave_by_mail: bool = False) -> Letterhead:
    """What every message says about the list of that name (see list_id)."""
    reply_to = settings.mail.reply_to
    return Letterhead(
        sender=sender(settings), list_id=named, list_name=settings.newsletter.name,
        reply_to=_mailbox(reply_to, "mail.reply_to") if reply_to else None, archive=f"{settings.web.base_url}/issues",
        feedback_id=settings.mail.feedback_id, leave_by_mail=leave_by_mail,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Seal:
    """What the mails of an issue are made with: as it was when the issue was rendered, whatever was set since."""

    settings: Settings  # today's, but for what shows in a mail or its headers
    list_id: str
    leave_domain: str | None  # of the address in List-Unsubscribe; None: an issue from before there was one has none
    known: Known = NOTHING_KNOWN
    design: int = TODAY

    @property
    def letterhead(self) -> Letterhead:
        """What its messages say about the list."""
        return letterhead(self.settings, self.list_id, leave_by_mail=self.leave_domain is not None)


def seal(settings: Settings, database: Database, number: int) -> Seal:
    """The seal of an issue: what was previewed and approved is what is sent.

    What shows in nothing (the relay, its password, keys, the envelope's domain) is today's. An issue from before this
    was kept goes out with the settings of today.
    """
    kept = Editions(database).find_rendered_with(number)
    if kept is None:
        return Seal(settings=settings, list_id=list_id(settings, database), leave_domain=None)
    letter, mail, web = settings_from(kept.settings, templates=settings.newsletter.templates)
    shown = {"sender", "reply_to", "postal_address", "feedback_id"}
    then = settings.model_copy(update={
        "newsletter": letter,
        "mail": settings.mail.model_copy(update={name: getattr(mail, name) for name in shown}),
        "web": settings.web.model_copy(update={"base_url": web.base_url}),
    })
    return Seal(
        settings=then, list_id=kept.list_id or list_id(settings, database), leave_domain=mail.bounce_domain,
        known=known_from(kept.settings.get("known")), design=design_of(kept.settings),
    )


def dated_variants(sealed: Seal, database: Database, number: int, *, now: dt.datetime) -> Iterator[Variant]:
    """The renderings of an issue with the day of its hand-over in their mastheads; `now`'s where that is to come.

    They are read as they are asked for: of all there are only a few in memory.
    """
    issues = Issues(database)
    moment = issues.handed_over_at(number) or now
    return (dated(variant, moment, sealed.settings.newsletter) for variant in issues.variants(number))


def dated_variant(sealed: Seal, database: Database, number: int, name: str, *, now: dt.datetime) -> Variant | None:
    """One of them, by its name; None where there is none of that name."""
    issues = Issues(database)
    moment, found = issues.handed_over_at(number) or now, issues.variant(number, name)
    return None if found is None else dated(found, moment, sealed.settings.newsletter)


def unsubscribe_url(settings: Settings, key: bytes, list_name: str, handle: str) -> str:
    """One subscriber's own link, the same in every issue."""
    return f"{settings.web.base_url}/u/{make(key, handle=handle, list_id=list_name)}"


def relay(settings: Settings, *, timeout: float | None = None) -> Transport:
    """The way that mail.url names, with the login that the settings tell; opens nothing. Raises SettingsError.

    Where it can't be reached, or is too busy before any mail, it turns to the relay that mail.fallback names.
    `timeout`: seconds for any answer, when mail.timeout is too long to wait.
    """
    mail, hello = settings.mail, sender_domain(settings)
    patience = mail.timeout if timeout is None else min(timeout, mail.timeout)
    token: Token | None = None
    if mail.oauth2_command:
        token = TokenCommand(mail.oauth2_command)
    elif mail.oauth2_token is not None:
        token = mail.oauth2_token.get_secret_value
    first = from_url(mail.url.get_secret_value(), timeout=patience, hello=hello, token=token)
    if mail.fallback is None:
        return first
    try:
        second = from_url(mail.fallback.get_secret_value(), timeout=patience, hello=hello)  # its login is its own
    except SettingsError as error:
        raise SettingsError(error.what, where="mail.fallback", hint=error.hint) from None
    if not isinstance(first, PipelineTransport) or not isinstance(second, PipelineTransport):
        raise SettingsError(
            f"there is none for {first.where}", where="mail.fallback",
            hint="Only an SMTP relay (smtp://, smtps://, smtp+starttls://) can stand in for another.",
        )
    return replace(first, fallback=second)


def signer(settings: Settings) -> Signer | None:
    """What signs the mails (DKIM): the key of mail.dkim_key_file, None where there is none. Raises SettingsError."""
    file = settings.mail.dkim_key_file
    if file is None:
        return None
    try:
        pem = file.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"the key {file} can't be read ({error.strerror or error})", where="mail.dkim_key_file",
            hint="Check its owner and mode.",
        ) from None
    return Signer.from_pem(
        pem, domain=sender_domain(settings), selector=settings.mail.dkim_selector, sender=sender(settings).address
    )


def signing(settings: Settings) -> Callable[[bytes], bytes]:
    """What every message goes through last: `signer`, or nothing where there is no key. Raises SettingsError."""
    found = signer(settings)
    return bytes if found is None else found.sign
