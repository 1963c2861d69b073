"""A group of commands that can be called without one: `milepost holds` is `milepost holds list`."""

from typing import Any

from typer.core import TyperGroup


class Group(TyperGroup):
    """Lists its commands with their first sentences whole, however narrow the terminal is."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 (click's form)
        """Write the list of commands."""
        shown = [(name, command) for name, command in self.commands.items() if not command.hidden]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(limit=1000)) for name, command in shown])


class WithDefault(Group):
    """Whatever is no command's name is handed to the first command; its options stand in the group's own help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the first command's name before arguments that name none."""
        if not args or (args[0] not in self.commands and args[0] not in self.get_help_option_names(ctx)):
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The group's commands, then what the first of them takes."""
        super().format_options(ctx, formatter)
        name, command = next(iter(self.commands.items()))
        told = [told for parameter in command.get_params(ctx) if (told := parameter.get_help_record(ctx)) is not None]
        with formatter.section(f"Without a command it is `{name}`, which takes"):
            formatter.write_dl(told)
