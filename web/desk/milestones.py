"""What is on record: milestones listed and found by words, each with its history and every value down to the bytes."""

from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import Route

from milepost.codec import field_to_json
from milepost.errors import InputError
from milepost.fields import FIELDS
from pipeline import listings, milestones
from pipeline.explain import explain
from web.desk.desk import Desk, Section
from web.desk.values import label, told
from web.desk.visits import Visit


class MilestonePages:
    """Their routes."""

    section = Section("Milestones", "/desk/milestones")

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lists = listings.Listings(desk.database)

    def routes(self) -> Sequence[Route]:
        """In the order they are tried."""
        page = self._desk.page
        return [
            page("/desk/milestones", self.all), page("/desk/milestones/{number}", self.one),
            page("/desk/milestones/{number}/{field}", self.explain),
        ]

    def all(self, visit: Visit) -> Response:
        """The latest first, or those that have the words."""
        words, source, state = visit.asked("q"), visit.asked("source"), visit.asked("state")
        found: Sequence[listings.ListedMilestone] = ()
        problem, following = "", ""
        if words:
            try:
                found = [
                    listings.ListedMilestone(id=one.id, state="present", version=one.version, record=one.milestone,
                                             first_seen_at=one.first_seen_at)
                    for one in milestones.search_stored(self._desk.database, words, visit.limit)
                    if source in ("", one.milestone.source)
                ]
            except InputError as error:
                problem = error.what
        else:
            part = self._lists.milestones(source=source or None, state=state or None, after=visit.before,
                                          limit=visit.limit)
            found = part.rows
            if part.after:
                chosen = {"source": source, "state": state, "before": part.after}
                following = urlencode({name: value for name, value in chosen.items() if value})
        return visit.page(
            "milestones.html.j2", title="Milestones", found=found, words=words, source=source, state=state,
            problem=problem, next=following, sources=[one.key for one in self._desk.settings.sources],
            limit=visit.limit,
        )

    def one(self, visit: Visit) -> Response:
        """One with its values and its history."""
        found = listings.milestone(self._desk.database, visit.number("number"))
        record = found.record
        values = [(name, label(name), told(field_to_json(record, name), 2000), name in record.unknown,
                   record.evidence.get(name, ())) for name in FIELDS]
        history = milestones.history(self._desk.database, record.key, record.source)
        return visit.page(
            "milestone.html.j2", title=record.title or record.key, found=found, record=record, values=values,
            history=[
                (one, [(label(part.field), told(part.old), told(part.new)) for part in one.change.change.fields]
                 if one.change else [])
                for one in reversed(history)
            ],
        )

    def explain(self, visit: Visit) -> Response:
        """Where one value comes from."""
        found = listings.milestone(self._desk.database, visit.number("number"))
        name = str(visit.request.path_params["field"])[:40]
        why = explain(self._desk.database, found.record.key, name, source=found.record.source)
        return visit.page("explanation.html.j2", title=f"{label(name)} of {found.record.title}", found=found,
                          name=label(name), why=why, value=told(why.value, 4000), told=told)
