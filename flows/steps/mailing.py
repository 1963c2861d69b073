"""What every message of the list needs and the settings tell: the list's identity, the reader's link, the key."""

from email.utils import parseaddr

from delivery.message import Letterhead
from delivery.tokens import make
from milepost.errors import SettingsError
from milepost.settings import Settings
from store.database import Database
from store.meta import Meta


def sender_address(settings: Settings) -> str:
    """The bare address in mail.from; raises SettingsError when it is not set."""
    address = parseaddr(settings.mail.sender)[1]
    if not address:
        raise SettingsError("mail.from is missing", where="milepost.toml",
                            hint="Set it, as in: AI Timeline <news@timeline.example>.")
    return address


def list_id(settings: Settings) -> str:
    """The list's lasting name (RFC 2919), from the sender's address: news@timeline.example → news.timeline.example."""
    return sender_address(settings).replace("@", ".").lower()


def letterhead(settings: Settings) -> Letterhead:
    """What every message says about the list."""
    return Letterhead(
        sender=settings.mail.sender, list_id=list_id(settings), list_name=settings.newsletter.name,
        reply_to=settings.mail.reply_to, archive=f"{settings.web.base_url}/issues",
    )


def signing_key(settings: Settings, database: Database) -> bytes:
    """The key of unsubscribe links and Message-IDs: web.signing_key, else the random one that the store keeps."""
    key = settings.web.signing_key
    return Meta(database).signing_key() if key is None else key.get_secret_value().encode("utf-8")


def unsubscribe_url(settings: Settings, key: bytes, subscriber_id: int) -> str:
    """One subscriber's own link, the same in every issue."""
    return f"{settings.web.base_url}/u/{make(key, subscriber_id=subscriber_id, list_id=list_id(settings))}"
