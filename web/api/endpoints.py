"""What an endpoint is: one row that says its address, its scope, what it takes, what it answers, and who does it.

    a request ─▶ token ─▶ limit ─▶ scope ─▶ path, query, body (models) ─▶ run ─▶ an answer (model), ETag ─▶ JSON
                                                                    any "no" on the way ─▶ a problem
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from pydantic import BaseModel

from pipeline.operators.acts import Actor
from pipeline.operators.api_tokens import Scope, Token
from web.api.models import Sent

Taken = TypeVar("Taken", bound=BaseModel)
Verb = Literal["GET", "POST", "PUT"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One request that was let in and could be read."""

    token: Token
    now: dt.datetime
    path: BaseModel | None
    query: BaseModel | None
    body: BaseModel | None

    def at(self, kind: type[Taken]) -> Taken:
        """The path's numbers and names."""
        return _is(self.path, kind)

    def asked(self, kind: type[Taken]) -> Taken:
        """The query."""
        return _is(self.query, kind)

    def sent(self, kind: type[Taken]) -> Taken:
        """The body."""
        return _is(self.body, kind)

    @property
    def actor(self) -> Actor:
        """Whose act it is, in every log; what a token may is what its scopes say."""
        return Actor(who=f"token {self.token.name}", role=None, door="api")


def _is(taken: BaseModel | None, kind: type[Taken]) -> Taken:
    assert isinstance(taken, kind)  # noqa: S101 (the endpoint's own row says so)
    return taken


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One of them."""

    verb: Verb
    path: str  # below /api/v1, as OpenAPI writes it: "/looks/{number}"
    scope: Scope | None  # None: any token
    about: str  # a sentence
    answer: type[BaseModel]
    run: Callable[[Call], BaseModel]
    tag: str
    name: str  # operationId
    at: type[Sent] | None = None
    query: type[Sent] | None = None
    body: type[Sent] | None = None
    seen: Callable[[Call], BaseModel] | None = None  # of an act: what If-Match is compared with
    acts: bool = False
    says: Mapping[int, str] | None = None  # further statuses, and when
