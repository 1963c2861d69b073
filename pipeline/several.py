"""Several pieces of work, of which one that fails doesn't stop the rest: what was done stands beside what was not."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from milepost.errors import MilepostError, UnderWayError
from milepost.records import CHANGE_KINDS

Progress = Callable[[int, int], None]  # pieces done, pieces known so far
Made = list[dict[str, Any]]


class UnfinishedError(MilepostError):
    """Some of the work failed. `result` is what all of it came to, in the form that success would have had."""

    def __init__(self, errors: Sequence[MilepostError], result: Any) -> None:
        super().__init__("; ".join(dict.fromkeys(map(str, errors))))
        self.errors = tuple(errors)
        self.result = result


def sift(outcomes: Iterable[tuple[Any, object]], failed: Callable[[Any, MilepostError], dict[str, Any]]) -> Made:
    """The results among `outcomes`, (what it was about, its result or exception), in their order.

    `failed` gives the form of one that failed. Raises UnfinishedError when any did, and at once what only a bug raises.
    """
    results: Made = []
    errors: list[MilepostError] = []
    for about, outcome in outcomes:
        if isinstance(outcome, MilepostError):
            errors.append(outcome)
            results.append(failed(about, outcome))
        elif isinstance(outcome, BaseException):
            raise outcome
        elif isinstance(outcome, dict):
            results.append(outcome)
    if errors:
        raise UnfinishedError(errors, results)
    return results


def down_to_json(source: str, error: MilepostError) -> dict[str, Any]:
    """The form of `scrape --json` for a source that gave nothing to go on: what was not counted is null."""
    return {
        "source": source, "requests": None, "fetched": None, "not_modified": None, "failed": None, "milestones": None,
        "baseline": False, "changes": dict.fromkeys(CHANGE_KINDS, 0), "held": None, "look_id": None,
        "failures": [str(error)], "disallowed": None, "questions": [], "found_by": {},
        "state": "under way" if isinstance(error, UnderWayError) else "failed",
        "degraded": [], "notes": [], "unread": None, "unread_first": [], "unread_dates": None, "error": str(error),
    }


def unsent_to_json(issue: int, error: MilepostError) -> dict[str, Any]:
    """The form of an issue's part in `run --json` when it could not be sent now: the ledger has all it needs."""
    return {"issue": issue, "states": {}, "paused": None, "held": [], "error": str(error)}
