"""The pictures of sites that we serve: one address for all readers, and nothing in it tells who asks.

    GET /i/{name}
"""

import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from web.pages import Pages
from web.ports import Pictures

_FILE = re.compile(r"([0-9a-f]{64})(?:\.(?:jpg|png))?", re.ASCII)
_DAY = 24 * 60 * 60


class ServedPictures:
    """Its route."""

    def __init__(self, pages: Pages, pictures: Pictures) -> None:
        self._pages = pages
        self._pictures = pictures

    def routes(self) -> list[Route]:
        return [Route("/i/{name}", self._picture, methods=["GET"])]

    def _picture(self, request: Request) -> Response:
        name: str = request.path_params["name"]
        named = _FILE.fullmatch(name)
        found = self._pictures.get(named[1]) if named else None
        if found is None:
            return self._pages.page("missing.html.j2", status=404)
        return Response(found.data, media_type=found.media_type, headers={
            "Cache-Control": f"public, max-age={_DAY}",  # a day: what the site takes down goes
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
            "Cross-Origin-Resource-Policy": "cross-origin",  # a reader's mail program is another site
        })
