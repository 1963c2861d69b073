"""Prefect's surroundings, set before it is imported: quiet, offline, its home beside our settings.

Without PREFECT_API_URL each run starts an ephemeral server of its own; with it, the operator's server is used.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from milepost.errors import MilepostError
from milepost.rooms import require_rooms

if TYPE_CHECKING:
    from milepost.settings import NotifySettings

DRAINED_S = 75.0  # after SIGTERM the schedules wait for the runs in hand (flows.serving, 50 s), and Prefect ends

TOLD_S = 5.0  # for what runs still have to tell Prefect's server

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # An empty home is migrated first; the default of 20 s is too short for that on a small machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # What runs leave is forgotten after Prefect's own retention (90 days); off, its database grows for ever.
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "true",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    # What failed is said in sentences, by us; Prefect would print tracebacks, and keeps them with the run in any case.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_SHOW_UPDATE_NOTIFICATION": "false",
}


def prepare(home: Path) -> None:
    """Set the environment that Prefect reads on import; what the operator has set already stands.

    Raises MilepostError when Prefect's home can't be made: Prefect itself would go on without one and fail much later;
    SettingsError when a room is not ours.
    """
    require_rooms()
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_HOME", str(home.resolve()))
    home = Path(os.environ["PREFECT_HOME"]).expanduser()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MilepostError(
            f"Prefect's home can't be made: {(error.strerror or str(error)).lower()}", where=str(home),
            hint="Make the folder writable, or set PREFECT_HOME to another.",
        ) from None


@contextmanager
def server_errors() -> Iterator[None]:
    """Turns the two ways in which Prefect's server fails to be there into a sentence."""
    import httpx

    where = os.environ.get("PREFECT_API_URL")
    try:
        yield
    except RuntimeError as error:
        if "API server" not in str(error) and "reach API" not in str(error):
            raise
        raise _unreachable(where) from error
    except httpx.TransportError as error:
        raise _unreachable(where) from error


def _unreachable(where: str | None) -> MilepostError:
    if where is not None:
        return MilepostError("Prefect's server can't be reached", where=where,
                             hint="Start it, or unset PREFECT_API_URL to do without.")
    return MilepostError(
        "Prefect's own server did not start", where=os.environ.get("PREFECT_HOME"),
        hint="Run it again; if it fails again, delete that folder (it holds nothing of Milepost's).",
    )


def run(flow: str, **parameters: Any) -> Any:
    """Run `flows.<flow>:<flow>` to its end, whatever state that is; raises what ended it. Call `prepare` first."""
    return _result(_run(flow, {}, parameters))


def run_named(flow: str, name: str, **parameters: Any) -> tuple[Any, str, str]:
    """Run `flows.<flow>:<flow>` as a flow run called `name`; returns (result, its state, "flow/run name").

    Raises what ended the flow. Call `prepare` first.
    """
    state = _run(flow, {"flow_run_name": name}, parameters)
    return _result(state), state.name, f"{flow}/{name}"


def end_own_server() -> None:
    """End the server that the runs of this process started for themselves, if they did: another is to have its home.

    What runs still have to tell it is told first. Does nothing with PREFECT_API_URL set.
    """
    if os.environ.get("PREFECT_API_URL"):
        return
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.server.api.server import SubprocessASGIServer

    for teller in (EventsWorker, APILogWorker):
        teller.drain_all(timeout=TOLD_S)
    SubprocessASGIServer().stop()


def automations(rules: "NotifySettings") -> Sequence[str]:
    """Set up what Prefect's server watches (flows.automations); returns the names. Call `prepare` first.

    Raises MilepostError when no server is named, or it can't be reached.
    """
    if not os.environ.get("PREFECT_API_URL"):
        raise MilepostError("no Prefect server is named", where="PREFECT_API_URL",
                            hint="Set it to yours, as in http://127.0.0.1:4200/api; `milepost up` needs none of this.")
    with server_errors():
        names: Sequence[str] = import_module("flows.automations").set_up(rules)
        return names


def _run(flow: str, options: dict[str, Any], parameters: dict[str, Any]) -> Any:
    function = getattr(import_module(f"flows.{flow}"), flow)
    with server_errors():
        return function.with_options(**options)(**parameters, return_state=True)


def _result(state: Any) -> Any:
    """A run that waits for a person has its result all the same."""
    from flows.states import result

    return result(state)
