"""An issue as its readers will see it, as files to look at: both parts of every variant, and its web page.

    stored renderings ─▶ issue-N-VARIANT.html, .txt (the bytes that are sent)        records ─▶ issue-N-page.html
"""

from pathlib import Path

from milepost.errors import InputError
from milepost.settings import Settings
from store.database import Database
from store.issues.issues import Issues
from web.pages import Pages
from web.public.archive import Archive


def write_preview(settings: Settings, database: Database, number: int, out: Path) -> list[Path]:
    """Write the files of issue `number`, a draft or not, into `out`; the first two are the mail with everything in it.

    The parts are what is sent byte for byte, but for the reader's own links. Raises NotFoundError when there is no such
    issue, InputError when `out` can't be written.
    """
    issues = Issues(database)
    archive = Archive(Pages(settings.newsletter, settings.web), issues, settings)
    files = {
        f"issue-{number}-{variant.name}.{ending}": content
        for variant in sorted(issues.variants(number), key=lambda variant: variant.name != "all")
        for ending, content in (("html", variant.html), ("txt", variant.text))
    } | {f"issue-{number}-page.html": archive.proof(number)}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (out / name).write_text(content, encoding="utf-8", newline="")
    except OSError as error:
        raise InputError(f"can't be written: {error.strerror}", where=error.filename or str(out)) from None
    return [out / name for name in files]
