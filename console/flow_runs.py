"""Running a flow from the terminal: Prefect is started here; the result is what the function would have returned."""

import sys
from pathlib import Path
from typing import Any

from console.context import CliContext
from console.output import say


def config_path(cli: CliContext) -> Path:
    """The settings file as flows are told of it; checked here, so that a wrong one is a sentence and not a crash."""
    from milepost.settings import config_file

    _ = cli.settings
    return config_file(cli.config).resolve()


def flow_result(cli: CliContext, name: str, **parameters: Any) -> Any:
    """Run the flow `flows.<name>:<name>` to its end and return its result; raises what it raised."""
    config = config_path(cli)
    from flows import engine

    home = config.parent / ".milepost" / "prefect"
    if not home.exists() and sys.stderr.isatty():
        say("Starting Prefect (the first time takes half a minute) …")
    engine.prepare(home)
    return engine.run(name, config=str(config), **parameters)
