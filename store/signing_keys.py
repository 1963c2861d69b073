"""The keys of readers' links that the database keeps: the one that signs, those of before, and which have leaked.

    rotate ─▶ a new random key signs, the old one is kept        leak ─▶ what a key has signed can only unsubscribe
"""

import datetime as dt
import hashlib
import json
import secrets
from collections.abc import Mapping

import sqlalchemy as sa

from store.dialects import insert, serialize
from store.engine import Database
from store.meta import SIGNING_KEY, Meta
from store.schema.tables import meta

_OLD, _LEAKED = "old_signing_key:", "leaked_signing_key:"  # with the key's name


def key_name(key: bytes) -> str:
    """How a key is called where it must not stand itself: 8 hexadecimal digits of its hash. Pure."""
    return hashlib.sha256(b"milepost signing key\0" + key).hexdigest()[:8]


class SigningKeys:
    """All of them. Every method raises StoreError when the database can't."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def own(self) -> bytes:
        """The database's own that signs where the settings set none; made at first need."""
        return Meta(self._database).signing_key()

    def kept(self) -> tuple[tuple[bytes, ...], Mapping[str, dt.datetime]]:
        """The database's own keys, the one that signs first and the youngest of before next; and the names of those
        that have leaked, whoever's they are, with when that was said."""
        query = sa.select(meta.c.key, meta.c.value).where(
            (meta.c.key == SIGNING_KEY) | meta.c.key.startswith(_OLD) | meta.c.key.startswith(_LEAKED)
        )
        with self._database.questions() as connection:
            found = {row.key: row.value for row in connection.execute(query)}
        old = sorted((json.loads(value) for key, value in found.items() if key.startswith(_OLD)),
                     key=lambda one: str(one["until"]), reverse=True)
        own = [found[SIGNING_KEY]] if SIGNING_KEY in found else []
        return (
            tuple(map(bytes.fromhex, [*own, *(one["key"] for one in old)])),
            {key.removeprefix(_LEAKED): dt.datetime.fromisoformat(value)
             for key, value in found.items() if key.startswith(_LEAKED)},
        )

    def rotate(self, now: dt.datetime) -> tuple[bytes, bytes]:
        """A new random key signs from now on: the key of before, and the new one, both durable before either is told.

        Two at once make two new keys, one after the other, and none is lost.
        """
        new = secrets.token_bytes(32)
        with self._database.begin() as connection:
            serialize(connection, "signing keys")
            row = insert(connection, meta).values(key=SIGNING_KEY, value=secrets.token_hex(32))
            connection.execute(row.on_conflict_do_nothing())
            before = bytes.fromhex(connection.execute(
                sa.select(meta.c.value).where(meta.c.key == SIGNING_KEY)
            ).scalar_one())
            kept = json.dumps({"key": before.hex(), "until": now.isoformat()})
            connection.execute(sa.insert(meta).values(key=f"{_OLD}{key_name(before)}", value=kept))
            connection.execute(sa.update(meta).where(meta.c.key == SIGNING_KEY).values(value=new.hex()))
        return before, new

    def leak(self, name: str, now: dt.datetime) -> None:
        """The key of that name has leaked; said twice it stays as it was."""
        with self._database.begin() as connection:
            row = insert(connection, meta).values(key=f"{_LEAKED}{name}", value=now.isoformat())
            connection.execute(row.on_conflict_do_nothing())
