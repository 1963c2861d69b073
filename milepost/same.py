"""The same text, name, date and picture: decided once, for those who judge witnesses and those who judge changes."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import parse_qsl, urlencode, urlsplit

from milepost.dates import PartialDate

# Signs that a reader doesn't tell apart, and signs that no reader sees.
_ALIKE = str.maketrans(
    dict.fromkeys("‘’‚‛′ʼ`´", "'") | dict.fromkeys("“”„‟″«»", '"') | dict.fromkeys("‐‑‒–—―−", "-")
    | {"…": "...", "\N{SOFT HYPHEN}": "", "\N{ZERO WIDTH SPACE}": "", "\N{WORD JOINER}": "",
       "\N{ZERO WIDTH NO-BREAK SPACE}": ""}
)
_DASH = re.compile(r" *-[ -]*")
_THUMBNAIL = re.compile(r"/\d+px-")  # the size in a MediaWiki thumbnail's path
_SIZE_KEYS = frozenset({"w", "h", "q", "width", "height", "quality", "dpr"})  # what image resizers are asked with


def fold(text: str) -> str:
    """`text` as a reader hears it: without its kind of quotes, dashes, ellipsis, spaces and case (UAX #15: NFKC)."""
    if text.isascii():
        plain = text.replace("`", "'").lower()
    else:  # folding case can bring forth what the other two steps undo, so they come twice
        plain = unicodedata.normalize("NFKC", text.translate(_ALIKE)).casefold()
        plain = unicodedata.normalize("NFKC", plain).translate(_ALIKE)
    line = " ".join(plain.split())
    return _DASH.sub("-", line) if "-" in line else line


def same_text(one: str, other: str) -> bool:
    """Whether two texts, or two names, differ in typography alone."""
    return one == other or fold(one) == fold(other)


def begins(short: str, text: str) -> bool:
    """Whether `short` is the beginning of `text`, cut off with or without an ellipsis."""
    beginning = fold(short).rstrip(". ")
    return bool(beginning) and fold(text).startswith(beginning)


def cut_off(short: str, text: str) -> bool:
    """Whether `short` says itself that it is only the beginning of the longer `text`: it ends in an ellipsis."""
    return fold(short).endswith("...") and not same_text(short, text) and begins(short, text)


def pieces(names: Iterable[str]) -> frozenset[str]:
    """A list of names as it is compared: whatever their order, and whether commas part them or stand inside them."""
    return frozenset(piece for name in names for piece in fold(name).split(", "))


def same_place(one: str, other: str) -> bool:
    """Whether one of two lines names all that the other does: a town is the same place as its harbour, less exactly."""
    mine, theirs = pieces([one]), pieces([other])
    return bool(one and other) and (mine <= theirs or theirs <= mine)


def same_date(told: PartialDate, known: PartialDate) -> bool:
    """Whether `told` is `known`, be it said more vaguely: the year of a day is the same date."""
    return told.contains(known)


@lru_cache(maxsize=4096)  # a picture stands in every listing
def picture_of(url: str, page: str = "") -> tuple[str, str, str]:
    """What makes addresses one picture: host, path and query, without scheme or size.

    `page`: the address that shows it; a picture of the page's own host stays the same on a mirror.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that is none of an IPv6 address
        return "", url, ""
    host = "" if page and parts.netloc == urlsplit(page).netloc else parts.netloc.lower()
    query = parse_qsl(parts.query, keep_blank_values=True)
    return host, _THUMBNAIL.sub("/", parts.path), urlencode([pair for pair in query if pair[0] not in _SIZE_KEYS])


def same_picture(one: str, other: str) -> bool:
    """Whether two addresses on one page show one picture."""
    return one == other or picture_of(one) == picture_of(other)
