"""What a reader will see, shown in a frame that can do nothing: the mail's own bytes under a policy of their own.

    frame, sandboxed ─▶ GET …/mail.html?scheme=dark ─▶ the HTML part; its one question, for the scheme, is answered
"""

import re
from collections.abc import Sequence
from typing import Literal
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from milepost.errors import NotFoundError
from milepost.records import Variant
from milepost.settings import Settings
from newsletter.news.select import EVERYTHING
from pipeline import edit
from web.desk.desk import Desk, Section
from web.desk.looks import HEADERS
from web.desk.visits import Visit

Scheme = Literal["light", "dark", ""]
_ASKS = re.compile(r"@media\s*\(\s*prefers-color-scheme\s*:\s*(dark|light)\s*\)", re.IGNORECASE)
_MAIN = re.compile(r'(<meta\s+name="(?:color-scheme|supported-color-schemes)"\s+content=")[^"]*(")', re.IGNORECASE)


class Previews:
    """Their routes."""

    section: Section | None = None

    def __init__(self, desk: Desk) -> None:
        self._desk, self._policy = desk, policy(desk.settings)

    def routes(self) -> Sequence[Route]:
        """In the order they are tried."""
        return [
            self._desk.page("/desk/issues/{number}/mail.html", self.html),
            self._desk.page("/desk/issues/{number}/mail.txt", self.text),
        ]

    def html(self, visit: Visit) -> Response:
        """The HTML part."""
        scheme = visit.asked("scheme")
        content = answered(self._variant(visit).html, "dark" if scheme == "dark" else "light" if scheme else "")
        return HTMLResponse(content, headers=HEADERS | {
            "Content-Security-Policy": self._policy, "X-Frame-Options": "SAMEORIGIN",
        })

    def text(self, visit: Visit) -> Response:
        """The text part."""
        return Response(self._variant(visit).text, media_type="text/plain", headers=HEADERS)

    def _variant(self, visit: Visit) -> Variant:
        number, name = visit.number("number"), visit.asked("variant", EVERYTHING)
        names = edit.variant_names(self._desk.database, number)
        if name == EVERYTHING and names:
            name = names[0]
        one = edit.variant(self._desk.settings, self._desk.database, number, name, now=visit.now)
        if one is None:
            raise NotFoundError(f"it has no variant {name!r}", where=f"issue {number}")
        return one


def policy(settings: Settings) -> str:
    """A mail's own styles, its pictures from where readers get them, and nothing that runs, moves or is sent."""
    own = urlsplit(settings.web.base_url)
    pictures = ["'self'", "data:", f"{own.scheme}://{own.netloc}"]
    if settings.newsletter.images is True or settings.newsletter.logo:
        pictures.append("https:")
    return (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
        f"frame-ancestors 'self'; img-src {' '.join(pictures)}"
    )


def answered(content: str, scheme: Scheme) -> str:
    """A mail's HTML as a client in that colour scheme shows it; "": as this browser does. Pure."""
    if not scheme:
        return content
    content = _ASKS.sub(lambda asked: "@media all" if asked[1].lower() == scheme else "@media not all", content)
    return _MAIN.sub(rf"\g<1>{scheme}\g<2>", content)
