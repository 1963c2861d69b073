"""How fast an issue is sent while it is being sent: an operator's word in the database, which a dispatcher asks for.

    milepost issue throttle N RATE ─▶ meta "throttle.N" ─▶ asked once a second ─▶ the pace of all connections
"""

import logging
from collections.abc import Callable

from milepost.errors import ConflictError, InputError, StoreError
from store.database import Database
from store.issues.issues import Issues
from store.meta import Meta

log = logging.getLogger("milepost.dispatch")

FASTEST = 100_000.0  # messages a second, as in mail.per_second
_OVER = ("complete", "cancelled")


def throttle(database: Database, number: int, per_second: float | None) -> None:
    """Send issue `number` at `per_second` messages a second from now on, whatever mail.per_second says; None: by that.

    A dispatcher that runs obeys within seconds, one that is started later from its first mail on; each dispatcher has
    that rate for itself. Raises NotFoundError for no such issue, ConflictError for one that is over, InputError for no
    rate.
    """
    if per_second is not None and not 0 < per_second <= FASTEST:
        raise InputError(
            f"{per_second:g} is no rate", where=f"issue {number}",
            hint=f"Give messages a second, more than 0 and {FASTEST:,.0f} at most; `milepost issue pause` stops it.",
        )
    state = Issues(database).get(number).state
    if state in _OVER:
        raise ConflictError(f"it is {state}", where=f"issue {number}", hint="There is nothing left to slow down.")
    Meta(database).set(_key(number), None if per_second is None else repr(per_second))


def throttled(database: Database, number: int) -> float | None:
    """The rate that an operator gave issue `number`, None where none did."""
    kept = Meta(database).get(_key(number))
    return None if kept is None else float(kept)


def watched(database: Database, number: int, *, usual: float | None) -> Callable[[], float | None]:
    """What a dispatch asks for its rate: the operator's, else `usual`.

    A database that can't be read for a moment changes no rate. Raises StoreError when it can't be read even now.
    """
    last = throttled(database, number)

    def rate() -> float | None:
        nonlocal last
        try:
            asked = throttled(database, number)
        except StoreError as error:
            log.warning("issue %d: the throttle can't be read, the rate stays as it is (%s)", number, error.what)
        else:
            if asked != last:
                told = f"{asked:g} a second" if asked is not None else "as mail.per_second has it"
                log.info("issue %d: throttled to %s", number, told)
            last = asked
        return usual if last is None else last

    return rate


def forget(database: Database, number: int) -> None:
    """The issue is complete: its throttle is of no use any more."""
    if throttled(database, number) is not None:
        Meta(database).set(_key(number), None)


def _key(number: int) -> str:
    return f"throttle.{number}"
