"""Secrets that are being changed: which old ones are still accepted, since when, and for how long that is meant to be.

    settings, the database ─▶ OldSecret: a setting, since when, until when ─▶ status, doctor, `milepost keys`

An old secret is accepted as long as it stands in the settings: nothing breaks by itself. What stands there for longer
than it should is told of.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from milepost.settings import Settings
from pipeline.link_keys import link_keys
from store import first_seen
from store.database import Database
from store.signing_keys import SigningKeys, key_name

# How long an old one is meant to be accepted, in days; None: for good. docs/operations/keys.md has the same.
ACCEPTED_FOR: Mapping[str, int | None] = {
    "web.previous_signing_keys": None,  # an old mail's way out works for years
    "webhooks.previous_secret": 30,  # others change theirs at leisure
    "bounces.previous_sendgrid_key": 14,  # a provider posts again for three days at most
    "bounces.previous_mailgun_key": 14,
    "bounces.previous_postmark_password": 14,
    "web.previous_metrics_token": 14,  # several may ask, each with its own settings
    "mail.previous_dkim_selectors": 14,  # a relay tries for five days (RFC 5321 §4.5.4.1), and mailboxes look later
}


@dataclass(frozen=True, kw_only=True, slots=True)
class OldSecret:
    """An old secret that is still accepted."""

    setting: str
    count: int  # how many stand there
    since: dt.datetime  # when it was first seen there
    until: dt.datetime | None  # when it should go; None: never

    def overdue(self, now: dt.datetime) -> bool:
        """Whether it should have gone."""
        return self.until is not None and self.until < now


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkKey:
    """A key of readers' links, by its name."""

    name: str
    where: str  # "settings" | "database"
    signs: bool  # what is new
    leaked_at: dt.datetime | None


def old_secrets(settings: Settings, database: Database, now: dt.datetime) -> tuple[OldSecret, ...]:
    """What is in rotation; raises StoreError."""
    standing = {
        setting: texts for setting in ACCEPTED_FOR
        if (texts := _texts(getattr(getattr(settings, setting.partition(".")[0]), setting.partition(".")[2])))
    }
    seen = first_seen.since(database, [(name, text) for name, texts in standing.items() for text in texts], now)
    return tuple(
        OldSecret(setting=name, count=len(texts), since=seen[name], until=_until(name, seen[name]))
        for name, texts in standing.items()
    )


def known_keys(settings: Settings, database: Database) -> tuple[LinkKey, ...]:
    """Every key of readers' links, the one that signs first; raises StoreError."""
    keys = link_keys(settings, database)
    kept, leaked = SigningKeys(database).kept()
    web = settings.web
    own = {*_texts(web.signing_key), *_texts(web.previous_signing_keys)}
    return tuple(
        LinkKey(name=key_name(key), where="database" if key in kept and key not in map(str.encode, own) else "settings",
                signs=key == keys.now, leaked_at=leaked.get(key_name(key)))
        for key in keys.every
    )


def leaked_signer(settings: Settings, database: Database) -> str | None:
    """The name of the key that signs what is new, if it has leaked; raises StoreError."""
    keys = link_keys(settings, database)
    return key_name(keys.now) if keys.now in keys.leaked else None


def _until(setting: str, since: dt.datetime) -> dt.datetime | None:
    days = ACCEPTED_FOR[setting]
    return None if days is None else since + dt.timedelta(days=days)


def _texts(value: object) -> tuple[str, ...]:
    match value:
        case None:
            return ()
        case SecretStr():
            return (value.get_secret_value(),)
        case str():
            return (value,)
        case tuple():
            return tuple(text for one in value for text in _texts(one))
    raise TypeError(f"no secret: {type(value).__name__}")
