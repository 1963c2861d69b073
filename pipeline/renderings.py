"""Renders the variants of an issue: in processes of their own where they are many, and none is kept in memory.

    (name, what it holds) ─▶ RenderJob: Jinja, MJML, lint, message ─▶ Variant, or why it is unfit ─▶ Spool ─▶ the store

What is made depends on nothing but the job and what was chosen: the same bytes in whichever process.
"""

import contextlib
import datetime as dt
import functools
import json
import os
import tempfile
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from delivery.message.build import Letterhead, message_findings
from milepost.errors import LintError, MilepostError, RenderError, SettingsError
from milepost.records import Cadence, Edit, IssueItem, Variant
from milepost.settings import Settings
from newsletter.issue.design import TODAY
from newsletter.issue.known import Known
from newsletter.issue.lint import lint
from newsletter.issue.render import Renderer, dated, variant_settings
from pipeline.workers import Crew, Ended, in_order

MANY = 200  # variants from which starting other processes pays: they take a second to start, and a variant 20 ms
_BATCH = 25  # variants that a process is given at once
_SECONDS = 60.0  # of processor time for one variant; a hundred times what a long one takes
_IN_MEMORY = 4 * 1024 * 1024  # bytes of packed renderings, beyond which they are on disk


@dataclass(frozen=True, kw_only=True)
class RenderJob:
    """All that the variants of one issue are made of, beside what each holds."""

    settings: Settings  # those that the issue shows
    head: Letterhead
    known: Known
    number: int
    cadence: Cadence
    now: dt.datetime  # dates what is looked at, not what is made
    edit: Edit
    sequence: int | None
    items: Mapping[int, IssueItem]  # by change, of all variants
    design: int = TODAY

    def maker(self) -> Callable[[tuple[str, Sequence[int]]], Variant | MilepostError]:
        """What makes one rendering of a name and changes, in order: fit to be sent, or why it is not."""
        renderers: dict[str, Renderer] = {}

        def make(asked: tuple[str, Sequence[int]]) -> Variant | MilepostError:
            name, changes = asked
            try:
                letter = variant_settings(self.settings.newsletter, name)
                if letter.language not in renderers:
                    renderers[letter.language] = Renderer(
                        letter, self.settings.mail, self.settings.web, known=self.known, design=self.design,
                    )
                return self._variant(renderers[letter.language], name, [self.items[change] for change in changes])
            except (LintError, RenderError, SettingsError) as error:
                return error

        return make

    def _variant(self, renderer: Renderer, name: str, chosen: Sequence[IssueItem]) -> Variant:
        variant = renderer.render(
            self.number, self.cadence, chosen, name=name, edit=self.edit, as_ordered=True, sequence=self.sequence,
        )
        sent_today = dated(variant, self.now, renderer.newsletter)
        findings = lint(
            sent_today, newsletter=renderer.newsletter, mail=renderer.mail, web=renderer.web, items=chosen,
            bases=[source.base_url for source in self.settings.sources], intro=self.edit.intro,
        )
        findings += message_findings(sent_today, letterhead=self.head, date=self.now)
        if findings:
            raise LintError(findings, where=f"the {self.cadence} issue, variant {name}")
        return variant


def render_each(
    job: RenderJob, wanted: Mapping[str, Sequence[IssueItem]], *, processes: int | None = None
) -> Generator[tuple[str, Variant | MilepostError], None, None]:
    """Each name of `wanted` with the rendering of what it holds, or why that is unfit; in order, a few in memory.

    `processes`: how many make them, one a core unless told otherwise; below two, or where there are not MANY, this one.
    """
    asked = [(name, tuple(item.change_id for item in chosen)) for name, chosen in wanted.items()]
    at_once = (processes or os.cpu_count() or 1) if len(asked) >= MANY else 1
    if at_once < 2:
        make = job.maker()
        for one in asked:
            yield one[0], make(one)
        return
    batches = (asked[start : start + _BATCH] for start in range(0, len(asked), _BATCH))
    prepare = functools.partial(RenderJob.maker, job)
    with Crew(_SECONDS) as crew, contextlib.closing(
        in_order(batches, lambda some: crew.read(prepare, some), processes=at_once, give_up=crew.end)
    ) as answers:
        for some, made in answers:
            for (name, _), answer in zip(some, made, strict=True):
                yield name, RenderError(answer.why, where=f"variant {name}") if isinstance(answer, Ended) else answer


class Spool:
    """Renderings on their way to the store, which takes them all or none: packed, and on disk when they are many.

    A context manager; what it holds is gone with it. Raises MilepostError when the disk takes no more.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 (closed by __exit__)
        self._ends: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, variant: Variant) -> None:
        """One more, behind the others."""
        parts = (variant.name, variant.subject, variant.html, variant.text, variant.placeholder, variant.change_ids)
        try:
            self._file.seek(0, os.SEEK_END)
            self._file.write(zlib.compress(json.dumps(parts).encode("ascii"), 1))
            self._ends.append(self._file.tell())
        except OSError as error:
            raise MilepostError(
                f"the renderings of an issue could not be put aside: {error.strerror or error}",
                where=tempfile.gettempdir(), hint="Make room there, or name another folder in TMPDIR.",
            ) from error

    def __iter__(self) -> Iterator[Variant]:
        """Each in its turn, once more with each loop."""
        start = 0
        for end in self._ends:
            self._file.seek(start)
            name, subject, html, text, placeholder, changes = json.loads(zlib.decompress(self._file.read(end - start)))
            yield Variant(
                name=name, subject=subject, html=html, text=text, placeholder=placeholder, change_ids=tuple(changes)
            )
            start = end
