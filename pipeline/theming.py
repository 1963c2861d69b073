"""Starting a theme of one's own: the templates as files to edit (`newsletter.templates` names their folder)."""

import shutil
from pathlib import Path

from milepost.errors import InputError
from newsletter.issue.render import templates_folder


def eject(out: Path) -> list[Path]:
    """Copy every template into `out`; those that are not edited may be deleted again, ours take their place.

    Raises InputError when one of them is there already, or `out` can't be written.
    """
    source = templates_folder()
    names = sorted(path.relative_to(source) for path in source.rglob("*.j2"))
    for name in names:
        if (out / name).exists():
            raise InputError("is there already", where=str(out / name), hint="Choose another folder.")
    try:
        for name in names:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, out / name)
    except OSError as error:
        raise InputError(f"can't be written: {error.strerror}", where=error.filename or str(out),
                         hint="Choose another folder.") from None
    return [out / name for name in names]
