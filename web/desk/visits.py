"""A visit: one request of somebody who is signed in, what they may, and the page they get."""

import datetime as dt
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from milepost.errors import InputError, NotFoundError
from milepost.records import Role
from pipeline.operators.acts import Actor, may
from pipeline.operators.sign_in import Session
from web.public.forms import host_of

LONGEST_FILE = 8 * 1024 * 1024  # bytes of a form with a file in it; the console takes longer ones
PAGE = 50  # entries of a list that goes on
MOST = 200
_NUMBER = re.compile(r"[0-9]{1,15}")


class Form(Mapping[str, list[str]]):
    """What a form sent."""

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        """A field's first value without the space around it; "" where it is missing."""
        return self._fields.get(name, [""])[0].strip()

    def all(self, name: str) -> list[str]:
        """All values of a field that are not empty."""
        return [value.strip() for value in self._fields.get(name, []) if value.strip()]

    def number(self, name: str) -> float:
        """A number; raises InputError."""
        try:
            return float(self.text(name).replace(",", "."))
        except ValueError:
            raise InputError(f"“{self.text(name)[:40]}” is no number", where=name) from None

    def __getitem__(self, name: str) -> list[str]:
        return self._fields[name]

    def __iter__(self) -> Any:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


class Host(Protocol):
    """What a visit needs of the desk that it comes to."""

    def now(self) -> dt.datetime:
        """This moment."""
        ...

    def render(
        self, template: str, *, visit: "Visit | None", title: str, status: int = 200, **values: Any
    ) -> Response:
        """A page of the desk's."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """Who asks for what."""

    desk: Host
    request: Request
    session: Session
    token: str  # of the session
    kept: list[int] = field(default_factory=list)  # the numbers of the acts that it came to

    @property
    def role(self) -> Role:
        """Theirs."""
        return self.session.operator.role

    @property
    def actor(self) -> Actor:
        """In whose name something is done."""
        return Actor(who=self.session.operator.name, role=self.role, door="desk", hears=self.kept.append)

    @property
    def csrf(self) -> str:
        """What a form of this session has to show; nobody who does not know the cookie can tell it."""
        return csrf_of(self.token)

    @property
    def host(self) -> str | None:
        """The address they come from."""
        return host_of(self.request)

    @property
    def now(self) -> dt.datetime:
        """This moment."""
        return self.desk.now()

    def may(self, what: str) -> bool:
        """Whether their role may do it."""
        return may(self.role, what)

    def number(self, name: str) -> int:
        """A number in the path; raises NotFoundError for what is none."""
        text = str(self.request.path_params[name])
        if not _NUMBER.fullmatch(text):
            raise NotFoundError("there is no such page", where=text[:40])
        return int(text)

    def asked(self, name: str, otherwise: str = "") -> str:
        """A word of the query, 200 characters at most."""
        return self.request.query_params.get(name, otherwise).replace("\0", "").strip()[:200]

    @property
    def before(self) -> int | None:
        """For a list that goes on: older than that number."""
        return int(text) if _NUMBER.fullmatch(text := self.asked("before")) else None

    @property
    def place(self) -> int:
        """For a list that goes on by place: how many entries come before."""
        return int(text) if _NUMBER.fullmatch(text := self.asked("from")) else 0

    @property
    def limit(self) -> int:
        """How many entries a page of a list has."""
        return min(max(int(text), 1), MOST) if _NUMBER.fullmatch(text := self.asked("limit")) else PAGE

    def page(self, template: str, *, title: str, status: int = 200, **values: Any) -> Response:
        """The page of a template in templates/desk."""
        return self.desk.render(template, visit=self, title=title, status=status, **values)


def csrf_of(token: str) -> str:
    """See `Visit.csrf`. Pure."""
    return hmac.new(token.encode("utf-8", "surrogatepass"), b"milepost desk form", "sha256").hexdigest()
