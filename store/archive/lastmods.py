"""With which <lastmod> the pages of a source were had: a note beside the archive, as its last look left it.

    {"pairs": "…", "ended": {"url": …, "look": 7}}

A page and its lastmod are one number of 64 bits: a hundred thousand of them take a megabyte, here and in memory. That
one is there by chance is as likely as 1 in 10^9 for a look at so many.
"""

import base64
import json
from array import array
from dataclasses import dataclass, field

from store.engine import Database
from store.meta import Meta

_KEY = "lastmod.{source}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """Why a source's lastmods are believed no more: one of them was not true."""

    url: str  # of a page that changed while its lastmod stood
    look: int  # that saw it


@dataclass(frozen=True, kw_only=True, slots=True)
class Lastmods:
    """Of one source."""

    pairs: "array[int]" = field(default_factory=lambda: array("Q"))  # in order
    ended: Ended | None = None


def noted(database: Database, source: str) -> Lastmods | None:
    """The note of the last look; None where it left none. Raises StoreError."""
    kept = Meta(database).get(_KEY.format(source=source))
    if kept is None:
        return None
    data = json.loads(kept)
    pairs = array("Q")
    pairs.frombytes(base64.b64decode(data["pairs"]))
    return Lastmods(pairs=pairs, ended=None if data["ended"] is None else Ended(**data["ended"]))


def note(database: Database, source: str, lastmods: Lastmods | None) -> None:
    """Keep this instead; None: nothing. Raises StoreError."""
    kept = None if lastmods is None else json.dumps({
        "pairs": base64.b64encode(lastmods.pairs.tobytes()).decode("ascii"),
        "ended": None if lastmods.ended is None else {"url": lastmods.ended.url, "look": lastmods.ended.look},
    }, ensure_ascii=False)
    Meta(database).set(_KEY.format(source=source), kept)
