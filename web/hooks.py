"""Where providers post bounces and complaints: POST /hooks/{provider}, answered only after the effect is on the disk.

    200 recorded (also what was seen before) · 401 not theirs · 400 unreadable · 404 not set up · 503 post it again
"""

import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from delivery.bounces.provider_events import ForgedError, MalformedError
from milepost.errors import FetchError, NotFoundError, StoreError
from web.ports import Reports
from web.public.forms import read_body
from web.writing import RETRY_SECONDS, Writers

_log = logging.getLogger(__name__)
LONGEST = 1024 * 1024  # bytes; SendGrid posts up to a few hundred events at once


class Hooks:
    """Its route; `refused` counts what nobody had signed, by provider."""

    def __init__(self, reports: Reports, *, writers: Writers, now: Callable[[], dt.datetime]) -> None:
        self._reports, self._writers, self._now = reports, writers, now
        self.refused: Counter[str] = Counter()

    def routes(self) -> Sequence[Route]:
        """In the order they are tried."""
        return [Route("/hooks/{provider:str}", self.post, methods=["POST"])]

    async def post(self, request: Request) -> Response:
        """Take one request of a provider's."""
        provider = request.path_params["provider"]
        body = await read_body(request, LONGEST)
        try:
            results = await self._writers.run(
                partial(self._reports.take, provider, dict(request.headers), body, self._now())
            )
        except NotFoundError:
            return _answer(404, {"error": "not set up"})
        except ForgedError as error:
            self.refused[provider] += 1
            count = self.refused[provider]
            _log.warning("a report by /hooks/%s is not believed (%d so far): %s", provider, count, error)
            return _answer(401, {"error": "not signed by them"})
        except MalformedError as error:
            _log.warning("a report by /hooks/%s can't be read: %s", provider, error)
            return _answer(400, {"error": "not readable"})
        except (StoreError, FetchError) as error:
            _log.warning("a report by /hooks/%s has to be posted again: %s", provider, error)
            return _answer(503, {"error": "later"}, {"Retry-After": str(RETRY_SECONDS)})
        return _answer(200, results)


def _answer(status: int, told: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(dict(told), status, headers={"Cache-Control": "no-store", **(headers or {})})
