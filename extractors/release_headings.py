"""What a changelog's heading says: a release with its version and date, that nothing is out yet, or something else.

    "## [1.45.0/0.67.0] - 2026-08-03" ─▶ version "1.45.0/0.67.0", 2026-08-03
    "Changes in Kettle v1.2 (6th May, 2024), the quiet one" ─▶ product "Kettle", version "1.2", 2024-05-06, a name
"""

import re
import unicodedata
from collections.abc import Collection, Iterator
from typing import NamedTuple

from extractors.clean import clean
from extractors.written_dates import NOTHING, Reading, read_date

_CORE = r"(?:\d{1,4}!)?\d{1,8}(?:\.\d{1,8}){1,5}"
_VERSION = (  # PEP 440, SemVer 2.0.0, RubyGems and what people write between them
    rf"{_CORE}(?:[.-]?[a-z]{{1,12}}(?![a-z])(?:\.?\d{{1,8}}(?:\.\d{{1,8}})*)?)?"
    r"(?:-[0-9a-z]{1,40}(?:[.-][0-9a-z]{1,40}){0,5})?(?:\+[0-9a-z]{1,40}(?:[.-][0-9a-z]{1,40}){0,5})?"
)
_JOINED = r"(?:\s?(?:/|,|&|\+|\band\b)\s?(?!(?:19|20)\d\d[.]\d{1,2}[.]\d{1,2}\b)v?"
_FOUND = re.compile(
    rf"(?<![\w.])v?\.?(?P<version>{_VERSION}(?:{_JOINED}{_VERSION})){{0,8}})(?![\w%]|\.\w|\+(?:\s|$)|-\w)",
    re.IGNORECASE,
)
_ONE_NUMBER = re.compile(
    r"(?P<word>v|(?:version|release)\s)?(?P<version>\d{1,6})(?=$|[\s\])–—:/]|-(?!\w))", re.IGNORECASE
)
_SERIES = re.compile(r"\d\.(?:x\b|\*|\d+\.x\b)", re.IGNORECASE)
_ONLY_DATE = re.compile(r"(?:19|20)\d\d-\d\d-\d\d")
_LEAD = re.compile(
    r"(?:(?:the\s)?(?:changes?|change\s?log|changelog|what['’]?s\snew|release\snotes?|news|new|notes)\s(?:in|for|of)\s)?"
    r"(?:the\s)?(?P<product>.*?)(?:\b(?:version|release|ver|rel|stable)\b[:.]?)?\s?[-–—:@#]?\s?",
    re.IGNORECASE,
)
_PRODUCT = re.compile(r"@?[^\W\d_](?:[\w.'’&/+-]|\s(?=\S)){0,59}")
_GUIDE = re.compile(
    r"\b(?:how|from|to|why|since|until|before|after|with|without|requires?|needs?|drop(?:s|ped)?|add(?:s|ed)?|fix(?:es|ed)?"
    r"|remov\w*|bump\w*|upgrad\w*|updat\w*|migrat\w*|moving|switch\w*|differen\w*|compatib\w*|support\w*|deprecat\w*"
    r"|depend\w*|require\w*|minimum|roadmap|plan\w*|series|branch|archive\w*|older|previous)\b",
    re.IGNORECASE,
)
_NOT_OUT = re.compile(
    r"\b(?:un-?released|not\s(?:yet\s)?(?:been\s)?(?:released|published)|upcoming|tb[ad]|wip|coming\ssoon"
    r"|in\s(?:development|progress)|(?:\d{4}|[xy]{2,4}|[?]{4})[-./][mx?]{2}[-./][dx?]{2}|non\spublié|nicht\sveröffentlicht"
    r"|sin\spublicar|não\slançado|в\sразработке)(?!\w)|未发布|未リリース|\?{4}-\?\?-\?\?",
    re.IGNORECASE,
)
_IN_MAKING = re.compile(r"-(?:dev|wip|snapshot|unreleased)\b", re.IGNORECASE)  # a version's suffix
_YANKED = re.compile(r"[\[(*~]*\byanked\b!?[\])*~]*", re.IGNORECASE)
_DASHED = re.compile(r"\b(\d{4})[—–‒−](\d{1,2})[—–‒−](\d{1,2})\b")
_FIGURES = re.compile(
    r"(?<![\d.])(?:\d{4}([./-])\d{1,2}\1\d{1,2}|\d{1,2}([./-])\d{1,2}\2\d{4})(?:T[\d:.]{1,20}Z?)?(?!\.?\d)"
)
_WORDED = re.compile(
    r"(?:[^\W\d_]{3,9}\.?,?\s)?(?:\d{1,2}(?:st|nd|rd|th)?\.?\s[^\W\d_]{3,9}\.?|[^\W\d_]{3,9}\.?\s\d{1,2}(?:st|nd|rd|th)?),?\s"
    r"\d{4}", re.IGNORECASE,
)
_GROUP = re.compile(r"[(\[]([^()\[\]]{4,60})[)\]]")
_LIKE_A_DATE = re.compile(r"\W{0,3}(?=(?:\D*\d){6,8}\D*$)(?:19|20)\d\d[\d\W_]{3,12}")  # figures that somebody mistyped
_PARTED = re.compile(r"\s[-–—−‒－/|·•:]+\s|[—|]|:\s|,\s(?=\D)")
_APART = " \t-–—−‒－/|:·•,;@.*~()[]"
_OPENS = re.compile(r"\s*(?:[-–—−‒－/|:·•,;(\[“\"'‘«\]])|\s*[^\w\s]")
_QUOTED = re.compile(r"[“\"'‘«].{1,80}[”\"'’»].{0,3}")
_NAME_CAP = 160
_ANCHOR_SIGNS = "¶#🔗§"


class Release(NamedTuple):
    """A heading that names a release."""

    version: str  # "1.45.0/0.67.0", as it is written, without its "v"
    date: Reading  # nothing where the heading says none
    product: str = ""  # "@kettle/lid", where the heading names one
    name: str = ""  # a code name, or whatever else stands behind
    yanked: bool = False
    bare: bool = True  # nothing but a version and perhaps a date


class Unclear(NamedTuple):
    """A heading that looks like a release's and can't be read as one."""

    why: str


class NotOut(NamedTuple):
    """A heading over what no release holds yet."""


Said = Release | Unclear | NotOut | None


def read_heading(text: str, language: str = "", *, struck: bool = False, links: Collection[str] = ()) -> Said:
    """What a heading says; None: it names no release. `struck`: all of it is crossed out; `links`: its links' words."""
    line = " ".join(unicodedata.normalize("NFKC", _DASHED.sub(r"\1-\2-\3", text)).split()).strip(f" {_ANCHOR_SIGNS}")
    if not line or len(line) > 300:
        return None
    if _NOT_OUT.search(line):
        return NotOut()
    line, yanked = _YANKED.subn(" ", line)
    line = " ".join(line.split())
    found = _first(line)
    if found is None:
        return _of_a_day(line, language, bool(yanked) or struck)
    version = found["version"]
    lead, rest = line[: found.start()], line[found.end():]
    if _SERIES.match(line, found.start("version")):
        return None
    product = _product_of(lead)
    if lead.rstrip().endswith("[") and "]" not in line[found.start():]:
        return Unclear("a bracket that is not closed")
    if product is None:
        return Unclear("words before the version") if not _GUIDE.search(line) else None
    date, name = _date_in(rest, language)
    if found.re is _ONE_NUMBER:
        told = date.date is not None or (found["word"] and not name)
        if not told or (product and date.date is None):
            return None
    name = "" if any(_bare(name) == _bare(link) for link in ("", *links)) else name
    if date is NOTHING and _LIKE_A_DATE.fullmatch(name):
        date, name = Reading(None, f"“{name}” is no date"), ""
    dated = date is not NOTHING
    if _IN_MAKING.search(version) and not dated:
        return NotOut()
    apart = not rest or rest[0] in ".)]" or _OPENS.match(rest) is not None
    if name and not dated:
        if _GUIDE.search(name) and not apart:
            return None
        if not (apart or any(name.startswith(link) for link in links)):
            return Unclear("not a version and a date alone")
        if re.match(r"(?:migration|upgrad|updat)", name, re.IGNORECASE):
            return None
    if not dated and product and _GUIDE.search(product):
        return None
    return Release(
        version=_joined(version), date=date, product=product, name=clean(name, _NAME_CAP),
        yanked=bool(yanked) or struck, bare=not name,
    )


def date_under(text: str, language: str = "") -> Reading:
    """The date of a release that the paragraph under its heading begins with, and with nothing else before it.

    "_2026-06-08_", "Released on 2026-05-04. All issues …", "Release date: 6 May 2024"
    """
    line = " ".join(text.split()).strip("*_ ")
    match = re.match(
        r"(?:current\s(?:stable|beta),\s)?(?:released?(?:\s(?:on|date))?|release\sdate|date|published(?:\son)?)\s?:?\s(?P<date>.{6,40}?)"
        r"(?=\.\s|\.?$|\s[-–—(]|;|,\s(?!\d{4}))", line, re.IGNORECASE,
    )
    if match is None and len(line) > 40:
        return NOTHING
    reading = read_date((match["date"] if match else line).strip("*_ "), language)
    return reading if reading.date is not None and reading.date.month is not None else NOTHING


def _first(line: str) -> re.Match[str] | None:
    """Where the version stands: at the beginning, or behind what is short enough to be a name."""
    match = _FOUND.search(line)
    if match is not None and not _ONLY_DATE.match(line, match.start("version")):
        start = match.start("version")
        digits = re.match(r"\d{4}", line[start:])
        whole = _FIGURES.match(line, start)
        if not (whole and digits and _ONE_NUMBER.match(line.lstrip("[("))):
            return match
    stripped = len(line) - len(line.lstrip("[( "))
    head = re.match(r"[^\w\[(]*[\[(]?", line)
    return _ONE_NUMBER.match(line, max(stripped, head.end() if head else 0))


def _product_of(lead: str) -> str | None:
    """The name of what is released, in the words before a version; "" for none, None where they are no name."""
    words = lead.strip(" [(*~")
    words = "".join(sign for sign in words if unicodedata.category(sign) not in ("So", "Sk", "Cf", "Mn") or sign == "`")
    match = _LEAD.fullmatch(f"{words.strip()} ".lstrip())
    product = (match["product"] if match else words).rstrip(" -–—:@#[](),`").lstrip(" -–—:#[](),`")
    if not product:
        return ""
    if _PRODUCT.fullmatch(product) is None or len(product.split()) > 4:
        return None
    return product


def _of_a_day(line: str, language: str, yanked: bool) -> Said:
    """A heading that is a day: what was released on it has no other name."""
    bare = line.strip(_APART)
    date = read_date(bare, language)
    if date.date is None or date.date.day is None:
        return None
    if not _ONLY_DATE.fullmatch(bare):
        return Unclear("a date without a version")
    return Release(version=bare, date=date, yanked=yanked)


def _date_in(rest: str, language: str) -> tuple[Reading, str]:
    """(the date in what stands behind a version, what is left of it)."""
    bare = rest.strip(_APART)
    if not bare:
        return NOTHING, ""
    refused: tuple[Reading, str] | None = None
    for start, end in _candidates(rest):
        said = rest[start:end].strip(_APART)
        if not any(sign.isdecimal() for sign in said):
            continue
        reading = read_date(said, language or ("zh" if "年" in said else ""))
        left = " ".join(f"{rest[:start]} {rest[end:]}".split()).strip(_APART)
        if reading.date is not None and (reading.date.month is not None or _is_year(rest, start, end)):
            return reading, left
        if reading.date is None and refused is None and (_FIGURES.fullmatch(said) or _WORDED.fullmatch(said)):
            refused = reading, left
    return refused or (NOTHING, bare)


def _candidates(rest: str) -> Iterator[tuple[int, int]]:
    """Where a date may stand, the surest first."""
    yield 0, len(rest)
    for group in _GROUP.finditer(rest):
        yield group.span()
    at = 0
    for gap in _PARTED.finditer(f"{rest} "):
        yield at, gap.start()
        at = gap.end()
    yield at, len(rest)
    for pattern in (_FIGURES, _WORDED):
        for match in pattern.finditer(rest):
            yield match.span()


def _is_year(rest: str, start: int, end: int) -> bool:
    """Whether a bare number behind a version is a year: in brackets, or all that follows a dash."""
    return re.fullmatch(r"\s*[(–—-]?\s*\(?(?:19|20)\d\d\)?\s*", rest[start:end]) is not None


def _bare(words: str) -> str:
    return "".join(sign for sign in words if sign.isalnum())


def _joined(version: str) -> str:
    """Versions of one release, parted alike."""
    return re.sub(r"\s?(/|,|&|\band\b)\s?v?", lambda sign: "/" if sign[1] == "/" else ", ", version)
