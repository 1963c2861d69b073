"""Keeps what a run leaves to be read with the run, as Prefect's artifacts: tables, Markdown, and how far sending is."""

import contextvars
import logging
from types import TracebackType
from typing import Self, cast
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.exceptions import PrefectException

from flows.reports import Rows
from milepost.renewal import Renewal

log = logging.getLogger("milepost.flows")

EVERY_S = 2.0


def keep_table(key: str, rows: Rows, description: str) -> None:
    """`key`: lower-case letters, digits and dashes; nothing is kept where there are no rows."""
    if rows:
        create_table_artifact(key=key, table=rows, description=description)


def keep_markdown(key: str, markdown: str, description: str) -> None:
    """`key`: lower-case letters, digits and dashes."""
    create_markdown_artifact(key=key, markdown=markdown, description=description)


class Progress:
    """How far sending is, told to Prefect every few seconds by a thread: no reply waits for Prefect's server."""

    def __init__(self, key: str, description: str) -> None:
        self._key, self._description = key, description
        self._now = self._told = -1.0
        self._kept: UUID | None = None
        self._context = contextvars.copy_context()  # which run it is about
        self._teller = Renewal(lambda: self._context.run(self._tell), every=EVERY_S)

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total` have come to an end."""
        self._now = 100.0 * done / total if total else 100.0

    def __enter__(self) -> Self:
        self._teller.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._teller.__exit__(kind, error, trace)
        self._context.run(self._tell)

    def _tell(self) -> None:
        if self._now == self._told:
            return
        self._told = self._now
        try:
            if self._kept is None:
                self._kept = cast("UUID", create_progress_artifact(
                    progress=self._now, key=self._key, description=self._description
                ))
            else:
                update_progress_artifact(artifact_id=self._kept, progress=self._now)
        except (PrefectException, httpx.HTTPError) as error:  # what is sent is in our ledger, whoever hears of it
            log.warning("Prefect can't be told how far sending is: %s", error)
