"""Who may: operators, their roles, new ones by a link, and whom to lock out."""

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import Route

from milepost.records import ROLES
from pipeline.operators.accounts import Invited, role_of
from web.desk.desk import Desk, Section
from web.desk.visits import Form, Visit


class OperatorPages:
    """Their routes."""

    section = Section("Operators", "/desk/operators", role="admin")

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> Sequence[Route]:
        """In the order they are tried."""
        desk = self._desk
        return [
            desk.page("/desk/operators", self.all, role="admin"),
            desk.shown("/desk/operators", "operator.add", self.add),
            desk.shown("/desk/operators/{name}/reset", "operator.reset", self.reset),
            desk.act("/desk/operators/{name}/role", "operator.role", self.change_role),
            desk.act("/desk/operators/{name}/disable", "operator.disable", self.disable),
            desk.act("/desk/operators/{name}/enable", "operator.enable", self.enable),
        ]

    def all(self, visit: Visit) -> Response:
        """Everyone."""
        return visit.page("operators.html.j2", title="Operators", operators=self._desk.accounts.list(), roles=ROLES)

    def add(self, visit: Visit, form: Form) -> Response:
        """A new one; the link stands on the page that answers, and nowhere else."""
        return self._link(visit, self._desk.accounts.add(
            form.text("name"), role_of(form.text("role")), by=visit.actor))

    def reset(self, visit: Visit, _: Form) -> Response:
        """A new link."""
        return self._link(visit, self._desk.accounts.reset(self._name(visit), by=visit.actor))

    def change_role(self, visit: Visit, form: Form) -> str:
        """Another role."""
        self._desk.accounts.change_role(self._name(visit), role_of(form.text("role")), by=visit.actor)
        return "/desk/operators"

    def disable(self, visit: Visit, _: Form) -> str:
        """Lock out."""
        self._desk.accounts.disable(self._name(visit), by=visit.actor)
        return "/desk/operators"

    def enable(self, visit: Visit, _: Form) -> str:
        """Let in again."""
        self._desk.accounts.enable(self._name(visit), by=visit.actor)
        return "/desk/operators"

    @staticmethod
    def _name(visit: Visit) -> str:
        return str(visit.request.path_params["name"])

    @staticmethod
    def _link(visit: Visit, invited: Invited) -> Response:
        return visit.page("invited.html.j2", title=f"A link for {invited.operator.name}", invited=invited)
