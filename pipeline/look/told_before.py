"""What a look told when it ended, as our database has it: for whoever had it done elsewhere."""

from dataclasses import asdict
from typing import Any

from milepost.errors import MilepostError
from milepost.records import CHANGE_KINDS
from pipeline.look.renaming import open_questions
from pipeline.look.unread_entries import FIRST
from pipeline.several import down_to_json
from store.archive.pages import Pages
from store.database import Database
from store.milestones.looks import Look, Looks
from store.milestones.milestones import Milestones


def latest_look(database: Database, source: str) -> int:
    """The number of the latest look at a source; 0 before there is one."""
    return next((look.id for look in Looks(database).list(source, limit=1)), 0)


def told_of(database: Database, number: int) -> dict[str, Any]:
    """The form of `scrape --json` of a look that has ended. What no database keeps of it is as of none: how pages were
    found, dates that could not be read, what was not asked for. Raises MilepostError for one that failed, or has not
    ended."""
    look = Looks(database).get(number)
    if look.state in ("failed", "running"):
        raise MilepostError(next(iter(look.failures), "its look has not ended"), where=look.source)
    changes = Milestones(database).count_changes([number]).get(number, {})
    unread = Pages(database).unread(look.source)
    first = look.baseline and look.state == "complete" and look.milestones > 0
    empty = down_to_json(look.source, MilepostError(""))
    del empty["error"]
    return empty | {
        "state": _verdict(look, first), "requests": look.requests, "fetched": look.fetched,
        "not_modified": look.not_modified, "failed": look.failed, "milestones": look.milestones, "baseline": first,
        "changes": {kind: changes.get(kind, 0) for kind in CHANGE_KINDS}, "held": look.held if look.waiting else None,
        "look_id": look.id, "failures": list(look.failures), "degraded": list(look.degraded),
        "notes": list(look.notes), "disallowed": Looks(database).disallowed(look.source),
        "questions": tuple(asdict(one) for one in open_questions(database, look.source)),
        "settings": dict(look.settings or {}),
        "unread": len(unread), "unread_first": [str(one) for one in unread[:FIRST]],
    }


def _verdict(look: Look, first: bool) -> str:
    verdicts = (("no-baseline", look.baseline and not first), ("held", look.waiting),
                ("incomplete", look.state == "incomplete"), ("degraded", bool(look.degraded) or look.as_refused))
    return next((verdict for verdict, true in verdicts if true), "complete")
