"""The house itself: import direction, room sizes, what ships in the wheel, and what may not stand in a file."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from milepost.rooms import ROOMS

ROOT = Path(__file__).parents[2]
SOURCES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def _tracked() -> list[Path]:
    """Every file that belongs to the project; without git, everything but what the tools make."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=False,  # noqa: S607
    )
    if listed.returncode == 0 and listed.stdout:
        return [ROOT / name.decode() for name in listed.stdout.split(b"\0") if name]
    skipped = {".git", "__pycache__", "milepost-demo", "build", "dist"}
    return [
        path for path in ROOT.rglob("*")
        if path.is_file() and not skipped & set(path.parts) and not any(part.startswith(".venv") for part in path.parts)
    ]


def test_imports_run_one_way() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_says_what_it_is(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith(('"""', "# ")), "a sentence opens every module"


def test_no_room_for_things_without_a_name() -> None:
    nameless = {"utils.py", "helpers.py", "common.py", "misc.py"}
    assert not [path for path in SOURCES if path.name in nameless]


def test_the_wheel_holds_templates_migrations_and_the_sample_site(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", "from hatchling.build import build_wheel; import sys; build_wheel(sys.argv[1])",
         str(tmp_path)],
        cwd=ROOT, check=True, capture_output=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for name in (
        "templates/issue.mjml.j2", "templates/issue.txt.j2", "store/migrations/env.py", "milepost/starter.toml",
        "store/migrations/versions/r0001_first.py", "newsletter/issue/mjml_components.json",
        "console/demo/site/milestones.toml",
    ):
        assert name in names
    assert not [name for name in names if name.startswith(("tests/", "bench/", "docs/"))]


def test_every_dependency_is_pinned_by_name_and_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = {re.split(r"[\[<>=!~ ]", line)[0].lower() for line in wanted} - {"milepost"}
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.split("==")[0].lower() for line in pins if line and not line.startswith("#")}
    assert names <= pinned
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+|#.*|", line) for line in pins)


def test_no_file_names_a_package_registry_or_keeps_a_lock() -> None:
    hosts = ("pypi", "files.pythonhosted", "npmjs")
    registries = re.compile("|".join(re.escape(f"{host}.") + "(org|com)" for host in hosts))
    for path in _tracked():
        assert path.name not in {"uv.lock", "package-lock.json", "poetry.lock"}, path
        if path.suffix in {".py", ".toml", ".md", ".txt", ".yaml", ".yml", ".json", ".j2", ""} and path.is_file():
            assert not registries.search(path.read_text(encoding="utf-8", errors="replace")), path


def test_the_readme_begins_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^make \w+", text, re.MULTILINE)
    assert commands[:2] == ["make demo", "make test"]


def test_links_in_the_documentation_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
