"""Pages as files: the archive for any web server, the same that the web application serves; and an issue to look at.

    sealed issues, the record ─▶ web.public ─▶ DIR/index.html, issues/…, timeline/…, topics/…, cards/…, feeds, sitemap
    one issue     ─▶ issue-N-VARIANT.html, .txt (the bytes that are sent), issue-N-page.html
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from milepost.dates import utc_now
from milepost.errors import InputError
from milepost.settings import Settings
from newsletter.issue.known import known_from
from newsletter.news.select import EVERYTHING
from pipeline import edit
from pipeline.readers_pages import behind
from pipeline.upkeep import Database
from web.pages import Pages
from web.public.archive import Archive
from web.public.timeline import TimelinePages


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """What building the archive wrote."""

    folder: Path
    issues: int
    written: tuple[Path, ...]  # new or changed
    unchanged: int


def build_archive(settings: Settings, database: Database, out: Path) -> Built:
    """Write the archive of all sealed issues into `out`; a page that is the same already is left alone.

    Each file is complete or is not there. Raises InputError when `out` can't be written, or when a folder of it is a
    link: what it leads to may be no archive.
    """
    archive, timeline = _pages(settings, database)
    numbers = archive.numbers()
    written: list[Path] = []
    unchanged = 0
    try:
        for name, content in chain(_pictures(settings, database, numbers), _files(archive, timeline, numbers)):
            if _put(out, name, content):
                written.append(out / name)
            else:
                unchanged += 1
    except OSError as error:
        raise InputError(f"can't be written: {error.strerror}", where=error.filename or str(out),
                         hint="Choose another folder.") from None
    return Built(folder=out, issues=len(numbers), written=tuple(written), unchanged=unchanged)


def write_preview(settings: Settings, database: Database, number: int, out: Path) -> list[Path]:
    """Write the files of issue `number`, a draft or not, into `out`; the first two are the mail with everything in it.

    The parts are what is sent byte for byte, but for the reader's own links and the day of the hand-over. Raises
    NotFoundError when there is no such issue, InputError when `out` can't be written.
    """
    archive, _ = _pages(settings, database)
    page, written = f"issue-{number}-page.html", list[str]()
    try:
        for variant in edit.variants(settings, database, number, now=utc_now()):
            names = [f"issue-{number}-{variant.name}.{ending}" for ending in ("html", "txt")]
            for name, content in zip(names, (variant.html, variant.text), strict=True):
                _put(out, name, content.encode("utf-8"))
            written = names + written if variant.name == EVERYTHING else written + names
        _put(out, page, archive.proof(number).encode("utf-8"))
    except OSError as error:
        raise InputError(f"can't be written: {error.strerror}", where=error.filename or str(out)) from None
    return [out / name for name in (*written, page)]


def _pages(settings: Settings, database: Database) -> tuple[Archive, TimelinePages]:
    """The pages; nobody answers a search of files."""
    pages = Pages(settings.newsletter, settings.web, signup=settings.web.archive_signup)
    kept = behind(settings, database)
    timeline = TimelinePages(pages, kept.timeline, settings, searchable=False)
    return Archive(pages, kept.issues, settings, timeline), timeline


def _pictures(settings: Settings, database: Database, numbers: list[int]) -> Iterator[tuple[str, bytes]]:
    """Those that the issues show and that are served still."""
    kept = behind(settings, database)
    names = {one.name for number in numbers for one in known_from(kept.issues.get(number).known).pictures.values()}
    for name in sorted(names):
        found = kept.pictures.get(name.partition(".")[0])
        if found is not None:
            yield f"i/{name}", found.data


def _files(archive: Archive, timeline: TimelinePages, numbers: list[int]) -> Iterator[tuple[str, bytes]]:
    for name in ("site", "icon"):
        yield f"cards/{name}.png", archive.card(name)
    for number in numbers:  # before what points at them
        yield f"cards/issue-{number}.png", archive.card(f"issue-{number}")
        yield f"issues/{number}/index.html", archive.issue(number).encode("utf-8")
    for name, content in timeline.files():
        if name.startswith("timeline/") and name.endswith("/index.html") and not name.startswith("timeline/pages/"):
            address = name.removeprefix("timeline/").removesuffix("/index.html")
            if address != "index.html":
                yield f"cards/timeline/{address}.png", archive.card(f"timeline/{address}")
        yield name, content
    for name, page in reversed(list(archive.indexes())):
        yield f"{name}/index.html", page.encode("utf-8")
    yield "index.html", page.encode("utf-8")
    for name, (_, _, make) in archive.documents.items():
        yield name, make()


def _put(out: Path, name: str, content: bytes) -> bool:
    """Write the file `name` of `out` in one step; False when it holds just that. InputError for a linked folder."""
    path = out / name
    for folder in (out, *list(path.parents)[: len(Path(name).parents) - 1]):
        if folder.is_symlink():
            raise InputError(f"is a link, to {folder.readlink()}: nothing is written through it", where=str(folder),
                             hint="Name the folder itself, or take the link away.")
    if path.is_file() and not path.is_symlink() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(scratch).chmod(0o644)
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
    return True
