"""Watches a web process's event loop: whoever renders, packs or asks the database in it keeps everybody waiting."""

import asyncio
import gzip
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import jinja2
import sqlalchemy as sa


@contextmanager
def watched() -> Iterator[list[str]]:
    """What was done in a loop by a module of `web`, as it comes."""
    found: list[str] = []
    with ExitStack() as patches:
        for owner, name in ((jinja2.Template, "render"), (gzip, "compress"), (sa.Connection, "_execute_context")):
            patches.enter_context(patch.object(owner, name, _noting(getattr(owner, name), found)))
        yield found


def _noting(real: Callable[..., Any], found: list[str]) -> Callable[..., Any]:
    def noting(*given: Any, **named: Any) -> Any:
        if asyncio._get_running_loop() is not None and (who := _of_web()):
            found.append(f"{who} does {real.__qualname__} in the event loop")
        return real(*given, **named)

    return noting


def _of_web() -> str | None:
    """The function of `web` that does it; None for a test's own doing."""
    frame = sys._getframe()
    while frame.f_back is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("web."):
            return f"{name}.{frame.f_code.co_name}"
        if name.startswith("tests.") and name != __name__:
            return None
        frame = frame.f_back
    return None
