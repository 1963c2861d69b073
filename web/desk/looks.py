"""How the desk's pages are made: one template folder, one style, one script, and the headers that keep them apart."""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from milepost import __version__
from milepost.dates import utc_now
from milepost.printable import counted
from milepost.settings import Settings
from newsletter.issue.render import templates_folder
from newsletter.issue.theme import theme_for
from pipeline.operators.acts import NEEDS, may
from web.pages import COMPILED

# Nothing from elsewhere, nothing inline; a preview has a policy of its own (web.desk.previews).
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow",
    "Referrer-Policy": "same-origin",  # with none at all, browsers send forms with "Origin: null"
}
_TYPED = re.compile("`([^`]+)`")
_ASSETS = {"desk.css": "text/css", "desk.js": "text/javascript"}


class Looks:
    """Renders templates/desk; build it once. Every value is escaped, an unknown one is an error."""

    def __init__(self, settings: Settings) -> None:
        letter = settings.newsletter
        theme = theme_for(letter.accent)
        self._zone = ZoneInfo(letter.timezone)
        self.root = urlsplit(settings.desk.base_url or ("" if settings.desk.listen else settings.web.base_url)).path
        self._environment = Environment(
            loader=FileSystemLoader(templates_folder() / "desk"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True, bytecode_cache=COMPILED,
        )
        self._environment.filters.update(
            moment=self.moment, day=self.day, clock=self.clock, ago=_ago, json=_json, many=counted,
            short=lambda text: str(text)[:12], lasting=lasting, typed=typed,
        )
        self._environment.globals.update(
            newsletter=letter.name, root=self.root, zone=letter.timezone, light=theme.light, dark=theme.dark,
            sans=letter.label_font, version=__version__, needs=NEEDS, may=may, now=utc_now,
        )
        self._assets: Mapping[str, bytes] = {
            name: self._environment.get_template(f"{name}.j2").render().encode("utf-8") for name in _ASSETS
        }
        self._stamp = hashlib.sha256(b"".join(self._assets.values())).hexdigest()[:16]
        self._environment.globals["assets"] = f"{self.root}/desk/assets/{self._stamp}"

    def compile(self) -> Iterator[str]:
        """Make every template ready, one after the other; yields its name. The first page of each kind waits for none.
        """
        for name in self._environment.list_templates():
            self._environment.get_template(name)
            yield name

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """The page of `template`, kept by nobody."""
        content = self._environment.get_template(template).render(**values)
        return HTMLResponse(content, status_code=status, headers=HEADERS)

    def part(self, template: str, **values: Any) -> str:
        """A part of a page, which takes the place of what stands there."""
        return self._environment.get_template(template).render(**values)

    def asset(self, request: Request) -> Response:
        """The style or the script; their address is another when they are."""
        name = request.path_params["name"]
        if name not in self._assets:
            return Response(status_code=404, headers=HEADERS)
        kept = "public, max-age=31536000, immutable" if request.path_params["stamp"] == self._stamp else "no-store"
        return Response(self._assets[name], media_type=_ASSETS[name], headers=HEADERS | {"Cache-Control": kept})

    def moment(self, at: dt.datetime | None) -> str:
        """A moment as operators read it, in the newsletter's zone."""
        return "" if at is None else f"{at.astimezone(self._zone):%Y-%m-%d %H:%M}"

    def clock(self, at: dt.datetime) -> str:
        """Its time of day, to the second."""
        return f"{at.astimezone(self._zone):%H:%M:%S}"

    def day(self, at: dt.datetime | None) -> str:
        """Its day."""
        return "" if at is None else f"{at.astimezone(self._zone):%Y-%m-%d}"


def typed(text: str) -> Markup:
    """A sentence whose words between backticks are to be typed somewhere, as HTML. Pure."""
    return Markup(_TYPED.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped)


def lasting(seconds: float) -> str:
    """How long something takes, in two units at most. Pure."""
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if seconds < 90:
        return counted(round(seconds), "second")
    return counted(minutes, "minute") if minutes < 90 else f"{counted(hours, 'hour')} {counted(minutes % 60, 'minute')}"


def _ago(at: dt.datetime | None, now: dt.datetime) -> str:
    """How long ago, or in how long, in the largest unit that fits."""
    if at is None:
        return "never"
    seconds = (now - at).total_seconds()
    amount, unit = abs(seconds), "second"
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if amount >= size:
            amount, unit = amount / size, name
            break
    if unit == "second" and amount < 10:
        return "just now"
    told = counted(int(amount), unit)
    return f"{told} ago" if seconds >= 0 else f"in {told}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, default=str)


def saved(content: str, kind: str, name: str) -> Response:
    """What is saved to a file of that name, and shown by no browser (RFC 6266)."""
    return Response(content, media_type=kind, headers=HEADERS | {
        "Content-Disposition": f'attachment; filename="{name}"',
    })
