"""What every message of the list needs and the settings tell: the list's identity, the reader's link, the key."""

from email.utils import formataddr, parseaddr

from delivery.message import Letterhead
from delivery.tokens import make
from milepost.errors import SettingsError
from milepost.settings import Settings
from store.database import Database
from store.meta import Meta

_LIST_ID = "list_id"


def sender(settings: Settings) -> tuple[str, str]:
    """(display name, address with an ASCII domain) of mail.from; raises SettingsError when there is none."""
    name, address = parseaddr(settings.mail.sender)
    local, _, domain = address.rpartition("@")
    if not local:
        hint = "Set it, as in: AI Timeline <news@timeline.example>."
        raise SettingsError("mail.from is missing", where="milepost.toml", hint=hint)
    try:
        return name, f"{local}@{domain.encode('idna').decode('ascii')}"
    except UnicodeError:
        raise SettingsError(f"mail.from = {address!r} has no domain to mail from", where="milepost.toml") from None


def sender_domain(settings: Settings) -> str:
    """The ASCII domain that mails come from: in Message-IDs, and how we greet the relay."""
    return sender(settings)[1].rpartition("@")[2]


def list_id(settings: Settings, database: Database) -> str:
    """The list's name for good (RFC 2919), as in news.timeline.example.

    Taken once from the sender's address and then kept by the store: readers' filters go by it, and it is in every
    unsubscribe link that was ever mailed, so it must outlive a change of mail.from.
    """
    meta = Meta(database)
    kept = meta.get(_LIST_ID)
    if kept is None:
        kept = sender(settings)[1].replace("@", ".").lower()
        meta.set(_LIST_ID, kept)
    return kept


def letterhead(settings: Settings, database: Database) -> Letterhead:
    """What every message says about the list."""
    return Letterhead(
        sender=formataddr(sender(settings)), list_id=list_id(settings, database), list_name=settings.newsletter.name,
        reply_to=settings.mail.reply_to, archive=f"{settings.web.base_url}/issues",
    )


def signing_key(settings: Settings, database: Database) -> bytes:
    """The key of unsubscribe links and Message-IDs: web.signing_key, else the random one that the store keeps."""
    key = settings.web.signing_key
    return Meta(database).signing_key() if key is None else key.get_secret_value().encode("utf-8")


def unsubscribe_url(settings: Settings, key: bytes, list_name: str, subscriber_id: int) -> str:
    """One subscriber's own link, the same in every issue."""
    return f"{settings.web.base_url}/u/{make(key, subscriber_id=subscriber_id, list_id=list_name)}"
