"""Where a list goes on: a word that callers hand back as they got it, and that names the list it is of."""

import base64
import binascii
import re

from milepost.errors import InputError

_KEPT = re.compile(r"([a-z]{1,20}):([1-9][0-9]{0,17}|0)")
LONGEST = 64


def write(of: str, after: int) -> str:
    """The cursor behind the row of that key; `of` is the list's name. Pure."""
    return base64.urlsafe_b64encode(f"{of}:{after}".encode()).decode().rstrip("=")


def read(of: str, cursor: str) -> int:
    """The key of the row before; raises InputError for what no answer of that list ever had. Pure."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        found = _KEPT.fullmatch(text)
    except (binascii.Error, ValueError):
        found = None
    if found is None or found[1] != of or write(of, int(found[2])) != cursor:
        raise InputError("this is no cursor of this list", where="query.cursor",
                         hint="Hand back `next` of the answer before, or begin without one.")
    return int(found[2])
