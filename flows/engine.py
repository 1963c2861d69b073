"""Prefect's surroundings, set before it is imported: quiet, offline, its home beside our settings.

Without PREFECT_API_URL each run starts an ephemeral server of its own; with it, the operator's server is used.
"""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # An empty home is migrated first; the default of 20 s is too short for that on a small machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_SHOW_UPDATE_NOTIFICATION": "false",
}


def prepare(home: Path) -> None:
    """Set the environment that Prefect reads on import; what the operator has set already stands."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_HOME", str(home.resolve()))


def run_named(flow: str, name: str, **parameters: Any) -> tuple[Any, str, str]:
    """Run `flows.<flow>:<flow>` as a flow run called `name`; returns (result, its state, "flow/run name").

    Raises what the flow raised. Call `prepare` first.
    """
    function = getattr(import_module(f"flows.{flow}"), flow)
    state = function.with_options(flow_run_name=name)(**parameters, return_state=True)
    return state.result(), state.name, f"{flow}/{name}"
