"""Commands for those who add or repair a site: `source try`, `source add`, `source new`, `source check`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.context import CliContext
from console.exit_report import conclude
from console.groups import Group
from console.looks import print_check, print_trial
from console.output import JsonFlag, print_json
from milepost.errors import InputError

if TYPE_CHECKING:
    from pipeline.new_source import Trial


def mount(app: typer.Typer) -> None:
    source = typer.Typer(cls=Group, help="Sites: add one, see how its pages read.", no_args_is_help=True)
    example = "Example: milepost source new bridges --url https://bridges.example/bridge/iron-span"
    source.command("new", epilog=example)(new)
    source.command("check")(check)
    source.command("try", epilog="Example: milepost source try https://kiln.example/")(try_)
    source.command("add", epilog="Example: milepost source add https://kiln.example/feed.xml --key kiln")(add)
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


Address = Annotated[str, typer.Argument(help="Any address of the site: its front page, a feed, a list, an article.")]
AllowHost = Annotated[list[str] | None, typer.Option("--allow-host", help="A private host that may be fetched.")]
By = Annotated[str | None, typer.Option("--extractor", help="Read it by this one; else by whatever reads it best.")]


def try_(
    context: typer.Context, url: Address, allow_host: AllowHost = None, extractor: By = None, as_json: JsonFlag = False
) -> None:
    """Say what an address is and how it would be read: the settings, and its entries as they would be recorded.

    Nothing is stored. Exit code 1: nothing can be read there; 3: a first look at it would wait for an operator.
    """
    from pipeline.new_source import trial_to_json

    trial = _trial(context, url, allow_host, extractor)
    if as_json:
        print_json(trial_to_json(trial))
    else:
        print_trial(trial)
    _conclude(trial)


def add(
    context: typer.Context, url: Address,
    key: Annotated[str | None, typer.Option("--key", help="The source's name; else it is made of the address.")] = None,
    allow_host: AllowHost = None, extractor: By = None, as_json: JsonFlag = False,
) -> None:
    """Look at an address as `source try` does, and write the settings that read it into the settings file.

    Nobody is mailed of what is there by then: a first look is the baseline.
    """
    from milepost.settings import config_file
    from pipeline.new_source import add_source, settings_block, trial_to_json

    cli: CliContext = context.obj
    trial = _trial(context, url, allow_host, extractor)
    if trial.best is None:
        _conclude(trial)
    file = config_file(cli.config)
    source = add_source(file, trial, key=key)
    if as_json:
        print_json(trial_to_json(trial) | {"added": source, "file": str(file)})
    else:
        print_trial(trial, settings=False)
        typer.echo(f"\nWritten into {file}:\n\n{settings_block(source)}\n\nNext: milepost scrape {source['key']}")
    _conclude(trial)


def _trial(context: typer.Context, url: str, allow_host: list[str] | None, extractor: str | None) -> "Trial":
    from milepost.dates import utc_now
    from milepost.settings import config_file
    from pipeline.new_source import try_address

    cli: CliContext = context.obj
    known = cli.settings if config_file(cli.config).exists() else None  # a site can be tried before there are settings
    return try_address(
        url, now=utc_now, fetch=known.fetch if known else None, guards=known.guards if known else None,
        allow_hosts=tuple(allow_host or ()), extractor=extractor, render=known.render if known else None,
    )


def _conclude(trial: "Trial") -> None:
    """The exit code that a trial deserves."""
    if trial.best is None:
        why = next((one.problem.removeprefix(f"{trial.final_url}: ").rstrip(".")
                    for one in trial.others if one.problem), None)
        hint = f"It seems to need its scripts: {trial.rendering}." if trial.rendering else (
            "Give the address of its list, its feed, or one of its articles.")
        raise InputError("nothing that could be followed was read there" + (f" ({why})" if why else ""),
                         where=trial.final_url, hint=hint)
    conclude((), [trial.best.held] if trial.best.held else [], hint="A first look would wait for an operator.")


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
