"""How a run ends: its results and what waits for a person, as findings, and the findings as one end. Pure.

    looks, issues, ledgers, letters (their JSON forms) ─┐
    what waits for a person ────────────────────────────┴▶ findings ─▶ end: name, kind, words ─▶ flows.states
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from milepost.errors import HeldError, MilepostError
from milepost.printable import counted, without_addresses
from pipeline.holds import WaitKind, Waits

Kind = Literal["COMPLETED", "FAILED", "CANCELLED"]  # Prefect's types of end states
Data = Mapping[str, Any]

# The names of ends, the worst first: a run is called by its worst. FAILED is for what a person has to see to.
NAMES: Mapping[str, Kind] = {
    "Failed": "FAILED",
    "Held": "FAILED",
    "Paused by relay": "FAILED",
    "Paused": "FAILED",
    "Unknown hand-overs": "FAILED",
    "No baseline": "FAILED",
    "Incomplete": "FAILED",
    "Disputed": "FAILED",
    "Asks about a rename": "FAILED",
    "Waits for approval": "FAILED",
    "Letters wait": "FAILED",
    "Runs wait": "FAILED",
    "Held by another": "CANCELLED",  # it passes by itself: whoever holds it goes on, or their lease ends
}
LOST = "Lost"  # a run of which nothing is heard any more, as Prefect's CRASHED: nobody is there to give it a name
SKIPPED = "Skipped"  # a run that was missed and that a later one does the work of, as Prefect's CANCELLED
_ORDER = {name: place for place, name in enumerate(NAMES)}

_WAITS: Mapping[WaitKind, tuple[str, str]] = {  # → the end's name, the event
    "held": ("Held", "milepost.look.held"),
    "rename": ("Asks about a rename", "milepost.look.question"),
    "approval": ("Waits for approval", "milepost.issue.approval"),
    "paused": ("Paused", "milepost.issue.paused"),
    "unknown": ("Unknown hand-overs", "milepost.issue.unknown"),
}
_MOST = 3  # sentences of one look; all of them are in the run's log and in `scrape --json`
LONGEST = 4_000  # characters of a state's message


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that keeps a run from being green."""

    name: str  # of NAMES
    about: str  # "source aitimeline", "issue 12", "letters"
    says: str
    event: str  # "milepost.look.held"


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How a run ends."""

    name: str
    kind: Kind
    says: str  # never with an address of a reader's
    findings: tuple[Finding, ...] = ()


def end(findings: Iterable[Finding], done: str) -> End:
    """The end of a run that found these; `done` is said where it found nothing.

    What is found of one thing under one name twice is said once: the first time.
    """
    kept = {(one.name, one.about, one.says): one for one in findings}
    ranked = sorted(kept.values(), key=lambda one: _ORDER[one.name])
    if not ranked:
        return End(name="Completed", kind="COMPLETED", says=without_addresses(done))
    worst = ranked[0].name
    says = "; ".join(f"{one.about}: {one.says}".rstrip(".") for one in ranked)
    if len(says) > LONGEST:
        says = f"{says[:LONGEST]} …"
    return End(name=worst, kind=NAMES[worst], says=without_addresses(says), findings=tuple(ranked))


def failed(error: MilepostError) -> End:
    """The end of a run that could not do its work, or may not before a person has decided."""
    name = "Held" if isinstance(error, HeldError) else "Failed"
    return End(name=name, kind=NAMES[name], says=without_addresses(str(error)))


def of_waits(waits: Iterable[Waits]) -> list[Finding]:
    """What waits for a person, also from earlier runs: a reminder in each run until somebody decides."""
    found = []
    for one in waits:
        name, event = _WAITS[one.kind]
        found.append(Finding(name=name, about=one.about, says=f"{one.why.rstrip('.')} (`{one.command}`)", event=event))
    return found


def of_looks(looks: Iterable[Data], waits: Sequence[Waits] = ()) -> list[Finding]:
    """What looks came to (`scrape --json`), beside what waits for a person of their sources."""
    asked = {one.about for one in waits if one.kind == "held"}
    return [*of_waits(waits), *(finding for look in looks for finding in _of_look(look, asked))]


def _of_look(look: Data, asked: set[str]) -> list[Finding]:
    about = f"source {look['source']}"
    if look["state"] == "under way":
        return [Finding(name="Held by another", about=about, says=look["error"], event="milepost.look.waits")]
    if "error" in look:
        return [Finding(name="Failed", about=about, says=look["error"], event="milepost.source.down")]
    found = []
    if look["held"] and about not in asked:
        found.append(Finding(name="Held", about=about, says=look["held"], event="milepost.look.held"))
    if look["state"] == "no-baseline":
        found.append(Finding(name="No baseline", about=about, says=_few(look["failures"]) or "nothing was found",
                             event="milepost.source.no-baseline"))
    elif look["failures"] or look["state"] == "incomplete":
        found.append(Finding(name="Incomplete", about=about, says=_few(look["failures"]) or "not all could be read",
                             event="milepost.look.incomplete"))
    if look["degraded"]:
        found.append(Finding(name="Disputed", about=about, says=_few(look["degraded"]), event="milepost.look.disputed"))
    return found


def _few(sentences: Sequence[str]) -> str:
    more = [f"{len(sentences) - _MOST} more"] if len(sentences) > _MOST else []
    return "; ".join([*(one.rstrip(".") for one in sentences[:_MOST]), *more])


def of_ledgers(ledgers: Iterable[Data], waits: Sequence[Waits] = ()) -> list[Finding]:
    """What dispatches came to (`dispatch --json`), beside the issues that wait for a person."""
    found = [finding for ledger in ledgers for finding in _of_ledger(ledger)]
    told = {one.about for one in found if one.name == "Paused by relay"}
    return [*found, *of_waits(one for one in waits if one.kind != "paused" or one.about not in told)]


def _of_ledger(ledger: Data) -> list[Finding]:
    about = f"issue {ledger['issue']}"
    if "error" in ledger:
        return [Finding(name="Failed", about=about, says=ledger["error"], event="milepost.issue.unsent")]
    found = []
    if ledger["paused"] and ledger["state"] == "paused":
        found.append(Finding(name="Paused by relay", about=about, says=ledger["paused"], event="milepost.issue.paused"))
    if ledger["held"]:
        count, until = sum(one["deliveries"] for one in ledger["held"]), max(one["until"] for one in ledger["held"])
        words = f"other dispatchers hold {count} deliveries, the last until {until} by the database's clock"
        found.append(Finding(name="Held by another", about=about, says=words, event="milepost.issue.waits"))
    return found


def of_letters(done: Data | None) -> list[Finding]:
    """What a round through the letters came to."""
    if done is None or not done["why"]:
        return []
    return [Finding(name="Letters wait", about="letters", says=done["why"], event="milepost.letters.wait")]


def of_rereads(rereads: Iterable[Data]) -> list[Finding]:
    """What went wrong as stored pages were read again (`backfill --json`)."""
    return [
        Finding(name="Failed" if "error" in one else "Incomplete", about=f"source {one['source']}",
                says=_few(one["failures"]), event="milepost.backfill.incomplete")
        for one in rereads if one["failures"]
    ]


def of_errors(errors: Iterable[MilepostError]) -> list[Finding]:
    """Parts of a run that could not do their work at all."""
    return [Finding(name="Failed", about="this run", says=str(error), event="milepost.run.failed") for error in errors]


def of_waiting(runs: Iterable[tuple[str, dt.timedelta]]) -> list[Finding]:
    """Runs that were handed over and wait for a process: the machine is late, or nobody takes them."""
    return [
        Finding(
            name="Runs wait", about=f"run {name}", event="milepost.run.waits",
            says=f"waiting for a process for {waited / dt.timedelta(minutes=1):.0f} minutes",
        )
        for name, waited in runs
    ]


def skipped(why: str) -> End:
    """The end of a run whose work another does."""
    return End(name=SKIPPED, kind="CANCELLED", says=why)


def told_notices(told: Data, lost: Sequence[str]) -> str:
    """What a round of `notify` came to: "2 conditions, 1 message sent; lost: run 2026-11-28 19:07"."""
    words = f"{counted(told['conditions'], 'condition')}, {counted(told['sent'], 'message')} sent"
    return f"{words}; lost: {', '.join(lost)}" if lost else words


def told_looks(looks: Sequence[Data]) -> str:
    """What looks found, in a few words: "2 sources: 3 added, 1 corrected"."""
    kinds: dict[str, int] = {}
    for look in looks:
        for kind, count in look["changes"].items():
            kinds[kind] = kinds.get(kind, 0) + count
    found = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count) or "no change"
    return f"{counted(len(looks), 'source')}: {found}"


def told_issues(issues: Sequence[Data]) -> str:
    """Which issues were made: "issue 12 (weekly) is frozen"."""
    told = (f"issue {one['issue']} ({one['cadence']}) is {one['state']}" for one in issues)
    return "; ".join(told) or "no issue is due"


def told_ledgers(ledgers: Sequence[Data]) -> str:
    """What was sent: "issue 12: 3 sent, 1 deferred"."""
    return "; ".join(
        f"issue {one['issue']}: "
        + (", ".join(f"{count} {state}" for state, count in one["states"].items() if count) or "nobody to send it to")
        for one in ledgers
    ) or "nothing waits to be sent"


def told_letters(done: Data | None) -> str:
    """What became of letters: "2 sent"."""
    ends = ("sent", "dropped", "failed", "waiting")
    ended = [f"{done[name]} {name}" for name in ends if done[name]] if done else []
    return f"letters: {', '.join(ended) or 'none'}"


def told_rereads(rereads: Sequence[Data]) -> str:
    """What reading again came to: "clockwork: 12 pages, 3 records would change"."""
    return "; ".join(
        f"{one['source']}: {counted(one['read'], 'page')}, {counted(one['differ'], 'record')}"
        f" {'would change' if one['dry_run'] else 'changed'}"
        for one in rereads
    ) or "nothing was read"
