"""Tells Prefect's automations what happened, as events: counts and names of ours, never an address.

    milepost.look.held, .look.ended, .source.down, .issue.approval, .issue.paused, .issue.sent, .issue.unknown …
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prefect.client.schemas.objects import State
from prefect.events import emit_event

from flows.outcomes import Finding
from flows.states import ended
from milepost.printable import without_addresses


def resource(about: str) -> dict[str, str]:
    """What an event is about: "source aitimeline" is milepost.source.aitimeline."""
    return {"prefect.resource.id": f"milepost.{about.replace(' ', '.')}", "prefect.resource.name": about}


def tell_findings(findings: Iterable[Finding]) -> None:
    """One event for each finding, in each run that has it: a reminder as the run's state is one."""
    for one in findings:
        payload = {"state": one.name, "says": without_addresses(one.says)}
        emit_event(event=one.event, resource=resource(one.about), payload=payload)


def told(findings: Sequence[Finding], done: str, result: Any) -> State[Any]:
    """The state of a flow's run that found this (`flows.states.ended`); the findings are told."""
    tell_findings(findings)
    return ended(findings, done, result)


def tell_looks(looks: Iterable[Mapping[str, Any]]) -> None:
    """That a source was looked at: an automation misses it when it does not come for too long."""
    for look in looks:
        if "error" not in look:
            payload = {"state": look["state"], "milestones": look["milestones"], "changes": dict(look["changes"])}
            emit_event(event="milepost.look.ended", resource=resource(f"source {look['source']}"), payload=payload)


def tell_sent(ledgers: Iterable[Mapping[str, Any]]) -> None:
    """That mails of an issue were taken in this run, and how its ledger stands."""
    for ledger in ledgers:
        if ledger.get("results", {}).get("sent"):
            payload = {"sent": ledger["results"]["sent"], "states": dict(ledger["states"]), "state": ledger["state"]}
            emit_event(event="milepost.issue.sent", resource=resource(f"issue {ledger['issue']}"), payload=payload)
