"""Addresses that are never mailed, and mails that are no issue."""

from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import Route

from milepost.errors import HeldError, InputError
from pipeline import suppression_files
from pipeline.listings import LETTER_KINDS, LETTER_STATES, Listings
from pipeline.several import Progress
from pipeline.subscribers import By
from web.desk.desk import Desk, Section
from web.desk.looks import saved
from web.desk.visits import LONGEST_FILE, Form, Visit

_PASTED = "upload.csv"
_SHOWN = 20  # addresses of a preview
_WORDS: dict[suppression_files.Taken, str] = {
    "added": "Suppressed", "stricter": "For a stricter reason", "known": "Known already",
}


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
            desk.shown("/desk/suppressions/export", "address.export", self.export),
            desk.page("/desk/suppressions/import", self.ask_file, role="admin"),
            desk.shown_as_it_goes(
                "/desk/suppressions/import/preview", "address.import", self.preview, longest=LONGEST_FILE,
                title="What the file would do", says="The addresses of the file are looked up. Nothing is written.",
            ),
            desk.shown_as_it_goes(
                "/desk/suppressions/import", "address.import", self.import_, longest=LONGEST_FILE, title="Suppressed",
                says="The addresses of the file are suppressed.",
            ),
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

    # --- a file -------------------------------------------------------------------------------------------------------

    def export(self, visit: Visit, form: Form) -> Response:
        """The whole list, for another program."""
        content = self._desk.care.export_suppressions(by=visit.actor, why=form.text("why"))
        return saved(content, "text/csv", f"suppressions-{visit.now:%Y-%m-%d}.csv")

    def ask_file(self, visit: Visit) -> Response:
        """The form."""
        return visit.page("suppress_file.html.j2", title="Suppress a file", text="", problem=None)

    def preview(self, visit: Visit, form: Form, progress: Progress) -> Response:
        """How it is read, and what would become of each address; nothing is written."""
        text = form.text("text")
        try:
            read = suppression_files.import_file(
                self._desk.database, text.encode("utf-8", "replace"), _PASTED,
                by=By(who=visit.actor.who, why="what you say below"), now=visit.now, dry_run=True,
                progress=progress,
            )
        except (InputError, HeldError) as error:
            return visit.page("suppress_file.html.j2", title="Suppress a file", status=422, text=text, problem=error)
        return visit.page("suppress_preview.html.j2", title="What the file would do", text=text, read=read,
                          shown=read.listed[:_SHOWN], counts=_counts(read))

    def import_(self, visit: Visit, form: Form, progress: Progress) -> Response:
        """Write it."""
        raw = form.text("text").encode("utf-8", "replace")
        read = self._desk.care.import_suppressions(
            raw, _PASTED, by=visit.actor, why=form.text("why"), progress=progress)
        return visit.page("suppressed_file.html.j2", title="Suppressed", read=read, counts=_counts(read))


def _counts(read: suppression_files.Read) -> list[tuple[str, int]]:
    return [(_WORDS[taken], read.count(taken)) for taken in suppression_files.TAKEN if read.count(taken)]


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
