"""The documents and the help say what there is: every command, every option, and the same words in both."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from bench import capacity
from console.app import app
from extractors import registry
from milepost.settings import parse
from milepost.settings_reference import reference

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`milepost ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)")  # `milepost issue draft …` in running text

TYPED = re.compile(r"^milepost ([a-z][a-z-]*(?: [a-z][a-z-]*(?= |$))?)", flags=re.MULTILINE)  # … or in a block


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """("issue draft", its click command) for each command that is shown."""
    if command.hidden:
        return
    inner: dict[str, Any] = getattr(command, "commands", {})
    for name, below in inner.items():
        yield from _commands(below, (*path, name))
    if not inner:
        yield " ".join(path), command


COMMANDS = dict(_commands(typer.main.get_command(app)))
GROUPS = {name.split()[0] for name in COMMANDS if " " in name}


def test_the_command_line_s_page_lists_every_command_and_no_other() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8").partition("## Commands")[2]
    listed = re.findall(r"^\| `([a-z][a-z -]*?)(?: [A-Z[].*?)?` \|", page, flags=re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_does_and_what_it_takes(name: str) -> None:
    command = COMMANDS[name]
    said = command.get_short_help_str(1000)
    assert said[0].isupper()
    assert said.endswith(".")
    assert command.help.strip().endswith((".", ".)"))
    silent = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]
    assert silent == []


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
SPAN = re.compile(r"`(?:milepost )?([a-z][^`\n]* [^`\n]*)`")  # a whole call in running text
BLOCK = re.compile(r"^milepost ([a-z][^#\n]*)", flags=re.MULTILINE)  # … or in a block
FLAG = re.compile(r"(?<![\w-])(--[a-z][a-z-]*)")


def _calls(path: Path) -> list[tuple[Any, str]]:
    """The calls of commands that a document shows: (the command, the whole call)."""
    text = path.read_text(encoding="utf-8")
    calls = SPAN.findall(text) + BLOCK.findall(text)
    commands = [(_command(re.findall(r"[a-z][a-z-]*(?= |$)", call.partition(" -")[0])), call) for call in calls]
    return [(command, call) for command, call in commands if command is not None]


def _named(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return NAMED.findall(text) + TYPED.findall(text)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_command_that_a_document_names_is_there(path: Path) -> None:
    for words in _named(path):
        first = words.split()[0]
        assert words in COMMANDS or first in COMMANDS or first in GROUPS, f"{path.name} names `milepost {words}`"
        if first in GROUPS and " " in words:
            assert words in COMMANDS or COMMANDS.keys() & {f"{first} list", f"{first} show", f"{first} run"}, words


def _command(words: list[str]) -> Any:
    """The command that a call names, the first of its group where it names none; None for the program itself."""
    for name in (" ".join(words[:2]), words[0] if words else ""):
        if name in COMMANDS:
            return COMMANDS[name]
    return next((command for name, command in COMMANDS.items() if words and name.split()[0] == words[0]), None)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_flag_that_a_document_names_is_its_command_s(path: Path) -> None:
    for command, call in _calls(path):
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert set(FLAG.findall(call)) <= known | GLOBAL, f"{path.name}: {call}"


GLOBAL = {option for parameter in typer.main.get_command(app).params for option in parameter.opts} | {"--help"}


def test_enough_is_named_for_these_tests_to_mean_something() -> None:
    """A pattern that finds nothing would let every page pass."""
    assert sum(len(_named(path)) for path in PAGES) > 40
    assert sum(len(FLAG.findall(call)) for path in PAGES for _, call in _calls(path)) > 20


def test_the_page_of_settings_is_the_model_s_own() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == reference(), "run `make docs`"


def test_the_page_of_capacity_is_the_table_s_own() -> None:
    """Each of its numbers is one that was measured, or such a one multiplied."""
    operations = ROOT / "docs" / "operations"
    made = capacity.page((operations / "scaling.md").read_text(encoding="utf-8"))
    assert (operations / "capacity.md").read_text(encoding="utf-8") == made, "run `make docs`"


def test_what_is_not_in_the_table_is_on_no_page() -> None:
    line = "| pages of a source | postgresql | first look: CPU s | 1,000: 2.40; 10,000: 1,875 (1.22) |"
    assert capacity.figures(line) == {
        ("pages of a source", "postgresql", "first look: CPU s", 1000): 2.4,
        ("pages of a source", "postgresql", "first look: CPU s", 10_000): 1875.0,
    }
    with pytest.raises(KeyError, match="second look"):
        capacity.page(line)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash to complete for")
def test_the_shell_completes_commands() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "milepost"], capture_output=True, text=True, check=False, timeout=60,
        env=os.environ | {"_MILEPOST_COMPLETE": "complete_bash", "COMP_WORDS": "milepost issue dr", "COMP_CWORD": "2"},
    )
    assert done.stdout.split() == ["draft"]


def test_the_help_cuts_no_sentence_short() -> None:
    done = subprocess.run([sys.executable, "-m", "milepost", "--help"], capture_output=True, text=True, check=True)
    assert "..." not in done.stdout.partition("Commands:")[2]


SETTINGS = re.compile(r"^```toml\n(\[\[sources\]\]\n.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def test_the_sources_of_the_guide_are_settings_that_their_extractors_take() -> None:
    blocks = SETTINGS.findall((ROOT / "docs" / "howto" / "add-a-site.md").read_text(encoding="utf-8"))
    taken = set()
    for block in blocks:
        [source] = parse(tomllib.loads(block)).sources
        registry.get(source.extractor, source.options)
        taken.add(source.extractor)
    assert taken == set(registry.names()) - {"keepachangelog", "sample", "timelinelist"}
