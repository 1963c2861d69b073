"""The first hour: settings to start from, and a theme to start from, as files to edit."""

import os
import secrets
import shutil
from importlib.resources import files
from pathlib import Path

from milepost.errors import InputError
from newsletter.issue.design import FIRST, folder_of
from newsletter.issue.render import templates_folder


def starter() -> str:
    """The commented milepost.toml, with a signing key of its own."""
    text = (files("milepost") / "starter.toml").read_text(encoding="utf-8")
    return text.replace("@SIGNING_KEY@", secrets.token_urlsafe(32))


def write_starter(path: Path, *, force: bool) -> None:
    """Write `starter()` for the owner's eyes only: it holds the signing key.

    Raises InputError when a file is there and `force` is not given, or when it can't be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    try:
        handle = os.open(path, flags, 0o600)
    except FileExistsError:
        raise InputError("is there already", where=str(path), hint="Use --force to overwrite it.") from None
    except OSError as error:
        raise InputError(f"can't be written: {error.strerror}", where=str(path), hint="Choose another place.") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        os.fchmod(handle, 0o600)  # a file that was there keeps its mode otherwise
        file.write(starter())


def eject_templates(out: Path) -> list[Path]:
    """Copy every template into `out` (`newsletter.templates` names that folder); those not edited may be deleted again.

    Raises InputError when one of them is there already, or `out` can't be written.
    """
    source = templates_folder()
    earlier = source / folder_of(FIRST)  # what was made with these is made with them again: not for editing
    names = sorted(path.relative_to(source) for path in source.rglob("*.j2") if not path.is_relative_to(earlier))
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
