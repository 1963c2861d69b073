"""The address in a cell as people and programs leave it there: with a name, in angle brackets, among unseen signs."""

import re

from milepost.errors import InputError
from milepost.printable import UNSEEN
from store.subscribers.addresses import Address, parse

_IN_BRACKETS = re.compile(r"[^<>]*<\s*(?:mailto:)?([^<>\s]+)\s*>[\s,;]*", re.IGNORECASE)
_AROUND = " \t\r\n\v\f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\u200c\u200d"  # white space, joiners
_BARE = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+")  # nothing that is cleaned off can stand in it
_TRIMMED = re.compile(rf"^[{_AROUND}]+|[{_AROUND},;]+$")


def address_in(cell: str) -> tuple[Address, bool]:
    """The one address of a cell, and whether anything had to be cleaned off; raises InputError when there is none."""
    if _BARE.fullmatch(cell):  # as nearly all are
        return parse(cell), False
    text = _TRIMMED.sub("", UNSEEN.sub("", cell))
    found = _IN_BRACKETS.fullmatch(text)
    if found is not None:
        text = found[1]
    elif text[:7].casefold() == "mailto:":
        text = text[7:]
    return parse(text), text != cell


def is_like_an_address(cell: str) -> bool:
    """Whether a cell holds one."""
    try:
        address_in(cell)
    except InputError:
        return False
    return True
