"""Operators as the console and the desk make and change them; each act is kept.

    add ─▶ a link, printed once ─▶ (pipeline.operators.sign_in) password ─▶ signed in
"""

import datetime as dt
import re
import secrets
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from milepost.dates import utc_now
from milepost.errors import ConflictError, InputError
from milepost.records import ROLES, Role
from milepost.settings import Settings
from pipeline.operators.acts import Actor, kept
from store.database import Database
from store.operators.accounts import Operator, Operators
from store.operators.tokens import hash_of

__all__ = ["Accounts", "Invited", "Operator", "desk_url", "name_of", "role_of"]

LINK_LASTS = dt.timedelta(hours=48)
_NAME = re.compile(r"[\w.@+-]{1,80}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Invited:
    """Somebody who can set a password now."""

    operator: Operator
    link: str  # shown once: only its hash is kept
    until: dt.datetime


class Accounts:
    """All operators. Each raises StoreError, and ForbiddenError where the role of `by` may not."""

    def __init__(
        self, settings: Settings, database: Database, *, now: Callable[[], dt.datetime] = utc_now
    ) -> None:
        self._settings, self._database, self._now = settings, database, now
        self._operators = Operators(database)

    def any(self) -> bool:
        """Whether anybody may come in: before that there is no desk."""
        return self._operators.any()

    def list(self) -> Sequence[Operator]:
        """Everyone, by name, also who is disabled."""
        return self._operators.list()

    def get(self, name: str) -> Operator:
        """The one of that name; raises NotFoundError."""
        return self._operators.get(name_of(name))

    def add(self, name: str, role: Role, *, by: Actor) -> Invited:
        """A new operator; raises InputError for what is no name, ConflictError where it is taken."""
        name, token = name_of(name), secrets.token_urlsafe(32)
        return kept(
            self._database, by, "operator.add", f"operator {name}",
            lambda: self._invited(token, lambda now, until: self._operators.add(
                name, role, hash_of(token), now=now, until=until)),
            after=lambda invited: _shown(invited.operator), says=lambda _: f"{name} is {role}", now=self._now,
        )

    def reset(self, name: str, *, by: Actor) -> Invited:
        """A new link for somebody; their password, second factor and sessions are gone.

        Raises NotFoundError; ConflictError for who is locked out, whom no link lets in.
        """
        found, token = self.get(name), secrets.token_urlsafe(32)

        def do(now: dt.datetime, until: dt.datetime) -> Operator:
            if found.disabled_at is not None:
                raise ConflictError("is locked out, and a link would lead nowhere", where=found.name,
                                    hint=f"Let them in first: `milepost operators enable {found.name}`.")
            self._operators.reset(found.id, hash_of(token), now=now, until=until)
            return found

        return kept(
            self._database, by, "operator.reset", f"operator {found.name}", lambda: self._invited(token, do),
            before=_shown(found), says=lambda _: "the password is void until the link is used", now=self._now,
        )

    def change_role(self, name: str, role: Role, *, by: Actor) -> None:
        """Another role; their sessions end. Raises NotFoundError; ConflictError where no admin would be left."""
        found = self.get(name)
        kept(
            self._database, by, "operator.role", f"operator {found.name}",
            lambda: self._operators.change_role(found.id, role), before=_shown(found),
            after=lambda _: _shown(found) | {"role": role}, says=lambda _: f"{found.name} is {role}", now=self._now,
        )

    def disable(self, name: str, *, by: Actor) -> None:
        """Lock somebody out at once. Raises NotFoundError; ConflictError where no admin would be left."""
        found = self.get(name)
        kept(
            self._database, by, "operator.disable", f"operator {found.name}",
            lambda: self._operators.disable(found.id, now=self._now()), before=_shown(found),
            after=lambda _: _shown(found) | {"disabled": True}, says=lambda _: f"{found.name} is locked out",
            now=self._now,
        )

    def enable(self, name: str, *, by: Actor) -> None:
        """Let somebody in again who was locked out; raises NotFoundError."""
        found = self.get(name)
        kept(
            self._database, by, "operator.enable", f"operator {found.name}",
            lambda: self._operators.enable(found.id), before=_shown(found),
            after=lambda _: _shown(found) | {"disabled": False}, says=lambda _: f"{found.name} may come in",
            now=self._now,
        )

    def _invited(self, token: str, do: Callable[[dt.datetime, dt.datetime], Operator]) -> Invited:
        now = self._now()
        until = now + LINK_LASTS
        return Invited(operator=do(now, until), link=f"{desk_url(self._settings)}/desk/link/{token}", until=until)


def desk_url(settings: Settings) -> str:
    """Where operators reach the desk, without /desk. Pure."""
    desk = settings.desk
    if desk.base_url is not None:
        return desk.base_url
    return f"http://{desk.listen}" if desk.listen is not None else settings.web.base_url


def name_of(text: str) -> str:
    """An operator's name as it is kept; raises InputError for what is none. Pure."""
    name = unicodedata.normalize("NFC", text).strip().lower()
    if not _NAME.fullmatch(name):
        raise InputError("is no name for an operator", where=text[:80] or "the name",
                         hint="Take up to 80 letters and digits, with . @ + - _ between them.")
    return name


def role_of(word: str) -> Role:
    """A role by its word; raises InputError. Pure."""
    for role in ROLES:
        if word == role:
            return role
    raise InputError(f"there is no role {word!r}", hint=f"Choose from {', '.join(ROLES)}.")


def _shown(operator: Operator) -> dict[str, Any]:
    return {"role": operator.role, "disabled": operator.disabled_at is not None}
