"""What is watched: each source with its last looks, what was found and filled, who tells it, and what is disputed."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from starlette.responses import Response
from starlette.routing import Route

from extractors.drift import Rates, rates_from_json
from milepost.errors import NotFoundError
from pipeline.holds import Look
from pipeline.listings import Listings
from pipeline.operate.standing import SourceFigures, source_figures
from web.desk.desk import Desk, Section
from web.desk.sparklines import sparkline
from web.desk.values import label
from web.desk.visits import Visit

LOOKS = 30  # that a line is drawn through


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of figures, with its last."""

    name: str
    now: str
    line: Markup
    disputed: str = ""  # "12 %" where witnesses differ


class SourcePages:
    """Their routes."""

    section = Section("Sources", "/desk/sources")

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lists = Listings(desk.database)

    def routes(self) -> Sequence[Route]:
        """In the order they are tried."""
        return [self._desk.page("/desk/sources", self.all), self._desk.page("/desk/sources/{key}", self.one)]

    def all(self, visit: Visit) -> Response:
        """Each with its last look and a line of what was found."""
        keys = [source.key for source in self._desk.settings.sources]
        found = source_figures(self._desk.database, keys, looks=LOOKS)
        bases = {source.key: source.base_url for source in self._desk.settings.sources}
        return visit.page("sources.html.j2", title="Sources", sources=[
            {"key": one.key, "base": bases[one.key], "last": one.ended[0] if one.ended else None, "figures": one,
             "line": _found(one), "unread": _unread(one), "state": _state(one)} for one in found
        ])

    def one(self, visit: Visit) -> Response:
        """One, field by field and witness by witness."""
        key = str(visit.request.path_params["key"])
        source = next((one for one in self._desk.settings.sources if one.key == key), None)
        if source is None:
            raise NotFoundError("there is no such source", where=key[:40], hint="See the list of sources.")
        (figures,) = source_figures(self._desk.database, [key], looks=LOOKS)
        rates = [_rates(look) for look in reversed(figures.ended)]
        part = self._lists.looks(source=key, after=visit.before, limit=visit.limit)
        return visit.page(
            "source.html.j2", title=key, key=key, source=source, figures=figures, line=_found(figures),
            last=figures.ended[0] if figures.ended else None, state=_state(figures), unread=_unread(figures),
            fields=_fields(rates), witnesses=_witnesses(rates), looks=part.rows,
            next=f"before={part.after}" if part.after else "",
        )


def _state(one: SourceFigures) -> tuple[str, str]:
    """A word, and how good it is. Pure."""
    last = one.ended[0] if one.ended else None
    if last is None:
        return ("being looked at" if one.running_since else "never looked at", "calm" if one.running_since else "warn")
    if last.waiting:
        return "held", "warn"
    if last.state != "complete":
        return last.state, "bad" if last.state == "failed" else "warn"
    if not one.baseline:
        return "no baseline", "warn"
    return ("degraded", "warn") if last.degraded else ("as it should be", "good")


def _found(one: SourceFigures) -> Markup:
    return sparkline(
        [None if look.state == "failed" else look.milestones for look in reversed(one.ended)], says="Milestones known"
    )


def _unread(one: SourceFigures) -> int | None:
    rates = _rates(one.ended[0]) if one.ended else None
    return None if rates is None else rates.unread


def _rates(look: Look) -> Rates | None:
    return None if look.reading is None else rates_from_json(look.reading)


def _fields(rates: Sequence[Rates | None]) -> list[Row]:
    last = next((one for one in reversed(rates) if one is not None), None)
    if last is None:
        return []
    return [
        Row(name=label(name), now=f"{share:.0%}",
            line=sparkline([None if one is None else one.filled.get(name) for one in rates],
                           says=f"{label(name)}, filled", most=1),
            disputed=f"{last.disputed[name]:.0%}" if name in last.disputed else "")
        for name, share in last.filled.items()
    ]


def _witnesses(rates: Sequence[Rates | None]) -> list[Row]:
    last = next((one for one in reversed(rates) if one is not None), None)
    if last is None:
        return []
    return [
        Row(name=name, now=f"{share:.0%}",
            line=sparkline([None if one is None else one.told.get(name) for one in rates],
                           says=f"{name}, speaks", most=1))
        for name, share in last.told.items()
    ]
