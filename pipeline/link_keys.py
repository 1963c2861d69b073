"""Which keys readers' links may be signed with, and how far each is believed.

    web.signing_key, web.previous_signing_keys, those that the database keeps ─▶ now │ before │ leaked: good for leaving

A key that has leaked still lets readers leave, by a link or by a mail: an unsubscribe never breaks. It proves nothing
else: no choice, no address, no way back to the list, no bounce.
"""

from dataclasses import dataclass

from milepost.settings import Settings
from store.database import Database
from store.signing_keys import SigningKeys, key_name


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkKeys:
    """The keys by how far they are believed."""

    now: bytes  # signs what is new
    before: tuple[bytes, ...] = ()
    leaked: tuple[bytes, ...] = ()

    @property
    def believed(self) -> tuple[bytes, ...]:
        """What these signed is ours, whatever it asks for."""
        return tuple(key for key in (self.now, *self.before) if key not in self.leaked)

    @property
    def every(self) -> tuple[bytes, ...]:
        """What these signed may ask to leave."""
        return tuple(dict.fromkeys((self.now, *self.before, *self.leaked)))


def link_keys(settings: Settings, database: Database) -> LinkKeys:
    """The keys as the settings and the database have them; raises StoreError.

    The database's own are among them once they have signed anything, whatever the settings say since.
    """
    now = signing_key(settings, database)
    kept, leaked = SigningKeys(database).kept()
    before = [key.get_secret_value().encode("utf-8") for key in settings.web.previous_signing_keys]
    every = tuple(dict.fromkeys((now, *before, *kept)))
    return LinkKeys(
        now=now, before=tuple(key for key in every[1:] if key_name(key) not in leaked),
        leaked=tuple(key for key in every if key_name(key) in leaked),
    )


def signing_key(settings: Settings, database: Database) -> bytes:
    """The key of unsubscribe links and Message-IDs: web.signing_key, else the random one that the database keeps."""
    key = settings.web.signing_key
    return SigningKeys(database).own() if key is None else key.get_secret_value().encode("utf-8")
