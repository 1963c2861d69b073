"""Prefect's states for our ends: a run whose work waits, failed or belongs to another says so by its state's name.

    a flow's or task's function ─▶ its result and findings ─▶ State(name="Held", type=FAILED, message=the reason)
                                └▶ MilepostError ─▶ State(name="Failed", message=the sentence); the traceback at DEBUG
"""

import functools
import logging
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec

from prefect.client.schemas.objects import State, StateType
from prefect.context import TaskRunContext
from prefect.exceptions import MissingResult
from prefect.logging import get_run_logger

from flows import outcomes
from flows.outcomes import End, Finding
from flows.run_lease import at_work
from milepost.errors import MilepostError

P = ParamSpec("P")


class NotGreenError(Exception):
    """What Prefect raises of a run that did its work and yet is not green; `result` is what it came to."""

    def __init__(self, says: str, result: Any) -> None:
        super().__init__(says)
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        """A task of another process hands it on."""
        return NotGreenError, (str(self), self.result)


class _NoTraceback(logging.Filter):
    """Keeps out of a run's log the traceback that Prefect adds to any state of the type FAILED: it has said why."""

    def filter(self, record: logging.LogRecord) -> bool:
        """What is no end of ours passes."""
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        return not isinstance(error, (NotGreenError, MilepostError)) or record.levelno <= logging.DEBUG


for _logger in ("prefect.flow_runs", "prefect.engine"):
    logging.getLogger(_logger).addFilter(_NoTraceback())


def ended(findings: Iterable[Finding], done: str, result: Any) -> State[Any]:
    """The state of a run that found this; its data is `result`, what the pipeline's function returned."""
    end = outcomes.end(findings, done)
    wrapped = end.kind != "COMPLETED" and not isinstance(result, BaseException)
    return state(end, NotGreenError(end.says, result) if wrapped else result)


def state(end: End, data: Any) -> State[Any]:
    """An end as Prefect keeps it; said in the log of a flow's run, as Prefect itself does in that of a task's."""
    if end.kind != "COMPLETED" and TaskRunContext.get() is None:
        get_run_logger().log(logging.ERROR if end.kind == "FAILED" else logging.WARNING, "%s: %s", end.name, end.says)
    return State(type=StateType[end.kind], name=end.name, message=end.says, data=data)


def in_sentences(function: Callable[P, Any]) -> Callable[P, Any]:
    """A flow or task of which our own errors end the run in a sentence, said once; only a bug leaves a traceback.

    While a flow is at work, its lease says so in our database.
    """

    @functools.wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            with at_work():
                return function(*args, **kwargs)
        except MilepostError as error:
            get_run_logger().debug("how it came to that", exc_info=error)
            return state(outcomes.failed(error), error)

    return told


def outcome(of: State[Any]) -> Any:
    """What a run's state holds: its result, or the exception that ended it, which is returned.

    A server that died meanwhile may know that a part ended and no more what it came to: that is an error of that part.
    """
    try:
        came_to = of.result(raise_on_failure=False)
    except MissingResult:
        return MilepostError(
            "Prefect's server has lost what a part of this run came to",
            hint="What was done is in Milepost's own database, and the next run goes on from there.",
        )
    return came_to.result if isinstance(came_to, NotGreenError) else came_to


def result(of: State[Any]) -> Any:
    """The result that a run's state holds, also of one that waits for a person; raises what ended it."""
    came_to = outcome(of)
    if isinstance(came_to, BaseException):
        raise came_to
    return came_to
