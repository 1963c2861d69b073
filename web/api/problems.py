"""Every "no" of the API in one form: application/problem+json (RFC 9457), with our where and hint beside its detail."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from milepost.errors import InputError, MilepostError
from web.refusals import Statuses, status_of
from web.writing import RETRY_SECONDS

MEDIA_TYPE = "application/problem+json"
_OWN: Statuses = ((InputError, 422),)
_TITLES = {
    400: "That is no request we can read", 401: "A token is needed", 403: "This token may not do that",
    404: "There is no such thing", 405: "Not by this method", 408: "The request did not come in time",
    409: "Its state forbids that", 412: "It changed meanwhile", 413: "The request is too long",
    415: "The body has to be JSON", 422: "What was sent can't be used", 429: "Too many requests",
    500: "That is a bug of Milepost's", 502: "The relay said no", 503: "Not now",
}


class Fault(BaseModel):
    """One thing that is wrong with what was sent."""

    model_config = ConfigDict(title="Fault")

    where: str = Field(description="The field: body.why, query.limit")
    says: str


class ProblemDetails(BaseModel):
    """RFC 9457, with two members of our own and the list of faults of what was sent."""

    model_config = ConfigDict(title="ProblemDetails")

    type: str = "about:blank"
    title: str
    status: int
    detail: str = Field(description="What went wrong, in a sentence")
    where: str | None = Field(default=None, description="What it is about")
    hint: str | None = Field(default=None, description="What to do next")
    faults: list[Fault] | None = None


class Problem(Exception):  # noqa: N818 (an answer)
    """Ends a request with a problem."""

    def __init__(
        self, status: int, detail: str, *, where: str | None = None, hint: str | None = None,
        faults: Sequence[Fault] | None = None, headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.told = ProblemDetails(
            title=_TITLES.get(status, "No"), status=status, detail=detail, where=where, hint=hint,
            faults=None if faults is None else list(faults),
        )
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """As it is sent."""
        body = self.told.model_dump_json(exclude_none=True)
        return Response(body, self.told.status, headers={"Cache-Control": "no-store"} | self.headers,
                        media_type=MEDIA_TYPE)


def of_error(error: MilepostError) -> Problem:
    """What an error of the pipeline is to a program."""
    status = status_of(error, _OWN, 503)
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else {}
    return Problem(status, error.what, where=error.where, hint=error.hint, headers=headers)


def of_invalid(error: ValidationError, place: str, status: int = 422) -> Problem:
    """What pydantic found in the path, the query or the body; nothing of what was sent is repeated."""
    found: list[Any] = error.errors(include_url=False, include_context=False, include_input=False)
    faults = [Fault(where=".".join([place, *map(str, one["loc"])])[:200], says=one["msg"]) for one in found[:20]]
    return Problem(status, f"{faults[0].where}: {faults[0].says}", faults=faults,
                   hint="See /api/v1/openapi.json for what is wanted.")
