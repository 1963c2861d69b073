"""What every command starts from: the settings it was given and the database they name, opened when first needed."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from milepost.log_lines import start_logging

if TYPE_CHECKING:
    from milepost.settings import Settings
    from pipeline.upkeep import Database


@dataclass
class CliContext:
    """The global options of one call of the command line."""

    config: Path | None = None
    verbose: bool = False
    json_lines: bool = False  # the form of the log
    kept: str = "What was finished is kept."  # told after Ctrl-C
    opened: ExitStack = field(default_factory=ExitStack)  # closed when the command ends, however it ends

    @cached_property
    def settings(self) -> "Settings":
        """Raises SettingsError."""
        from milepost.settings import load

        return load(self.config)

    @cached_property
    def database(self) -> "Database":
        """Raises StoreError and SchemaError."""
        from pipeline.upkeep import open_database

        return self.opened.enter_context(open_database(self.settings))

    def tell_operators_at_the_end(self) -> None:
        """However the command ends, operators are told what waits or is wrong; called before the database is opened."""
        if self.settings.notify.urls or self.settings.webhooks.urls:
            self.opened.callback(self._tell_operators)

    def _tell_operators(self) -> None:
        from milepost.settings import config_file
        from pipeline.operate.notices import quietly

        quietly(self.settings, folder=config_file(self.config).resolve().parent)

    def start_logging(self) -> None:
        """Warnings always, the rest with --verbose; on standard error, so that --json stays clean."""
        start_logging(verbose=self.verbose, json_lines=self.json_lines)
