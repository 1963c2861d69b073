"""How the program itself stands: what was done by whom, the settings as they hold, and its health."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from pydantic import BaseModel, SecretStr
from starlette.responses import Response
from starlette.routing import Route

from milepost.records import CONDITION_KINDS
from milepost.settings import WebhookSettings
from pipeline.operate.conditions import muted
from pipeline.operate.standing import free_mb, messages_to_json
from pipeline.operators import acts
from web.desk.desk import Desk, Section
from web.desk.visits import Visit

_SHOWN = 50  # conditions; what waits for a person comes first, and has a page of its own
MASKED = "•••••• (set)"
_LOGIN = re.compile(r"(://)\S+@")  # in an address, where somebody put it; a password may have "@" and "/" in it
_BEARS_A_SECRET = {(WebhookSettings, "urls")}  # chats and builders give an address that is the key itself
_IN_QUERY = re.compile(r"([?&](?:\w*(?:password|passwd|pwd|secret|token|key))=)[^&\s]+", re.IGNORECASE)


class LogPages:
    """Their route."""

    section = Section("Log", "/desk/log")

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> Sequence[Route]:
        """In the order they are tried."""
        return [self._desk.page("/desk/log", self.all)]

    def all(self, visit: Visit) -> Response:
        """The latest first."""
        who, about = visit.asked("who"), visit.asked("about")
        found = list(acts.latest(self._desk.database, who=who or None, about=about or None, before=visit.before,
                                 limit=visit.limit + 1))
        shown = found[:visit.limit]
        chosen = {"who": who, "about": about, "before": shown[-1].id if len(found) > visit.limit else None}
        return visit.page(
            "log.html.j2", title="Log", acts=[(one, _changed(one.before, one.after)) for one in shown], who=who,
            about=about,
            next=urlencode({name: value for name, value in chosen.items() if value}) if chosen["before"] else "",
        )


class SettingsPages:
    """Their route."""

    section = Section("Settings", "/desk/settings", role="admin")

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> Sequence[Route]:
        """In the order they are tried."""
        return [self._desk.page("/desk/settings", self.all, role="admin")]

    def all(self, visit: Visit) -> Response:
        """As this process read them, no secret among them."""
        return visit.page("settings.html.j2", title="Settings", groups=settings_shown(self._desk.settings))


class HealthPages:
    """Their route."""

    section = Section("Health", "/desk/health")

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> Sequence[Route]:
        """In the order they are tried."""
        return [self._desk.page("/desk/health", self.all)]

    def all(self, visit: Visit) -> Response:
        """What is wrong or waits, the figures, and whether operators can be told."""
        settings, database = self._desk.settings, self._desk.database
        standing = self._desk.standing.at(visit.now)
        shown = standing.conditions[:_SHOWN]
        return visit.page(
            "health.html.j2", title="Health", conditions=shown, more=len(standing.conditions) - len(shown),
            at=standing.at, figures=standing.figures, channels=messages_to_json(settings, standing.messages),
            free=free_mb(settings), where=database.where,
            dialect=database.dialect, kinds=len(CONDITION_KINDS),
            muted={one.key for one in shown if muted(one, settings)},
        )


def _changed(before: Any, after: Any) -> list[tuple[str, object, object]]:
    """What an act changed: name, before, after; what is the same on both sides is left out. Pure."""
    old, new = (one if isinstance(one, Mapping) else {} for one in (before, after))
    names = [*old, *(name for name in new if name not in old)]
    return [
        (name, _told_of(name, old.get(name)), _told_of(name, new.get(name)))
        for name in names if old.get(name) != new.get(name)
    ]


def _told_of(name: str, value: object) -> object:
    match value:
        case bool():
            return "yes" if value else "no"
        case str() if name.endswith("_hash"):
            return value[:12]
        case list():
            return ", ".join(map(str, value))
        case _:
            return value


def settings_shown(settings: BaseModel) -> list[tuple[str, list[tuple[str, str, bool]]]]:
    """Section → (key, value, whether it is the default's) of all that holds; a secret says that it is set. Pure."""
    sections: list[tuple[str, list[tuple[str, str, bool]]]] = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            sections.append((name, _keys(value)))
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], BaseModel):
            sections += [(f"{name} {place}", _keys(one)) for place, one in enumerate(value, 1)]
        else:
            sections.append((name, [(name, _shown(value), value == type(settings).model_fields[name].default)]))
    return sections


def _keys(section: BaseModel) -> list[tuple[str, str, bool]]:
    fields = type(section).model_fields
    return [
        (name, _hosts(value) if (type(section), name) in _BEARS_A_SECRET else _shown(value),
         value == fields[name].get_default(call_default_factory=True))
        for name in fields for value in [getattr(section, name)]
    ]


def _hosts(urls: Sequence[str]) -> str:
    """Of addresses whose path alone may let anybody in: where they are. Pure."""
    return ", ".join(f"{urlsplit(url).scheme}://{urlsplit(url).hostname}/••••••" for url in urls) or "–"


def _shown(value: object) -> str:
    match value:
        case None | "" | () | []:
            return "–"
        case SecretStr():
            return MASKED if value.get_secret_value() else "–"
        case bool():
            return "yes" if value else "no"
        case BaseModel():
            return "; ".join(f"{name}: {_shown(getattr(value, name))}" for name in type(value).model_fields)
        case Mapping():
            return "; ".join(f"{name}: {_shown(one)}" for name, one in value.items())
        case list() | tuple() | set() | frozenset():
            return ", ".join(map(_shown, value))
        case _:
            return _IN_QUERY.sub(r"\1••••••", _LOGIN.sub(r"\1••••••@", str(value)))
