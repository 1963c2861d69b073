"""How operators come in: a password and perhaps a code, a link for the first time, or a proxy that has asked already.

    name, password, code ─▶ counted ─▶ looked at, whoever it is ─▶ right ─▶ a session: a token, of which a hash is kept
    link ─▶ a new password ─▶ a session
    cookie ─▶ session ─▶ whose, in which role; None when it is over
"""

import datetime as dt
import hmac
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from milepost.dates import utc_now
from milepost.errors import ForbiddenError, InputError, StoreError
from milepost.settings import Settings
from pipeline.operators.accounts import name_of
from pipeline.operators.acts import Actor, kept
from pipeline.operators.passwords import Passwords, step_of
from pipeline.sign_up import network_of
from store.database import Database
from store.meta import Meta
from store.operators.accounts import SEEN_EVERY, Operator, Operators, Session
from store.operators.guesses import WINDOW, Guesses, Limits
from store.operators.tokens import hash_of

__all__ = ["Session", "SignIn", "SignedIn"]

log = logging.getLogger("milepost.operators")
_WRONG = "the name, the password or the code is wrong"


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedIn:
    """Somebody who came in."""

    operator: Operator
    token: str  # for the cookie: nothing that is kept tells it


class SignIn:
    """Every way in. Each raises StoreError when the database can't."""

    def __init__(
        self, settings: Settings, database: Database, *, now: Callable[[], dt.datetime] = utc_now,
        passwords: Passwords | None = None, limits: Limits | None = None,
    ) -> None:
        self._settings, self._database, self._now = settings, database, now
        self._operators, self._guesses = Operators(database), Guesses(database, limits)
        self._passwords = passwords or Passwords()

    @property
    def idle(self) -> dt.timedelta:
        """How long a session lives without a click."""
        return dt.timedelta(minutes=self._settings.desk.idle_minutes)

    def by_password(
        self, name: str, password: str, code: str, *, host: str | None, instead_of: str | None = None
    ) -> SignedIn:
        """Let in who knows the password, and the code where one is asked for; `instead_of`: the session before.

        Raises InputError, in the same words whatever was wrong, and ForbiddenError after too many guesses.
        """
        number = self._counted(name, host)
        operator = self._found(name)
        right = self._passwords.right(operator.password if operator else None, password)
        if operator is None or not right or operator.password is None or not self._code(operator, code):
            log.warning("somebody could not sign in to the desk, from %s", network_of(host))
            raise InputError(_WRONG, hint="An admin makes a new link: `milepost operators reset`.")
        self._guesses.forgive(number)
        if self._passwords.old(operator.password):
            again = self._passwords.again(password)
            self._operators.rehash(operator.id, operator.password, again)
            operator = replace(operator, password=again)
        return self._begin(operator, instead_of)

    def by_proxy(self, name: str, *, instead_of: str | None = None) -> SignedIn:
        """Let in whom a proxy of ours has signed in; raises ForbiddenError for who is no operator."""
        operator = self._found(name)
        if operator is None:
            raise ForbiddenError(
                "is no operator here", where=name[:80],
                hint="An admin adds them: `milepost operators add NAME --role viewer`.",
            )
        return self._begin(operator, instead_of)

    def session(self, token: str, *, clicked: bool = True) -> Session | None:
        """Whose cookie it is, and that it was used; None where it lets nobody in (any more).

        `clicked`: no page asks by itself, which would keep a desk open that nobody sits at.
        """
        now, hashed = self._now(), hash_of(token)
        found = self._operators.session(hashed, now=now, idle=self.idle)
        if clicked and found is not None and now - found.seen_at >= SEEN_EVERY:
            try:
                self._operators.seen(hashed, now=now)
            except StoreError:
                log.warning("it can't be written that a session of the desk was used")
        return found

    def sign_out(self, token: str) -> None:
        """End a session."""
        self._operators.end_session(hash_of(token))

    def sign_out_elsewhere(self, session: Session, token: str, *, by: Actor) -> int:
        """End their other sessions; returns how many there were."""
        who = session.operator
        return kept(
            self._database, by, "self.sign-out", f"operator {who.name}",
            lambda: self._operators.end_sessions(who.id, but=hash_of(token)),
            says=lambda count: f"{count} sessions ended", now=self._now,
        )

    def sessions(self, operator: Operator) -> int:
        """How many sessions of theirs there are."""
        return self._operators.sessions(operator.id, now=self._now(), idle=self.idle)

    # --- the first time, and later changes --------------------------------------------------------------------------

    def linked(self, link: str) -> Operator | None:
        """Whose link it is, None where it leads nowhere (any more)."""
        return self._operators.linked(hash_of(link), self._now())

    def by_link(self, link: str, password: str, *, instead_of: str | None = None) -> SignedIn:
        """Set a password by a link, and come in; raises InputError for a password that won't do, or a link that is
        used up."""
        operator = self.linked(link)
        if operator is None:
            raise InputError("this link leads nowhere any more", hint="An admin makes a new one.")
        hashed = self._passwords.hash(password, name=operator.name)
        used = self._operators.use_link(hash_of(link), hashed, now=self._now())
        if used is None:
            raise InputError("this link was used already", hint="An admin makes a new one.")
        by = Actor(who=used.name, role=used.role, door="desk")
        kept(self._database, by, "self.password", f"operator {used.name}", lambda: None,
             says=lambda _: "set by a link", now=self._now)
        return self._begin(used, instead_of)

    def change_password(
        self, session: Session, old: str, new: str, *, by: Actor, host: str | None
    ) -> SignedIn:
        """Another password; every session ends, and a new one begins here. Raises InputError, ForbiddenError."""
        who = session.operator
        self._confirm(who, old, host)
        hashed = self._passwords.hash(new, name=who.name)
        kept(self._database, by, "self.password", f"operator {who.name}",
             lambda: self._operators.set_password(who.id, hashed, now=self._now()),
             says=lambda _: "changed; signed out everywhere else", now=self._now)
        return self._begin(replace(who, password=hashed), None)

    def ask_for_codes(
        self, session: Session, secret: str, code: str, password: str, *, by: Actor, host: str | None
    ) -> None:
        """A second factor from now on; raises InputError where the code is not one of the secret's."""
        who = session.operator
        self._confirm(who, password, host)
        step = step_of(secret, code, self._now())
        if step is None:
            raise InputError("the code is wrong", hint="Is the clock of the device that shows it right?")
        kept(self._database, by, "self.totp", f"operator {who.name}",
             lambda: self._operators.set_totp(who.id, secret, step=step),
             says=lambda _: "asked for codes from now on", now=self._now)

    def ask_for_no_codes(self, session: Session, password: str, *, by: Actor, host: str | None) -> None:
        """No second factor any more; raises InputError for a wrong password."""
        who = session.operator
        self._confirm(who, password, host)
        kept(self._database, by, "self.totp", f"operator {who.name}",
             lambda: self._operators.set_totp(who.id, None), says=lambda _: "asked for no codes any more",
             now=self._now)

    # ----------------------------------------------------------------------------------------------------------------

    def _counted(self, name: str, host: str | None) -> int:
        """Count a guess before it is looked at; raises ForbiddenError when there were too many."""
        key = Meta(self._database).address_key()

        def hashed(text: str) -> str:
            return hmac.new(key, text.encode("utf-8", "surrogatepass"), "sha256").hexdigest()

        number = self._guesses.begin(
            hashed(f"operator {name.strip().lower()[:200]}"), hashed(f"network {network_of(host)}"), now=self._now()
        )
        if isinstance(number, int):
            return number
        log.warning("too many wrong passwords at the desk from %s: refused", network_of(host))
        minutes = int(WINDOW.total_seconds() // 60)
        raise ForbiddenError("too many wrong passwords came from this network", hint=f"Wait for {minutes} minutes.")

    def _confirm(self, who: Operator, password: str, host: str | None) -> None:
        """Raises InputError unless it is their password: a session that was left open changes no way in."""
        number = self._counted(who.name, host)
        if not self._passwords.right(who.password, password):
            raise InputError("the present password is wrong")
        self._guesses.forgive(number)

    def _found(self, name: str) -> Operator | None:
        try:
            operator = self._operators.find(name_of(name))
        except InputError:
            return None
        return None if operator is None or operator.disabled_at is not None else operator

    def _code(self, operator: Operator, code: str) -> bool:
        """Whether it is right, and was not used before."""
        if operator.totp_secret is None:
            return True
        step = step_of(operator.totp_secret, code, self._now())
        return step is not None and self._operators.use_step(operator.id, step)

    def _begin(self, operator: Operator, instead_of: str | None) -> SignedIn:
        now, token = self._now(), secrets.token_urlsafe(32)
        until = now + dt.timedelta(hours=self._settings.desk.session_hours)
        before = hash_of(instead_of) if instead_of else None
        if not self._operators.begin_session(operator, hash_of(token), now=now, until=until, instead_of=before):
            raise InputError(_WRONG, hint="An admin makes a new link: `milepost operators reset`.")
        return SignedIn(operator=operator, token=token)
