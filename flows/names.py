"""What runs are called, so that a list of them can be read."""

from prefect.runtime import flow_run


def by_time() -> str:
    """A flow's run: "run 2026-11-28 19:07", the time in UTC for which it was planned."""
    planned = flow_run.scheduled_start_time
    return f"{flow_run.flow_name} {planned:%Y-%m-%d %H:%M}"
