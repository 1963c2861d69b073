"""What waits for an operator: held looks, and milestones that may be old ones under a new address."""

import datetime as dt

from pipeline.look.renaming import pending_renames, resolve_rename
from store.database import Database
from store.milestones.looks import Look, Looks
from store.milestones.renamings import Renaming

__all__ = ["Look", "Renaming", "held_looks", "pending_renames", "release", "resolve_rename"]


def held_looks(database: Database) -> list[Look]:
    """Every look that is held and not released, the latest first."""
    return Looks(database).list(waiting=True, limit=None)


def release(database: Database, look: int, *, why: str, now: dt.datetime, once: bool = False) -> Look:
    """Let the changes of a held look through to the next issue; raises NotFoundError, ConflictError.

    What the look found the source to be like holds no later look, or with `once` only not the next.
    """
    return Looks(database).release(look, why=why, now=now, once=once)
