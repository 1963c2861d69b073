"""Since when something that stands in no table has been so, as far as the database was told: of old secrets."""

import datetime as dt
from collections.abc import Collection, Mapping

import sqlalchemy as sa

from milepost.errors import StoreError
from store.dialects import insert
from store.engine import Database
from store.meta import Meta
from store.schema.tables import meta
from store.subscribers.addresses import address_hash

_SEEN = "seen:"


def since(database: Database, names: Collection[tuple[str, str]], now: dt.datetime) -> Mapping[str, dt.datetime]:
    """Setting → when a secret was first seen there; `names`: (setting, the secret), each seen `now` if never before.

    Of a secret only 32 bits of a keyed hash are kept: enough to know it again, too little to guess it by. What can't
    be written now is first seen the next time. Raises StoreError.
    """
    if not names:
        return {}
    key = Meta(database).address_key()
    kept = {f"{_SEEN}{setting}:{address_hash(key, secret)[:8]}": setting for setting, secret in names}
    with database.connect() as connection:
        query = sa.select(meta.c.key, meta.c.value).where(meta.c.key.in_(sorted(kept)))
        found = {row.key: row.value for row in connection.execute(query)}
    new = [{"key": name, "value": now.isoformat()} for name in kept if name not in found]
    if new:
        try:
            with database.begin() as connection:
                connection.execute(insert(connection, meta).on_conflict_do_nothing(), new)
        except StoreError:  # a full disk, somebody's lock: who asks how things stand is told all the same
            pass
    oldest: dict[str, dt.datetime] = {}
    for name, setting in kept.items():
        at = min(dt.datetime.fromisoformat(found[name]), now) if name in found else now  # later: the clock was ahead
        oldest[setting] = min(at, oldest.get(setting, at))
    return oldest
