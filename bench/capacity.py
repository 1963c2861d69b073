"""What very many readers and sources would ask for, on paper: the table of `bench.scale`, multiplied.

    python -m bench.capacity [--table docs/operations/scaling.md] > docs/operations/capacity.md

    the table's lines ─▶ a figure for each size ─▶ bench/capacity.md.j2, which has the words and the arithmetic

Nothing is measured here. A figure that the table lacks is an error that names it.
"""

import argparse
import re
import sys
from pathlib import Path

from jinja2 import Environment, StrictUndefined

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "docs" / "operations" / "scaling.md"
_LINE = re.compile(r"\| (?P<grows>[^|]+) \| (?P<store>sqlite|postgresql) \| (?P<figure>[^|]+) \| (?P<cells>[^|]+) \|")
_CELL = re.compile(r"([\d,]+): ([\d,.]+)")
Figures = dict[tuple[str, str, str, int], float]  # (what grows, store, figure, size)


def figures(table: str) -> Figures:
    """Every figure of a table that `bench.scale` printed."""
    found: Figures = {}
    for line in _LINE.finditer(table):
        for size, figure in _CELL.findall(line["cells"]):
            found[line["grows"], line["store"], line["figure"], _number(size)] = float(figure.replace(",", ""))
    return found


def page(table: str) -> str:
    """The page of the table. Raises KeyError for a figure that is not in it."""
    known = figures(table)

    def figure(grows: str, name: str, size: int, store: str = "postgresql") -> float:
        return known[grows, store, name, size]

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True, autoescape=False)  # noqa: S701 (Markdown)
    environment.filters |= {"n": lambda value, digits=0: f"{value:,.{digits}f}", "time": _time}
    return environment.from_string(
        (Path(__file__).parent / "capacity.md.j2").read_text(encoding="utf-8")).render(figure=figure)


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _time(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.1f} s"


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=TABLE, help="a file with the table in it")
    chosen = parser.parse_known_args()[0]
    try:
        sys.stdout.write(page(chosen.table.read_text(encoding="utf-8")))
    except KeyError as error:
        sys.exit(f"capacity: {chosen.table} has no such figure: {error}. Run bench.scale for it.")


if __name__ == "__main__":
    main()
