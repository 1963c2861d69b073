"""Commands for those who add or repair a site: `source new`, `source check`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from console.context import CliContext
from console.exit_report import conclude
from console.groups import Group
from console.looks import print_check
from console.output import JsonFlag, print_json
from milepost.errors import InputError


def mount(app: typer.Typer) -> None:
    source = typer.Typer(cls=Group, help="Sites: add one, see how its pages read.", no_args_is_help=True)
    example = "Example: milepost source new bridges --url https://bridges.example/bridge/iron-span"
    source.command("new", epilog=example)(new)
    source.command("check")(check)
    app.add_typer(source, name="source")


def new(
    key: Annotated[str, typer.Argument(help="The site's name: lower-case letters, digits, dashes.")],
    url: Annotated[str, typer.Option("--url", help="The address of one of its milestone pages.")],
    root: Annotated[Path, typer.Option("--root", help="The checkout to write into.")] = Path(),
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", help="A private host that may be fetched.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Save a site's first page and write the skeleton of its extractor; see docs/howto/add-a-site.md."""
    import re

    from milepost.settings import FetchSettings
    from pipeline.sources import start_site

    if not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", key):
        raise InputError("is no key", where=key, hint="Want lower-case letters, digits and dashes, a letter first.")
    started = start_site(key, url, root, fetch=FetchSettings(), allow_hosts=tuple(allow_host or ()))
    if as_json:
        print_json({"files": [str(path) for path in started.files], "base_url": started.base_url,
                    "problem": started.problem})
        return
    for path in started.files:
        typer.echo(f"Wrote {path}")
    if started.problem:
        typer.echo(f"It can't be read as a milestone yet: {started.problem}", err=True)
    block = f'[[sources]]\nkey = "{key}"\nextractor = "{key}"\nbase_url = "{started.base_url}"'
    typer.echo(f"\nNext: look at the record, adapt the skeleton, and watch the site with\n\n{block}")


def check(
    context: typer.Context, key: Annotated[str, typer.Argument(help="The source's key.")], as_json: JsonFlag = False
) -> None:
    """Show how a source's stored pages read now: each field, who told it, who differs, and what could not be read."""
    from pipeline.sources import check_source

    cli: CliContext = context.obj
    found = check_source(cli.settings, key)
    if as_json:
        print_json(asdict(found))
    else:
        print_check(asdict(found))
    conclude(found.failures)
