"""How failures are told: sorted, equal ones in one line, and the exit code that the worst of them deserves."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from console.output import complain
from milepost.errors import HeldError, MilepostError
from milepost.printable import counted

MOST = 20  # lines; --json has all of them
_ON_A_PAGE = re.compile(r"(?P<url>https?://\S+?): (?P<reason>.+)", re.DOTALL)
_ALIKE = 3  # pages that failed for one reason, from which they are told together


def gathered(sentences: Iterable[str]) -> list[str]:
    """Sorted, each once; pages that failed for the same reason in one line."""
    pages: dict[str, list[str]] = {}
    told: set[str] = set()
    for sentence in sorted(set(sentences)):
        found = _ON_A_PAGE.fullmatch(sentence)
        if found is None:
            told.add(sentence)
        else:
            pages.setdefault(found["reason"], []).append(found["url"])
    for reason, urls in pages.items():
        if len(urls) >= _ALIKE:
            told.add(f"{len(urls)} pages: {reason.rstrip('.')} ({urls[0]} and {len(urls) - 1} more)")
        else:
            told.update(f"{url}: {reason}" for url in urls)
    return sorted(told)


def conclude(
    sentences: Iterable[str], held: Sequence[str] = (), *, hint: str = "See `milepost holds`."
) -> None:
    """Say every failure on standard error; raises HeldError when anything is held, else MilepostError for the last."""
    lines = gathered(sentences)
    for line in _calm(lines if held else lines[:-1]):
        complain(line)
    if held:
        raise HeldError("; ".join(held), hint=hint)
    if lines:
        raise MilepostError(lines[-1])


def _calm(lines: list[str]) -> Iterator[str]:
    yield from lines[:MOST]
    if len(lines) > MOST:
        yield f"{len(lines) - MOST} more of the kind; --json prints all of them"


def require_rows_used(file: Path, errors: Sequence[tuple[int, str]]) -> None:
    """Name the rows of a file that could not be used, (line, sentence) each; raises MilepostError if there are any."""
    for line, sentence in errors[:MOST]:
        complain(f"{file}, line {line}: {sentence}")
    if len(errors) > MOST:
        complain(f"{len(errors) - MOST} more rows of the kind; --json prints all of them")
    if errors:
        raise MilepostError(
            f"{counted(len(errors), 'row')} could not be used", where=str(file), hint="Mend them and import it again."
        )
