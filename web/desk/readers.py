"""Readers: found by a part of their address, with their whole story; returned, let go, erased, taken in by a file."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import Route

from milepost.errors import HeldError, InputError
from milepost.records import CADENCES, SUBSCRIBER_STATES, Cadence, SubscriberState
from pipeline import subscribers
from pipeline.listings import Listings
from pipeline.own_page import OwnPage
from pipeline.several import Progress
from pipeline.subscribers import Choices, Imported
from web.desk.desk import Desk, Section
from web.desk.looks import saved
from web.desk.visits import LONGEST_FILE, Form, Visit

_SHOWN = 20  # people of a preview
_TAKEN_FOR = {"address": "address", "state": "state", "cadence": "cadence", "topics": "topics"}


class ReaderPages:
    """Their routes."""

    section = Section("Readers", "/desk/readers", role="admin")

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lists = Listings(desk.database)

    def routes(self) -> Sequence[Route]:
        """In the order they are tried."""
        desk, at = self._desk, "/desk/readers/{number}"
        return [
            desk.page("/desk/readers", self.all, role="admin"),
            desk.act("/desk/readers", "reader.add", self.add),
            desk.shown("/desk/readers/export", "reader.export", self.export),
            desk.page("/desk/readers/import", self.ask_file, role="admin"),
            desk.shown_as_it_goes(
                "/desk/readers/import/preview", "reader.import", self.preview, longest=LONGEST_FILE,
                title="What the file holds", says="The people of the file are looked up. Nothing is written.",
            ),
            desk.shown_as_it_goes(
                "/desk/readers/import", "reader.import", self.import_, longest=LONGEST_FILE, title="Taken in",
                says="The people of the file are taken in.",
            ),
            desk.page(f"{at}/kept.json", self.kept, role="admin"),
            desk.page(at, self.one, role="admin"), desk.page(f"{at}/erase", self.ask_erase, role="admin"),
            desk.act(f"{at}/return", "reader.return", self.return_),
            desk.act(f"{at}/unsubscribe", "reader.unsubscribe", self.unsubscribe),
            desk.act(f"{at}/erase", "reader.erase", self.erase),
        ]

    # --- pages --------------------------------------------------------------------------------------------------------

    def all(self, visit: Visit) -> Response:
        """In the order they came, whose address has the text."""
        text, state, cadence = visit.asked("q"), _state(visit.asked("state")), _cadence(visit.asked("cadence"))
        part = self._lists.readers(text=text, state=state, cadence=cadence, after=visit.before, limit=visit.limit)
        chosen = {"q": text, "state": state, "cadence": cadence, "before": part.after}
        return visit.page(
            "readers.html.j2", title="Readers", found=part.rows, text=text, state=state, cadence=cadence,
            states=SUBSCRIBER_STATES, cadences=CADENCES,
            next=urlencode({name: value for name, value in chosen.items() if value}) if part.after else "",
        )

    def one(self, visit: Visit) -> Response:
        """One, and all that ever happened."""
        shown = subscribers.show_reader(self._desk.database, visit.number("number"))
        return visit.page("reader.html.j2", title=shown.address, reader=shown.subscriber, shown=shown)

    def kept(self, visit: Visit) -> Response:
        """All that is kept about one, as they get it by their own link: for who asks by another way (GDPR, Art. 15)."""
        number = visit.number("number")
        found = OwnPage(self._desk.settings, self._desk.database).kept(number, visit.now)
        content = json.dumps(found, ensure_ascii=False, indent=1)
        return saved(content, "application/json", f"reader-{number}.json")

    def ask_erase(self, visit: Visit) -> Response:
        """What an erase does, and the button."""
        shown = subscribers.show_reader(self._desk.database, visit.number("number"))
        return visit.page("reader_erase.html.j2", title=f"Erase {shown.address}", reader=shown.subscriber, shown=shown)

    # --- acts ---------------------------------------------------------------------------------------------------------

    def add(self, visit: Visit, form: Form) -> str:
        """Somebody who told an operator that they want it."""
        who, _ = self._desk.care.add(
            form.text("address"), cadence=_cadence(form.text("cadence")) or "instant",
            topics=form.text("topics").split(), by=visit.actor, why=form.text("why"),
        )
        return f"/desk/readers/{who.id}"

    def return_(self, visit: Visit, form: Form) -> str:
        """Mailed again."""
        self._desk.care.return_(visit.number("number"), by=visit.actor, why=form.text("why"))
        return f"/desk/readers/{visit.number('number')}"

    def unsubscribe(self, visit: Visit, form: Form) -> str:
        """Mailed no more."""
        self._desk.care.unsubscribe(visit.number("number"), by=visit.actor, why=form.text("why"))
        return f"/desk/readers/{visit.number('number')}"

    def erase(self, visit: Visit, form: Form) -> str:
        """Forgotten; the address has to be typed, so that it is no slip."""
        number = visit.number("number")
        shown = subscribers.show_reader(self._desk.database, number)
        if form.text("address").casefold() != shown.address.casefold():
            raise InputError("the address that was typed is another one", where=f"reader {number}",
                             hint="Nothing was erased. Type it as it stands on the page.")
        self._desk.care.erase(number, by=visit.actor, why=form.text("why"))
        return "/desk/readers"

    def export(self, visit: Visit, form: Form) -> Response:
        """The whole list, for another program or a spreadsheet."""
        content = self._desk.care.export(by=visit.actor, why=form.text("why"))
        return saved(content, "text/csv", f"readers-{visit.now:%Y-%m-%d}.csv")

    # --- a file -------------------------------------------------------------------------------------------------------

    def ask_file(self, visit: Visit) -> Response:
        """The form."""
        return visit.page("import.html.j2", title="Take in a file", text="", cadences=CADENCES, cadence="instant",
                          problem=None, words="", ignore="")

    def preview(self, visit: Visit, form: Form, progress: Progress) -> Response:
        """What each column is taken for, and what would become of each person; nothing is written."""
        text, cadence = form.text("text"), _cadence(form.text("cadence")) or "instant"
        try:
            read = self._read(text, cadence, _choices(form), progress)
        except (InputError, HeldError) as error:
            return visit.page("import.html.j2", title="Take in a file", status=422, text=text, cadences=CADENCES,
                              cadence=cadence, problem=error, words=form.text("words"), ignore=form.text("ignore"))
        return visit.page(
            "import_preview.html.j2", title="What the file holds", text=text, cadence=cadence, read=read,
            shown=read.outcomes[:_SHOWN], counts=_counts(read), taken_for=_TAKEN_FOR,
            headings=[one.heading for one in read.columns if one.heading], chosen=_chosen(form),
            words=form.text("words"), ignore=form.text("ignore"),
        )

    def import_(self, visit: Visit, form: Form, progress: Progress) -> Response:
        """Write it; who was left as they were is told by name, this once."""
        text, cadence = form.text("text"), _cadence(form.text("cadence")) or "instant"
        with tempfile.TemporaryDirectory(prefix="milepost-import-") as folder:
            file = Path(folder) / "upload.csv"
            file.write_text(text, encoding="utf-8")
            done = self._desk.care.import_file(file, cadence=cadence, chosen=_choices(form), by=visit.actor,
                                               why=form.text("why"), progress=progress)
        left = done.of("held_back", "contradicted", "skipped")
        return visit.page("imported.html.j2", title="Taken in", read=done, counts=_counts(done), left=left[:200],
                          more=max(len(left) - 200, 0))

    def _read(self, text: str, cadence: Cadence, chosen: Choices, progress: Progress) -> Imported:
        with tempfile.TemporaryDirectory(prefix="milepost-import-") as folder:
            file = Path(folder) / "upload.csv"
            file.write_text(text, encoding="utf-8")
            return subscribers.import_file(self._desk.database, file, cadence=cadence, by="a preview",
                                           now=self._desk.now(), chosen=chosen, dry_run=True, progress=progress)


def _chosen(form: Form) -> dict[str, str]:
    """What a person said a column is: field → heading."""
    return {name: form.text(f"map-{name}") for name in _TAKEN_FOR if form.text(f"map-{name}")}


def _choices(form: Form) -> Choices:
    """What a person said about the file; raises InputError."""
    return subscribers.choices(
        [f"{name}={heading}" for name, heading in _chosen(form).items()], _lines(form, "ignore"), _lines(form, "words")
    )


def _lines(form: Form, name: str) -> list[str]:
    return [line.strip() for line in form.text(name).splitlines() if line.strip()]


def _counts(read: Imported) -> list[tuple[str, int]]:
    return [(result.replace("_", " "), read.count(result)) for result in subscribers.RESULTS if read.count(result)]


def _state(word: str) -> SubscriberState | None:
    return next((state for state in SUBSCRIBER_STATES if state == word), None)


def _cadence(word: str) -> Cadence | None:
    return next((cadence for cadence in CADENCES if cadence == word), None)
