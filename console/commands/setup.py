"""Commands of the first hour: `init` writes the settings, `doctor` checks what they point at."""

import os
import secrets
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from console.context import CliContext
from console.output import JsonFlag, print_json, print_table
from milepost.errors import InputError, MilepostError


def mount(app: typer.Typer) -> None:
    app.command()(init)
    app.command()(doctor)


def starter() -> str:
    """The commented milepost.toml, with a signing key of its own."""
    text = (files("milepost") / "starter.toml").read_text(encoding="utf-8")
    return text.replace("@SIGNING_KEY@", secrets.token_urlsafe(32))


def init(
    path: Annotated[Path, typer.Argument(help="Where to write the settings.")] = Path("milepost.toml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
    to_stdout: Annotated[bool, typer.Option("--print", help="Print it instead.")] = False,
) -> None:
    """Write a commented milepost.toml."""
    if to_stdout:
        typer.echo(starter(), nl=False)
        return
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    try:
        handle = os.open(path, flags, 0o600)  # it holds the signing key
    except FileExistsError:
        raise InputError("is there already", where=str(path), hint="Use --force to overwrite it.") from None
    except OSError as error:
        raise InputError(f"can't be written: {error.strerror}", where=str(path), hint="Choose another place.") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(starter())
    typer.echo(f"Wrote {path}. Next: edit it, then `milepost db upgrade`, `milepost doctor`, `milepost scrape`.")


def doctor(
    context: typer.Context,
    to: Annotated[str | None, typer.Option("--to", help="Send a test mail to this address, too.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check settings, database, sources, relay and DNS; nothing is sent, but for a test mail with --to."""
    from pipeline.doctor import examine

    door: CliContext = context.obj
    findings = examine(door.settings, to=to)
    if as_json:
        print_json([{"check": f.check, "ok": f.ok, "says": f.says, "publish": f.publish} for f in findings])
    else:
        words = {True: "ok", False: "NOT OK", None: "?"}
        rows = [(words[f.ok], f.check, f.says) for f in findings]
        print_table("", ("", "check", "what it says"), rows, empty="Nothing to check.")
        for finding in findings:
            if finding.publish:
                typer.echo(f"\nFor {finding.check}, publish:\n{finding.publish}")
    bad = [finding for finding in findings if finding.ok is False]
    if bad:
        raise MilepostError(f"{len(bad)} of {len(findings)} checks failed", hint="Mend what the table names.")
