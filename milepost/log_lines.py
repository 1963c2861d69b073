"""Log lines for programs: a JSON object each, with the source, look, issue and delivery that it is about."""

import datetime as dt
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from milepost.printable import PrintableFilter, printable_json

TEXT_LINES = "%(asctime)s %(levelname)s %(name)s: %(message)s"
NAMES = ("source", "look", "issue", "delivery")
_ABOUT: ContextVar[Mapping[str, str | int]] = ContextVar("about", default={})  # noqa: B039 (never changed in place)


@contextmanager
def about(**named: str | int) -> Iterator[None]:
    """Lines that are logged inside, in this thread and its tasks, are about these: `about(source="site", look=7)`."""
    token = _ABOUT.set({**_ABOUT.get(), **named})
    try:
        yield
    finally:
        _ABOUT.reset(token)


class JsonLines(logging.Formatter):
    """`{"at": …, "level": …, "logger": …, "says": …}`, with those of NAMES that are known, and `traceback` for a bug.

    One line's own word (`extra={"delivery": 12}`) goes before what is around it.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        own = {name: value for name in NAMES if (value := record.__dict__.get(name)) is not None}
        line: dict[str, object] = {
            "at": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(), "level": record.levelname.lower(),
            "logger": record.name, "says": record.getMessage(), **_ABOUT.get(), **own,
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return printable_json(json.dumps(line, ensure_ascii=False, default=str))


def start_logging(*, verbose: bool = False, json_lines: bool = False) -> None:
    """Warnings always, the rest where `verbose`; on standard error, as text or an object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if json_lines else logging.Formatter(TEXT_LINES))
    handler.addFilter(PrintableFilter())
    handler.setLevel(logging.INFO if verbose else logging.WARNING)
    logger = logging.getLogger("milepost")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)  # a flow run keeps them all, see flows.logs
    logger.propagate = False


def in_json() -> bool:
    """Whether this process says an object a line on standard error."""
    return any(isinstance(one.formatter, JsonLines) for one in logging.getLogger("milepost").handlers)


def as_line(sentence: str, *, level: int = logging.INFO, logger: str = "milepost.console") -> str:
    """What is said to whoever is at the terminal, in the form that the log has."""
    return JsonLines().format(logging.LogRecord(logger, level, "", 0, sentence, None, None)) \
        if in_json() else sentence
