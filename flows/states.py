"""Prefect's states for our ends: a run whose work waits, failed or belongs to another says so by its state's name.

    a flow's or task's function ─▶ its result and findings ─▶ State(name="Held", type=FAILED, message=the reason)
                                └▶ MilepostError ─▶ State(name="Failed", message=the sentence); the traceback at DEBUG
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec

from prefect.client.schemas.objects import State, StateType
from prefect.logging import get_run_logger

from flows import outcomes
from flows.outcomes import End, Finding
from milepost.errors import MilepostError

P = ParamSpec("P")


def ended(findings: Iterable[Finding], done: str, result: Any) -> State[Any]:
    """The state of a run that found this; its data is `result`, what the pipeline's function returned."""
    return state(outcomes.end(findings, done), result)


def state(end: End, data: Any) -> State[Any]:
    """An end as Prefect keeps it."""
    return State(type=StateType[end.kind], name=end.name, message=end.says, data=data)


def in_sentences(function: Callable[P, Any]) -> Callable[P, Any]:
    """A flow or task of which our own errors end the run in a sentence, said once; only a bug leaves a traceback."""

    @functools.wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return function(*args, **kwargs)
        except MilepostError as error:
            get_run_logger().debug("how it came to that", exc_info=error)
            return state(outcomes.failed(error), error)

    return told


def outcome(of: State[Any]) -> Any:
    """What a run's state holds: its result, or the exception that ended it, which is returned."""
    return of.result(raise_on_failure=False)
