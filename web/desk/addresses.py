"""Addresses that are never mailed, and mails that are no issue."""

from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import Route

from pipeline.listings import LETTER_KINDS, LETTER_STATES, Listings
from web.desk.desk import Desk, Section
from web.desk.visits import Form, Visit


class SuppressionPages:
    """Their routes."""

    section = Section("Suppressions", "/desk/suppressions", role="admin")

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lists = Listings(desk.database)

    def routes(self) -> Sequence[Route]:
        """In the order they are tried."""
        desk = self._desk
        return [
            desk.page("/desk/suppressions", self.all, role="admin"),
            desk.act("/desk/suppressions", "address.suppress", self.suppress),
            desk.act("/desk/suppressions/lift", "address.lift", self.lift),
        ]

    def all(self, visit: Visit) -> Response:
        """The latest first."""
        text = visit.asked("q")
        part = self._lists.suppressions(text=text, after=visit.before, limit=visit.limit)
        chosen = {"q": text, "before": part.after}
        return visit.page(
            "suppressions.html.j2", title="Suppressions", found=part.rows, text=text,
            next=urlencode({name: value for name, value in chosen.items() if value}) if part.after else "",
        )

    def suppress(self, visit: Visit, form: Form) -> str:
        """Never mail an address again."""
        self._desk.care.suppress(form.text("address"), by=visit.actor, why=form.text("why"))
        return "/desk/suppressions"

    def lift(self, visit: Visit, form: Form) -> str:
        """Let it be mailed again."""
        self._desk.care.lift(form.text("address"), by=visit.actor, why=form.text("why"))
        return "/desk/suppressions"


class LetterPages:
    """Their route."""

    section = Section("Letters", "/desk/letters", role="admin")

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lists = Listings(desk.database)

    def routes(self) -> Sequence[Route]:
        """In the order they are tried."""
        return [self._desk.page("/desk/letters", self.all, role="admin")]

    def all(self, visit: Visit) -> Response:
        """The latest first."""
        state = next((one for one in LETTER_STATES if one == visit.asked("state")), None)
        kind = next((one for one in LETTER_KINDS if one == visit.asked("kind")), None)
        part = self._lists.letters(state=state, kind=kind, after=visit.before, limit=visit.limit)
        chosen = {"state": state, "kind": kind, "before": part.after}
        return visit.page(
            "letters.html.j2", title="Letters", found=part.rows, state=state, kind=kind, states=LETTER_STATES,
            kinds=LETTER_KINDS,
            next=urlencode({name: value for name, value in chosen.items() if value}) if part.after else "",
        )
