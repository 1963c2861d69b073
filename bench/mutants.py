"""Which flipped decisions no test notices: mutmut over a drawn part of the mutants, in bounded time.

    mutmut makes every mutant ─▶ so many of each module are drawn by a seed ─▶ tried until the time is over
                                             survivors ─▶ docs/mutants.md knows the reason of each, or exit 1

Which modules, and which tests may notice, is said in pyproject.toml, [tool.mutmut].
"""

import argparse
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Collection
from pathlib import Path

MADE = Path("mutants")
KNOWN = Path("docs/mutants.md")
SURVIVED = frozenset({0, 33})  # mutmut's exit codes: no test failed; no test comes by at all
_NAME = re.compile(r"^(?P<module>[\w.]+)\.x(?:ǁ(?P<cls>\w+)ǁ|_)(?P<function>\w+?)__mutmut_\d+$")


def main() -> int:
    """0: every survivor has its reason; 1: one has none, or nothing was tried."""
    options = argparse.ArgumentParser(prog="python -m bench.mutants", description=__doc__)
    options.add_argument("--minutes", type=float, default=20.0, help="all in all (20)")
    options.add_argument("--each", type=int, default=12, help="mutants drawn of each module (12); 0: all")
    options.add_argument("--seed", default="milepost", help="another draws others")
    options.add_argument("--module", default="", help="only modules whose dotted name begins so")
    chosen = options.parse_args()
    end = time.monotonic() + chosen.minutes * 60

    shutil.rmtree(MADE, ignore_errors=True)  # a result of other tests is none
    _mutmut(["newsletter.news.guards.*"], end)  # makes them all, and finds out which test comes by where
    names = drawn(_results(), each=chosen.each, seed=chosen.seed, module=chosen.module)
    if names:
        _mutmut(names, end)
    results = {name: code for name, code in _results().items() if name in names}
    tried = {name: code for name, code in results.items() if code is not None}
    survivors = sorted(name for name, code in tried.items() if code in SURVIVED)
    known = " ".join(KNOWN.read_text("utf-8").split())
    new = [line for line in map(_line, survivors) if line not in known]

    _table(tried, survivors)
    print(f"{len(names)} drawn by the seed {chosen.seed!r}, {len(names) - len(tried)} not reached in time,"
          f" {len(survivors)} survived, {len(new)} of them without a reason in {KNOWN}")
    for line in new:
        print(f"- {line}:")
    return 1 if new or not tried else 0


def drawn(results: dict[str, int | None], *, each: int, seed: str, module: str = "") -> list[str]:
    """At most `each` names of every module (0: all), the same for the same seed."""
    of: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(results):
        if name.startswith(module):
            of[_module(name)].append(name)
    chance = random.Random(seed)  # noqa: S311 (nothing secret)
    return [name for names in of.values() for name in chance.sample(names, min(each or len(names), len(names)))]


def _module(name: str) -> str:
    found = _NAME.match(name)
    return found["module"] if found else name.rpartition(".")[0]


def _results() -> dict[str, int | None]:
    """Mutant → how its tests ended, None: not tried."""
    found: dict[str, int | None] = {}
    for file in sorted(MADE.rglob("*.meta")):
        found |= json.loads(file.read_text("utf-8"))["exit_code_by_key"]
    return found


def _mutmut(names: list[str], end: float) -> None:
    """Try these; what is on its way when the time is over is left."""
    process = subprocess.Popen([sys.executable, "-m", "mutmut", "run", *names], start_new_session=True)
    try:
        process.wait(max(1.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _line(name: str) -> str:
    """A survivor as docs/mutants.md names it: its function, and the line before and after."""
    shown = subprocess.run([sys.executable, "-m", "mutmut", "show", name], capture_output=True, text=True, check=True)
    lines = shown.stdout.splitlines()
    before = " ".join(line[1:].strip() for line in lines if line.startswith("-") and not line.startswith("---"))
    after = " ".join(line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++"))
    found = _NAME.match(name)
    of = ".".join(filter(None, (found["cls"], found["function"]))) if found else name
    return " ".join(f"`{of}`: `{before}` → `{after}`".split())


def _table(tried: Collection[str], survivors: Collection[str]) -> None:
    of, left = Counter(map(_module, tried)), Counter(map(_module, survivors))
    for module, number in sorted(of.items()):
        print(f"{module:<40} {number:>5} tried {number - left[module]:>5} noticed {left[module]:>4} survived")


if __name__ == "__main__":
    sys.exit(main())
