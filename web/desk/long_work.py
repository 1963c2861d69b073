"""Work that may take longer than anybody waits for a page: it begins at once, says how far it is, ends with what came.

    a form ─▶ done within AT_ONCE_S ─▶ the page, as any form's
           └▶ a page that goes on ─ "40,000 of 100,000", every EVERY_S ─▶ what came of it, which hides the rest

Nothing is kept between two requests, so that any of several processes may answer, and no script is needed. What can't
be done is told with its own status only within AT_ONCE_S: a status goes before its page (RFC 9110 §15).
"""

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response, StreamingResponse

from milepost.errors import MilepostError
from web.desk.looks import HEADERS

AT_ONCE_S = 1.0
EVERY_S = 0.5
_HERE = "<!-- how far -->"  # in the page that begins: what is told goes there


class Steps:
    """How far work in another thread is."""

    def __init__(self) -> None:
        self._now = (0, 0)

    def note(self, done: int, total: int) -> None:
        """Called by the work: so many of so many."""
        self._now = (done, total)  # at once, for both are read together

    def told(self) -> str:
        """A line of a page; "" where nothing is known yet."""
        done, total = self._now
        return f"<p>{done:,} of {total:,}</p>\n" if total else ""


async def answer(
    doing: "asyncio.Future[Response]", steps: Steps, *, begun: Callable[[], str],
    refused: Callable[[MilepostError], Response],
) -> Response:
    """The answer of `doing`, or one that grows until it is there. Raises what it raises within AT_ONCE_S.

    `begun`: the page that says what goes on; `refused`: the one that tells what can't be done.
    """
    await asyncio.wait([doing], timeout=AT_ONCE_S)
    if doing.done():
        return doing.result()
    doing.add_done_callback(_heard)
    headers = HEADERS | {"X-Accel-Buffering": "no"}  # nginx would keep it until it is whole
    return StreamingResponse(_grows(doing, steps, begun, refused), media_type=HTMLResponse.media_type, headers=headers)


async def _grows(
    doing: "asyncio.Future[Response]", steps: Steps, begun: Callable[[], str],
    refused: Callable[[MilepostError], Response],
) -> AsyncIterator[str]:
    before, _, after = (await run_in_threadpool(begun)).partition(_HERE)
    yield before
    last = ""
    while not doing.done():
        if (told := steps.told()) != last:
            last = told
            yield told
        await asyncio.wait([doing], timeout=EVERY_S)
    try:
        page = doing.result()
    except MilepostError as error:
        page = await run_in_threadpool(refused, error)
    # What the page that began has behind its lines is closed before the other's own begins.
    yield f'{after.partition("</main>")[0]}<div class="done" hidden></div>\n{_inside(bytes(page.body).decode("utf-8"))}'


def _inside(page: str) -> str:
    """A page of the desk from its <main> on."""
    return page.partition("<main")[2].partition(">")[2]


def _heard(doing: "asyncio.Future[Response]") -> None:
    """Whoever asked is gone: what went wrong is nobody's to be told, and the work's own record has it."""
    if not doing.cancelled():
        doing.exception()
