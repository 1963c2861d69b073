"""Renders an issue for one set of milestones: records → view → Jinja → MJML → ASCII HTML, and beside it plain text."""

import datetime as dt
import functools
import hashlib
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import mjml
from jinja2 import BaseLoader, Environment, FileSystemLoader, StrictUndefined, TemplateError

from milepost.errors import LintError, RenderError, SettingsError
from milepost.records import UNEDITED, Cadence, Edit, IssueItem, Variant
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from newsletter.issue.bidi import lang_and_dir, reading_direction
from newsletter.issue.compose import Draft, compose, inputs_hash, shown_settings
from newsletter.issue.design import TODAY, folder_of
from newsletter.issue.known import NOTHING_KNOWN, Known
from newsletter.issue.mjml_vocabulary import lint_mjml
from newsletter.issue.prose import Prose
from newsletter.issue.safe import ascii_markup
from newsletter.issue.theme import theme_for
from newsletter.issue.view import IssueView, Made, Plan, day_in_words, day_slot, issue_view, link_slot
from newsletter.issue.word_fonts import word_font
from newsletter.letters import LetterView
from newsletter.words.languages import in_language, phrases_for
from newsletter.words.phrases import Phrases

HTML_LIMIT = 95_000  # bytes; Gmail clips at 102 KB what it counts after its own additions
TEXT_WIDTH = 72  # columns of the text part
_HTML_TEMPLATE = "issue.mjml.j2"
_TEXT_TEMPLATE = "issue.txt.j2"
_LETTER_TEMPLATES = ("letter.mjml.j2", "letter.txt.j2")


class Renderer:
    """Turns items into mails; build it once for many issues. The same arguments always give the same bytes."""

    def __init__(
        self, newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings, *, phrases: Phrases | None = None,
        known: Known = NOTHING_KNOWN, design: int = TODAY,
    ) -> None:
        """`phrases`: those of the newsletter's language unless told otherwise; `design`: see there."""
        self.newsletter = newsletter
        self.mail = mail
        self.web = web
        self.phrases = phrases or phrases_for(newsletter.language)
        self.theme = theme_for(newsletter.accent)
        self.known, self.design = known, design
        own, folder = newsletter.templates, folder_of(design)
        if own is None:
            self._html, self._text = (_stock_environment(folder, html=html) for html in (True, False))
        else:
            loader = loader_for(own, ours=folder)
            self._html, self._text = (_environment(loader, html=html) for html in (True, False))

    def render(
        self, number: int, cadence: Cadence, items: Sequence[IssueItem], now: dt.datetime | None = None, *,
        name: str = "all", edit: Edit = UNEDITED, as_ordered: bool = False, sequence: int | None = None,
    ) -> Variant:
        """Render issue `number`, the `sequence`th of its cadence; `name` is the variant's, for the rest see compose.

        The masthead has a slot for the day, which `dated` fills when the issue is handed over; with `now` (aware), as
        in issues from before that, it has the day of that moment.
        An issue whose HTML would be longer than `HTML_LIMIT` shows its later items in brief, and at last leaves out the
        last ones, with links to the rest. Raises RenderError when a template or MJML fails, or when nothing fits, and
        LintError when the template asks for what MJML does not know: it would be dropped without a word.
        """
        draft = compose(items, phrases=self.phrases, edit=edit, as_ordered=as_ordered, design=self.design)
        placeholder = self.placeholder(draft.items, edit)
        day = day_slot(placeholder) if now is None else day_in_words(now, self.newsletter, self.phrases)
        made = Made()

        def view(plan: Plan) -> IssueView:
            return issue_view(
                draft, number=number, cadence=cadence, sequence=sequence, day=day, plan=plan, placeholder=placeholder,
                newsletter=self.newsletter, mail=self.mail, web=self.web, phrases=self.phrases, known=self.known,
                design=self.design, made=made,
            )

        plan, source, html = self._fitted(draft, view)
        _refuse_unknown(source, f"variant {name}")
        text = self._fill(self._text, _TEXT_TEMPLATE, issue=view(plan))
        return Variant(
            name=name, subject=draft.subject, html=html, text=text, placeholder=placeholder,
            change_ids=tuple(item.change_id for item in draft.items),
        )

    def letter(self, view: LetterView) -> Variant:
        """Render a mail that is no issue; raises RenderError and LintError as `render` does."""
        source = self._fill(self._html, _LETTER_TEMPLATES[0], letter=view)
        _refuse_unknown(source, f"the letter {view.kind}")
        return Variant(
            name=view.kind, subject=view.subject, html=self._mail(source), placeholder=view.placeholder, change_ids=(),
            text=self._fill(self._text, _LETTER_TEMPLATES[1], letter=view),
        )

    def placeholder(self, items: Sequence[IssueItem], edit: Edit = UNEDITED) -> str:
        """What stands for the recipient's link: nobody can write it into a record, for it is a hash of the records."""
        return link_slot(inputs_hash(items, shown=self.shown, edit=edit))

    @property
    def shown(self) -> dict[str, object]:
        """All that shows beside the items: what is kept with an issue to render it again."""
        return shown_settings(self.newsletter, self.mail, self.web, known=self.known, design=self.design)

    def mjml(self, view: IssueView) -> str:
        """The MJML of a view; raises RenderError."""
        return self._fill(self._html, _HTML_TEMPLATE, issue=view)

    def _fitted(self, draft: Draft, view: Callable[[Plan], IssueView]) -> tuple[Plan, str, str]:
        """The most generous plan whose HTML fits, its MJML and that HTML."""
        candidates = Plan.choices(draft.items, self.design)
        best: tuple[Plan, str, str] | None = None
        first, last = 0, len(candidates)
        probe = 0  # most issues fit as they are
        while first < last:
            source = self.mjml(view(candidates[probe]))
            html = self._mail(source)
            if len(html) <= HTML_LIMIT:
                best, last = (candidates[probe], source, html), probe
            else:
                first = probe + 1
            probe = (first + last) // 2
        if best is None:
            raise RenderError(
                f"the mail is longer than {HTML_LIMIT} bytes even with one milestone in brief",
                where="newsletter",
                hint="Shorten the introduction, newsletter.name, newsletter.tagline or mail.postal_address.",
            )
        return best

    def _mail(self, source: str) -> str:
        try:
            # No fonts: else MJML links to a third party's. No include loader: an mj-include can read nothing.
            html = mjml.mjml2html(source, fonts={})
        except ValueError as error:
            raise RenderError(f"MJML: {error}", where=_HTML_TEMPLATE, hint="Mend the template.") from error
        if not html.isascii():
            raise RenderError("the HTML is not pure ASCII", where=_HTML_TEMPLATE, hint="Print values through {{ }}.")
        return html

    def _fill(self, environment: Environment, template: str, **view: IssueView | LetterView) -> str:
        try:
            return environment.get_template(template).render(
                **view, phrases=self.phrases, light=self.theme.light, dark=self.theme.dark,
                serif=self.newsletter.font, sans=self.newsletter.label_font,
                serif_in_word=word_font(self.newsletter.font), sans_in_word=word_font(self.newsletter.label_font),
            )
        except TemplateError as error:
            raise RenderError(f"{type(error).__name__}: {error}", where=template, hint="Mend the template.") from error


def _refuse_unknown(source: str, where: str) -> None:
    findings = lint_mjml(source)
    if findings:
        raise LintError(findings, where=f"the MJML of {where}")


def dated(variant: Variant, moment: dt.datetime, newsletter: NewsletterSettings) -> Variant:
    """`variant` with the day of `moment` (aware) in its masthead, in its own words and the newsletter's time zone.

    One from before the day had a slot, or whose templates don't show it, stays as it is.
    """
    slot = day_slot(variant.placeholder)
    spoken = variant_settings(newsletter, variant.name)
    day = day_in_words(moment, spoken, phrases_for(spoken.language))
    html, text = variant.html.replace(slot, str(ascii_markup(day))), variant.text.replace(slot, day)
    return replace(variant, html=html, text=text)


def variant_settings(newsletter: NewsletterSettings, name: str) -> NewsletterSettings:
    """The settings that a variant is rendered with: in the language that its name ends with ("all.de"), if any."""
    return in_language(newsletter, name.partition(".")[2])


def has_day_slot(variant: Variant) -> bool:
    """Whether the day of `variant` is that of its hand-over; else it was rendered with the day of its draft."""
    slot = day_slot(variant.placeholder)
    return slot in variant.html or slot in variant.text


def templates_folder() -> Path:
    """Where the templates are, in a checkout or an installed package."""
    return Path(str(files("templates")))


def loader_for(own: Path | None, room: str = "", *, ours: str = "") -> BaseLoader:
    """Loads a template from the newsletter's `own` folder where it has one of that name, else ours; `room`: "web".

    `ours`: the folder of an earlier design; the newsletter's own stand in for those of every design.

    Raises SettingsError when there is no such folder.
    """
    if own is None:
        return FileSystemLoader(templates_folder() / ours / room)
    if not own.is_dir():
        hint = "Run `milepost templates eject` to start one."
        raise SettingsError("newsletter.templates is no folder", where=str(own), hint=hint)
    return FileSystemLoader([own / room, templates_folder() / ours / room])


def templates_digest(own: Path | None = None, *, design: int = TODAY) -> str:
    """SHA-256, in hex, of the names and bytes of the files that an issue is rendered from, the `own` ones first."""
    found: dict[str, Path] = {}
    for folder in filter(None, (templates_folder() / folder_of(design), own)):
        for path in [*folder.glob("issue.*.j2"), *(folder / "partials").glob("*.j2")]:
            found[path.relative_to(folder).as_posix()] = path
    digest = hashlib.sha256()
    for name, path in sorted(found.items()):
        digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def wrap(text: str, indent: int = 0) -> str:
    """`text` in lines of at most 72 columns, after `indent` spaces; a longer word, such as a link, is never cut."""
    pad = " " * indent
    return textwrap.fill(
        text, TEXT_WIDTH, initial_indent=pad, subsequent_indent=pad, break_long_words=False, break_on_hyphens=False
    )


def prose_text(part: Prose, indent: int = 0) -> str:
    """A part of a text in plain text: a paragraph by `wrap`, items hanging behind their marks, code set in as it is."""
    if part.kind == "code":
        pad = " " * (indent + 4)
        return "\n".join(f"{pad}{line}".rstrip() for line in part.text.split("\n"))
    if part.kind == "paragraph":
        return wrap(part.text, indent)
    lines: list[str] = []
    for item in part.items:
        pad, hanging = " " * indent, indent + len(item.mark) + 1
        lines.append(textwrap.fill(
            item.text, TEXT_WIDTH, initial_indent=f"{pad}{item.mark} ", subsequent_indent=" " * hanging,
            break_long_words=False, break_on_hyphens=False,
        ))
        lines += [prose_text(inner, hanging) for inner in item.inner]
    return "\n".join(lines)


def _environment(loader: BaseLoader, *, html: bool) -> Environment:
    environment = Environment(
        loader=loader, undefined=StrictUndefined,
        autoescape=html,  # noqa: S701 - off for plain text alone
        finalize=ascii_markup if html else None, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )
    environment.filters["wrap"] = wrap
    environment.filters["prose"] = prose_text
    environment.filters["lang_and_dir"] = lang_and_dir
    environment.filters["reading_direction"] = reading_direction
    return environment


@functools.cache
def _stock_environment(folder: str, *, html: bool) -> Environment:
    """Our own templates don't change while we run, so they are compiled once a process; it takes longer than a mail."""
    return _environment(loader_for(None, ours=folder), html=html)
