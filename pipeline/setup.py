"""The first hour: settings, deployments and a theme to start from, as files to edit."""

import json
import os
import secrets
import shutil
from importlib.resources import files
from pathlib import Path

from milepost.errors import InputError
from milepost.settings import DEFAULT_FILE
from newsletter.issue.design import FIRST, folder_of
from newsletter.issue.render import templates_folder


def starter() -> str:
    """The commented milepost.toml, with a signing key of its own."""
    text = (files("milepost") / "starter.toml").read_text(encoding="utf-8")
    return text.replace("@SIGNING_KEY@", secrets.token_urlsafe(32))


def settings_file(path: Path) -> Path:
    """Where the settings go that an operator wants at `path`: a folder that is there gets its milepost.toml."""
    return path / DEFAULT_FILE if path.is_dir() else path


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


def deployments(config: Path) -> str:
    """prefect.yaml for the settings file `config`: every flow, with its schedule, by paths that hold everywhere.

    Raises InputError for a path that Prefect would take for a template of its own.
    """
    config = config.resolve()
    if "{{" in str(config):
        raise InputError("Prefect takes {{ for a template", where=str(config), hint="Give the folder another name.")
    text = (files("milepost") / "prefect.yaml").read_text(encoding="utf-8")
    for name, path in (("@FOLDER@", config.parent), ("@CONFIG@", config)):
        text = text.replace(name, json.dumps(str(path)))  # a JSON string is one of YAML, whatever signs are in it
    return text


def write_deployments(config: Path, *, force: bool) -> Path:
    """Write `deployments(config)` as prefect.yaml beside the settings; returns where.

    Raises InputError when a file is there and `force` is not given, or when it can't be written.
    """
    path = config.resolve().parent / "prefect.yaml"
    text = deployments(config)
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError("is there already", where=str(path), hint="Use --force to overwrite it.") from None
    except OSError as error:
        raise InputError(f"can't be written: {error.strerror}", where=str(path), hint="Choose another place.") from None
    return path


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
