"""Changes the key of readers' links that the database keeps, and says of any key that it has leaked; both are kept.

    rotate ─▶ a new key signs, links of before go on working     leaked ─▶ what that key signed lets readers leave, only
"""

import datetime as dt

from milepost.errors import ConflictError, InputError, NotFoundError
from milepost.settings import Settings
from pipeline.operate.rotation import LinkKey, known_keys
from pipeline.operators.acts import at_the_console, kept
from store.database import Database
from store.signing_keys import SigningKeys, key_name

__all__ = ["LinkKey", "known_keys", "leaked", "rotate"]


def rotate(
    settings: Settings, database: Database, *, has_leaked: bool, why: str, by: str, now: dt.datetime
) -> tuple[str, str]:
    """Let a new random key of the database's sign; the names of the key of before and of the new one.

    `has_leaked`: the key of before has, see `leaked`. Raises ConflictError where the settings set the key.
    """
    _reason(why)

    def change() -> tuple[str, str]:
        if settings.web.signing_key is not None:
            raise ConflictError(
                "the settings set the key, not the database", where="web.signing_key",
                hint="Put it among web.previous_signing_keys, a new one in its place, and start anew; "
                "docs/operations/keys.md has the steps.",
            )
        keys = SigningKeys(database)
        old, new = map(key_name, keys.rotate(now))
        if has_leaked:
            keys.leak(old, now)
        return old, new

    return kept(
        database, at_the_console(by), "key.rotate", "the key of readers' links", change, why=why,
        after=lambda names: {"old": names[0], "new": names[1], "leaked": has_leaked},
        says=lambda names: f"{names[1]} signs instead of {names[0]}", now=lambda: now,
    )


def leaked(settings: Settings, database: Database, name: str, *, why: str, by: str, now: dt.datetime) -> None:
    """What the key of that name has signed lets readers leave from now on, and nothing else.

    Raises NotFoundError for no key's name, ConflictError for the key that signs.
    """
    _reason(why)

    def say() -> None:
        found = next((one for one in known_keys(settings, database) if one.name == name), None)
        if found is None:
            raise NotFoundError("there is no key of that name", where=name, hint="See `milepost keys`.")
        if found.signs:
            hint = (
                "Run `milepost keys rotate --leaked --why …`." if settings.web.signing_key is None else
                "Put it among web.previous_signing_keys, a new one in its place, start anew, and say it again."
            )
            raise ConflictError("it signs the links of today's mails", where=name, hint=hint)
        SigningKeys(database).leak(name, now)

    kept(
        database, at_the_console(by), "key.leaked", f"key {name}", say, why=why,
        says=lambda _: "its links let readers leave, and nothing else", now=lambda: now,
    )


def _reason(why: str) -> None:
    if not why.strip():
        raise InputError("it is empty", where="--why", hint="Say why; it is kept.")
