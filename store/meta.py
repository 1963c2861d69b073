"""What the database knows about itself: its secret keys, made at first need, and its flags."""

import secrets

import sqlalchemy as sa

from store.dialects import insert
from store.engine import Database
from store.schema.tables import meta

SIGNING_KEY = "signing_key"
ADDRESS_KEY = "address_key"
LINKS_BY_ID_UP_TO = "links_by_id_up_to"  # whom links were mailed to that name an id (they name a handle since)
RESTORED_FROM = "restored_from"  # where the data came from; while it is there, nothing is claimed (upkeep.restore)

REFUSED = "refused:"  # with a provider's name: how many of its reports nobody had signed
PLACE = "place"  # which PostgreSQL database holds it, as that one says (upkeep.restore)


class Meta:
    """Keys and flags, one row each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> str | None:
        """The value of `key`, None when there is none."""
        with self._database.questions() as connection:
            return _value(connection, key)

    def set(self, key: str, value: str | None) -> None:
        """Write `value` under `key`; None removes it."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(meta).where(meta.c.key == key))
            if value is not None:
                connection.execute(sa.insert(meta).values(key=key, value=value))

    def add(self, key: str, more: int) -> None:
        """Count `more` under `key`, which nobody else may write meanwhile."""
        with self._database.begin() as connection:
            new = insert(connection, meta).values(key=key, value="0")
            connection.execute(new.on_conflict_do_nothing())
            counted = sa.select(meta.c.value).where(meta.c.key == key).with_for_update()
            value = str(int(connection.execute(counted).scalar_one()) + more)
            connection.execute(sa.update(meta).where(meta.c.key == key).values(value=value))

    def signing_key(self) -> bytes:
        """32 random bytes that sign unsubscribe links; the same ever after."""
        return self._secret(SIGNING_KEY)

    def address_key(self) -> bytes:
        """32 random bytes that key the hashes of suppressed addresses; the same ever after, so it is asked for once."""
        known = self._database.keys.get(ADDRESS_KEY)
        if known is None:
            known = self._database.keys[ADDRESS_KEY] = self._secret(ADDRESS_KEY)
        return known

    def _secret(self, name: str) -> bytes:
        with self._database.questions() as connection:
            found = _value(connection, name)
        if found is not None:
            return bytes.fromhex(found)
        with self._database.begin() as connection:
            # Two programs may get here at once: the first one's key stands for both.
            new = insert(connection, meta).values(key=name, value=secrets.token_hex(32))
            connection.execute(new.on_conflict_do_nothing())
            return bytes.fromhex(_value(connection, name) or "")


_VALUE = sa.select(meta.c.value).where(meta.c.key == sa.bindparam("the_key"))


def _value(connection: sa.Connection, key: str) -> str | None:
    return connection.execute(_VALUE, {"the_key": key}).scalar()
