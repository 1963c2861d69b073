"""What `deploy/` runs exists: commands and flags, variables, files and volumes; no shell keeps signals to itself."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml  # type: ignore[import-untyped]

from console.app import app
from milepost.environment import OTHERS, names
from milepost.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
PAGES = Path(__file__).parents[2] / "docs" / "operations"
UNITS, TIMERS = sorted(DEPLOY.rglob("*.service")), sorted(DEPLOY.rglob("*.timer"))
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "container" / "compose.yaml").read_text(encoding="utf-8"))
DOCKERFILE = (DEPLOY / "container" / "Dockerfile").read_text(encoding="utf-8")


def _wrong(words: list[str], command: Any) -> str | None:
    """What of a call, without the program's name, there is not; None when there is all of it."""
    while words and (inner := getattr(command, "commands", {})):
        if words[0] not in inner and "serve" in inner:
            break  # `web` alone is `web serve`
        if words[0] not in inner:
            return f"no command {words[0]}"
        command, words = inner[words[0]], words[1:]
    if getattr(command, "commands", {}):
        return "only a group"
    known = {option for parameter in command.params for option in parameter.opts}
    strange = [word for word in words if word.startswith("--") and word not in known]
    return f"no flag {strange[0]}" if strange else None


def _milepost(call: str) -> str | None:
    return _wrong(shlex.split(call), typer.main.get_command(app))


def _calls() -> list[tuple[str, str]]:
    """(who, call) of each `milepost` that units, timers and services run."""
    started = re.compile(r"^ExecStart=\S+/milepost (.+)$", flags=re.MULTILINE)
    found = [(unit.name, call) for unit in UNITS if "@" not in unit.name
             for call in started.findall(unit.read_text(encoding="utf-8"))]
    found += [(timer.name, timer.stem.partition("@")[2].replace("-", " ")) for timer in TIMERS]
    found.append(("Dockerfile", " ".join(_listed("CMD")[-1])))
    for name, service in COMPOSE["services"].items():
        command = service.get("command", [])
        if "entrypoint" not in service and command:
            found.append((name, " ".join(command)))
        found += [(name, call) for call in re.findall(r"^milepost (.+)$", "\n".join(command), flags=re.MULTILINE)]
    return found


def _listed(instruction: str) -> list[list[str]]:
    return [yaml.safe_load(one) for one in re.findall(rf"^ *{instruction} (\[.+\])$", DOCKERFILE, flags=re.MULTILINE)]


@pytest.mark.parametrize(("who", "call"), _calls(), ids=lambda value: str(value).replace(" ", "-"))
def test_what_is_run_is_a_command_of_ours(who: str, call: str) -> None:
    assert _milepost(call) is None, f"{who} runs `milepost {call}`"


def test_a_command_or_flag_that_is_none_is_found() -> None:
    assert _milepost("wbe serve") == "no command wbe"
    assert _milepost("ledger resolve 1 --postfix") == "no flag --postfix"
    assert _milepost("web serve --hots 0.0.0.0") == "no flag --hots"
    assert len(_calls()) >= 9


def test_every_variable_is_a_setting_of_ours() -> None:
    texts = [file.read_text(encoding="utf-8") for file in [*DEPLOY.rglob("*"), *PAGES.glob("*.md")] if file.is_file()]
    named = {name for text in texts for name in re.findall(r"\bMILEPOST_[A-Z0-9_]*[A-Z0-9]", text)}
    assert len(named) >= 5
    assert named <= names(Settings).keys() | OTHERS
    keys = {name for text in texts for name in re.findall(r"/etc/milepost/secrets/([A-Z0-9_]+)", text)}
    assert keys
    assert {f"MILEPOST_{key}" for key in keys} <= names(Settings).keys()


def test_the_image_holds_all_that_the_wheel_is_made_of() -> None:
    import tomllib

    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text(encoding="utf-8"))
    rooms = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert re.findall(r"^COPY (\w+) \1$", DOCKERFILE, flags=re.MULTILINE) == rooms
    ignored = (DEPLOY / "container" / "Dockerfile.dockerignore").read_text(encoding="utf-8")
    let_in = re.findall(r"^!(\S+)$", ignored, flags=re.MULTILINE)
    first = re.search(r"^COPY (pyproject.+) \./$", DOCKERFILE, flags=re.MULTILINE)
    assert first
    assert let_in == [*first[1].split(), *rooms]


def test_nobody_runs_as_root_and_no_shell_keeps_a_signal() -> None:
    assert re.findall(r"^USER (\d+)", DOCKERFILE, flags=re.MULTILINE) == ["10001"]
    assert _listed("ENTRYPOINT") == [["milepost"]]
    for name, service in COMPOSE["services"].items():
        assert "healthcheck" in service or name == "web", name  # the image's own is the pages'
        if service.get("entrypoint") == ["sh", "-ec"] and service["restart"] != "no":
            assert service["command"][0].splitlines()[-1].startswith("exec "), name
        for secret in service.get("secrets", []):
            assert secret in COMPOSE["secrets"], name
        for volume in service.get("volumes", []):
            if isinstance(volume, str) and not volume.startswith("."):
                assert volume.partition(":")[0] in COMPOSE["volumes"], name


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_gives_away_no_more_than_it_needs(unit: Path) -> None:
    lines = unit.read_text(encoding="utf-8").splitlines()
    assert {
        "User=milepost", "NoNewPrivileges=yes", "ProtectSystem=strict", "StateDirectory=milepost", "UMask=0077",
        "LoadCredential=MILEPOST:/etc/milepost/secrets", "CapabilityBoundingSet=",
    } <= set(lines)
    assert not any(line.startswith("ProcSubset=") for line in lines)
