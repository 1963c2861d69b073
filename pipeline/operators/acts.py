"""What an operator does is checked against their role and kept, before it is done and after.

    Actor, what, about, why ─▶ may they? ─▶ "asked" ─▶ (the pipeline's function) ─▶ "done", or "refused" with its words
"""

import datetime as dt
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from milepost.dates import utc_now
from milepost.errors import (
    ConflictError,
    DeliveryError,
    ForbiddenError,
    HeldError,
    InputError,
    MilepostError,
    NotFoundError,
    StoreError,
)
from milepost.printable import without_addresses
from milepost.records import ROLES, Role
from store.database import Database
from store.operators.acts import Act, Acts, Door, Outcome

__all__ = [
    "BY_A_FLOW", "NEEDS", "Act", "Actor", "act_to_json", "at_the_console", "kept", "latest", "may", "refused",
    "require",
]

log = logging.getLogger("milepost.operators")
Done = TypeVar("Done")

# What → the least role that may do it. What is not here, nobody may.
NEEDS: Mapping[str, Role] = {
    "source.try": "editor", "hold.release": "editor", "hold.refuse": "editor", "rename.resolve": "editor",
    "issue.edit": "writer", "issue.test": "writer", "issue.discard": "editor",
    "issue.approve": "editor", "issue.stop": "editor", "issue.pause": "editor", "issue.resume": "editor",
    "issue.send": "editor", "issue.throttle": "editor", "delivery.resolve": "editor",
    "reader.add": "admin", "reader.return": "admin", "reader.unsubscribe": "admin", "reader.erase": "admin",
    "reader.import": "admin", "reader.export": "admin", "address.suppress": "admin", "address.lift": "admin",
    "address.import": "admin", "address.export": "admin",
    "token.add": "admin", "token.revoke": "admin", "key.rotate": "admin", "key.leaked": "admin",
    "operator.add": "admin", "operator.role": "admin", "operator.disable": "admin", "operator.enable": "admin",
    "operator.reset": "admin",
    "self.password": "viewer", "self.totp": "viewer", "self.sign-out": "viewer",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """Whoever does something: an operator at the desk or through the API, a user of this machine at the console, or
    whoever filled in a form of Prefect's, which does not say who that was."""

    who: str
    role: Role | None  # None: whoever may read the settings, or reach Prefect's server, may everything
    door: Door
    hears: Callable[[int], None] = field(default=lambda _: None, compare=False, repr=False)  # the number of each act


BY_A_FLOW = Actor(who="prefect", role=None, door="flows")


def at_the_console(who: str) -> Actor:
    """Who types there. Pure."""
    return Actor(who=who, role=None, door="console")


def may(role: Role | None, what: str) -> bool:
    """Whether that role may do it. Pure."""
    return role is None or (what in NEEDS and ROLES.index(role) >= ROLES.index(NEEDS[what]))


def require(by: Actor, what: str) -> None:
    """Raises ForbiddenError when their role may not do it."""
    if not may(by.role, what):
        raise ForbiddenError(
            f"{by.who} is {by.role}, and that takes {NEEDS.get(what, 'more')}", where=what,
            hint="Ask an admin; `milepost operators role` changes it.",
        )


def kept(
    database: Database, by: Actor, what: str, about: str, do: Callable[[], Done], *, why: str = "",
    before: Any = None, after: Callable[[Done], Any] = lambda _: None, says: Callable[[Done], str] = lambda _: "",
    given: str | None = None, now: Callable[[], dt.datetime] = utc_now,
) -> Done:
    """Do it in their name and keep that; raises ForbiddenError, and whatever `do` raises (which is kept as well).

    No reader's address stands in a reason or a refusal that is kept: the log outlives their erase.
    `given`: see `refused`. `before`, `after`: what it changes, as JSON values; `says`: the sentence it ends in. Raises
    StoreError, and nothing was done, when it can't be written that it begins.
    """
    acts = Acts(database)
    number = acts.begin(who=by.who, role=by.role, door=by.door, what=what, about=about, why=without_addresses(why),
                        before=before, now=now())
    by.hears(number)

    def end(outcome: Outcome, said: str, changed: Any = None) -> None:
        try:
            acts.end(number, outcome, said, after=changed, now=now())
        except StoreError as error:  # it is done all the same; the log says that it began
            log.warning("act %d (%s, %s): how it ended can't be written (%s)", number, what, about, error.what)

    try:
        require(by, what)
        done = do()
    except MilepostError as error:
        sentence, told = refused(error, about, given, by.door)
        end("refused", sentence)
        if told is error:
            raise
        raise told from None
    said = says(done)
    end("done", said, after(done))
    log.info("%s at the %s: %s, %s%s", by.who, by.door, what, about, f" ({said})" if said else "")
    return done


_ABOUT_SOMEBODY = (ConflictError, DeliveryError, HeldError, InputError, NotFoundError)


def refused(error: MilepostError, about: str, given: str | None, door: Door) -> tuple[str, MilepostError]:
    """The sentence of a refusal that is kept, and the error for who asked. Pure.

    `given`: what names the reader whom it is about, as it was typed; None where it is about no reader. What is kept
    speaks of `about` instead, since the log outlives an erase, and so does the error at the desk and through the API;
    at the console it is told whole to whoever typed it.
    """
    if given is None or not isinstance(error, _ABOUT_SOMEBODY):
        return without_addresses(str(error)), error
    kind = next(one for one in _ABOUT_SOMEBODY if isinstance(error, one))
    hint = without_addresses(error.hint, given) if error.hint and given else None
    nameless = kind(without_addresses(error.what, given), where=about, hint=hint)
    return str(nameless), error if door == "console" else nameless


def latest(
    database: Database, *, who: str | None = None, about: str | None = None, before: int | None = None,
    limit: int = 50,
) -> Sequence[Act]:
    """What was done, the latest first; `before`: what is older than that number."""
    return Acts(database).list(who=who, about=about, before=before, limit=limit)


def act_to_json(one: Act) -> dict[str, Any]:
    """The form of `operators log --json`."""
    return {
        "id": one.id, "at": one.at.isoformat(), "who": one.who, "role": one.role, "door": one.door, "what": one.what,
        "about": one.about, "why": one.why, "outcome": one.outcome, "said": one.said, "before": one.before,
        "after": one.after, "ended_at": one.ended_at and one.ended_at.isoformat(),
    }
