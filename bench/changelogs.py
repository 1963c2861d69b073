"""Reads made-up changelogs in the many forms that people give them, beside other readers of changelogs.

    python -m bench.changelogs [--npm FOLDER] [--releases 40]

FOLDER has a node_modules with `changelog-parser` and `keep-a-changelog` (npm); Python's `keepachangelog` is asked where
it can be imported. What isn't there is told, and left out of the table.
"""

import argparse
import datetime as dt
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from extractors import registry
from milepost.errors import ExtractError
from milepost.records import Page

Told = list[tuple[str, str | None]]  # version, ISO date
Reader = Callable[[Sequence[Path]], list[Told | None]]  # of each file, None where it is refused

_NODE = {
    "npm changelog-parser": """
import parse from 'changelog-parser'; import {readFileSync} from 'fs';
const out = [];
for (const file of JSON.parse(readFileSync(0, 'utf8'))) {
  try { const log = await parse({filePath: file});
        out.push(log.versions.map(v => [v.version || v.title, v.date])); } catch { out.push(null); } }
console.log(JSON.stringify(out));""",
    "npm keep-a-changelog": """
import {parser} from 'keep-a-changelog'; import {readFileSync} from 'fs';
const out = [];
for (const file of JSON.parse(readFileSync(0, 'utf8'))) {
  try { const log = parser(readFileSync(file, 'utf8'));
        out.push(log.releases.map(r => [r.version, r.date ? r.date.toISOString().slice(0, 10) : null])); }
  catch { out.push(null); } }
console.log(JSON.stringify(out));""",
}
_PYTHON = """
import json, sys, keepachangelog
out = []
for file in json.load(sys.stdin):
    try:
        log = keepachangelog.to_dict(file)
        out.append([[v, one["metadata"].get("release_date")] for v, one in log.items()])
    except Exception:
        out.append(None)
print(json.dumps(out))"""


class File(NamedTuple):
    """A made-up changelog and what is right of it."""

    form: str
    text: str
    right: Told


def forms(releases: int) -> Iterator[File]:
    """A file of each form, newest first."""
    days = [dt.date(2031, 1, 1) + dt.timedelta(days=9 * number) for number in range(releases)]
    numbered = [(f"{1 + n // 10}.{n % 10}.0", day) for n, day in reversed(list(enumerate(days)))]

    def file(
        form: str, head: Callable[[str, dt.date], str], *, dated: bool = True,
        body: str = "### Added\n\n- A brick.", name: Callable[[str], str] = str,
    ) -> File:
        text = "# Changelog\n\n## [Unreleased]\n\n- Not yet.\n\n" + "\n\n".join(
            f"{head(version, day)}\n\n{body}" for version, day in numbered)
        right = [(name(version), day.isoformat() if dated else None) for version, day in numbered]
        return File(form, f"{text}\n", right)

    yield file("## [1.2.0] - 2031-03-04", lambda v, d: f"## [{v}] - {d}")
    yield file("## v1.2.0 (2031-03-04)", lambda v, d: f"## v{v} ({d})")
    yield file("## 1.2.0 / 2031-03-04", lambda v, d: f"## {v} / {d}")
    yield file("## 1.2.0 (4 March 2031)", lambda v, d: f"## {v} ({d.day} {d:%B %Y})")
    yield file("## 1.2.0 (March 4, 2031)", lambda v, d: f"## {v} ({d:%B} {d.day}, {d.year})")
    yield file("1.2.0 (2031-03-04) underlined", lambda v, d: f"{v} ({d})\n-------")
    yield file("# [1.2.0](link) (2031-03-04)", lambda v, d: f"# [{v}](https://kiln.example/{v}) ({d})")
    yield file("## Version 1.2.0", lambda v, _: f"## Version {v}", dated=False)
    yield file("## Kiln 1.2.0 (2031-03-04)", lambda v, d: f"## Kiln {v} ({d})")
    yield file("## 1.2.0, the day below", lambda v, d: f"## {v}\n\n_{d}_")
    yield file("## 1.2.0 - 2031-03-04 - a name", lambda v, d: f"## {v} - {d} - Red clay")
    yield file("### 1.2.0 - 2031-3-4", lambda v, d: f"### {v} - {d.year}-{d.month}-{d.day}")
    yield file("v1.2.0 - March 4, 2031, no heading", lambda v, d: f"v{v} - {d:%B} {d.day}, {d.year}", body="* A brick.")
    yield file("## [1.2.0/0.2.0] - 2031-03-04", lambda v, d: f"## [{v}/0.{v}] - {d}", name=lambda v: f"{v}/0.{v}")
    yield file("code that holds a heading", lambda v, d: f"## [{v}] - {d}", body="```sh\n## 0.0.1 - 2001-01-01\n```")
    yield file("What's Changed, as high", lambda v, d: f"## {v} ({d})", body="## What's Changed\n\n* A brick.")


def ours(name: str) -> Reader:
    """One of our extractors."""

    def read(files: Sequence[Path]) -> list[Told | None]:
        found: list[Told | None] = []
        for file in files:
            page = Page(url="https://kiln.example/CHANGELOG.md", text=file.read_text(encoding="utf-8"))
            try:
                records = registry.get(name).read_many(page, source="kiln")
            except ExtractError:
                found.append(None)
            else:
                found.append([(one.title, one.date.value if one.date else None) for one in records])
        return found

    return read


def asked(command: Sequence[str], folder: Path | None = None) -> Reader:
    """A program that is given the files' names as JSON and prints what it reads."""

    def read(files: Sequence[Path]) -> list[Told | None]:
        done = subprocess.run(command, input=json.dumps([str(file) for file in files]), capture_output=True, text=True,
                              check=True, cwd=folder, timeout=300)
        return [
            None if told is None else [(str(version), day) for version, day in told]
            for told in json.loads(done.stdout)
        ]

    return read


def readers(npm: Path | None) -> Iterator[tuple[str, Reader | None]]:
    """Each reader by its name; None: it isn't on this machine."""
    yield "milepost changelog", ours("changelog")
    yield "milepost keepachangelog", ours("keepachangelog")
    there = subprocess.run([sys.executable, "-c", "import keepachangelog"], capture_output=True, check=False)
    yield "Python keepachangelog", asked([sys.executable, "-c", _PYTHON]) if there.returncode == 0 else None
    node = shutil.which("node")
    for name, program in _NODE.items():
        here = node and npm and (npm / "node_modules" / name.partition(" ")[2]).is_dir()
        yield name, asked([str(node), "--input-type=module", "-e", program], npm) if here else None


def score(file: File, told: Told | None) -> tuple[int, int, int]:
    """(releases read, invented, with a wrong date)."""
    if told is None:
        return 0, 0, 0
    right = dict(file.right)
    read, invented, wrong = set[str](), 0, 0
    for said, day in told:
        match = re.search(r"\d+(?:\.\d+)+(?:/\d+(?:\.\d+)+)?", said)
        version = match[0] if match else said
        if version in right:
            read.add(version)
            dated = re.match(r"\d{4}-\d\d-\d\d", str(day))  # what isn't is words, and no date
            wrong += dated is not None and right[version] not in (None, dated[0])
        elif "unreleased" not in said.casefold():
            invented += 1
    return len(read), invented, wrong


def main() -> None:
    """Print a line a reader, and the forms of which it misses something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--npm", type=Path)
    parser.add_argument("--releases", type=int, default=40)
    given = parser.parse_known_args()[0]
    made = list(forms(given.releases))
    true = sum(len(file.right) for file in made)
    print(f"{len(made)} files, {true} releases\n")
    print(f"{'reader':<26}{'read':>8}{'share':>8}{'invented':>10}{'wrong dates':>13}{'files refused':>15}{'s':>8}")
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, file in enumerate(made):
            path = Path(folder) / f"{number}.md"
            path.write_text(file.text, encoding="utf-8")
            files.append(path)
        for name, reader in readers(given.npm):
            if reader is None:
                print(f"{name:<26}is not here")
                continue
            start = time.perf_counter()
            told = reader(files)
            seconds = time.perf_counter() - start
            scores = [score(file, one) for file, one in zip(made, told, strict=True)]
            read, invented, wrong = (sum(column) for column in zip(*scores, strict=True))
            refused = sum(one is None for one in told)
            print(f"{name:<26}{read:>8}{read / true:>8.1%}{invented:>10}{wrong:>13}{refused:>15}{seconds:>8.2f}")
            missed = [file.form for file, one in zip(made, scores, strict=True) if one[0] < len(file.right)]
            if missed:
                print(f"{'':<26}misses: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
