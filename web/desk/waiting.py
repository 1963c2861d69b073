"""What waits for somebody, first of all pages: held looks, questions, drafts, paused issues, and what is wrong."""

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import Route

from pipeline.operate.standing import stand
from web.desk.desk import Desk, Section
from web.desk.visits import Visit


class WaitingPages:
    """Its routes."""

    section = Section("What waits", "/desk")

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> Sequence[Route]:
        """In the order they are tried."""
        return [self._desk.page("/desk", self.all)]

    def all(self, visit: Visit) -> Response:
        """Everything."""
        desk = self._desk
        found = stand(desk.settings, now=visit.now, database=desk.database)
        return visit.page("waiting.html.j2", title="What waits for me", conditions=found.conditions)
