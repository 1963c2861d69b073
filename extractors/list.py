"""A timeline on one page, however it is built: entries that bear a date, in lists, tables, <dl>, headings or blocks.

    <ul><li><b>12 March 1931</b> The lens is set.</li>             date at the beginning, or in an element of its own
    <h2>1931</h2><ul><li>12 March: The lens is set.</li>           the year over them
    <dl><dt>1931</dt><dd>The lens is set.</dd>                     a term; a row of a table; a block with a heading
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice, pairwise
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from lxml.etree import _Element as Element
from pydantic import Field, field_validator, model_validator

from extractors import dom, main_text, pictures, selectors
from extractors.addresses import Addresses
from extractors.cards import CARD_CAP
from extractors.clean import (
    LIST_CAP,
    NAME_CAP,
    TEXT_CAP,
    TITLE_CAP,
    clean,
    is_void,
    slug_after,
    slugify,
    url_path,
    web_url,
)
from extractors.dom import language, text_of
from extractors.headings import WITNESS
from extractors.listpage import Entry, ListOptions, ListPage
from extractors.reconcile import Claim, date_claim
from extractors.selectors import Selector
from extractors.unread import shape, unread
from extractors.written_dates import Reading, read_date
from milepost.dates import PartialDate
from milepost.errors import ExtractError
from milepost.records import Card, Image, Page, Unread
from milepost.same import fold
from milepost.text_shape import in_one_line

_OF_LISTS = ("entry", "link")  # what is selected beside the fields
_HEADS = ("h1", "h2", "h3", "h4", "h5", "h6")
_ITEMS = ("li", "tr", "dd")
_BLOCKS = ("article", "section", "div", "p")
_CANDIDATES = frozenset({*_ITEMS, *_BLOCKS})
_DATE_CAP = 40  # characters of a date at the beginning of an entry
_FEW = 3  # entries of one build that make a list
_LIFE = range(15, 111)  # years of a life, as "1912–1954" tells them
_MOST = 0.6  # of the elements of one build bear a date: they are the entries, the others are unread
_YEARS = 2  # headings that are years: they divide the page
_TITLE = 140  # characters of a sentence that may stand for a title
_NEAR = 12  # elements of an entry in which its date is looked for
_SPLIT = re.compile(r"\s*(?:[:–—|]|\s-\s|\s-$|\.\s|,\s(?=[A-Z]))\s*|\s{2,}")
_YEAR = re.compile(r"[\[(]?(1\d{3}|20\d{2})[\])]?[.:]?(?=\s|$)")
_BEGUN = re.compile(r"(\d{4}[./-]\d{1,2}(?:[./-]\d{1,2})?|(?:\S{1,12}\s){1,3}(?:1\d{3}|20\d{2}))\s")
_BEGUN_UNSPACED = re.compile(  # scripts without spaces: "1887/2/12英國…"
    r"(\d{4}([./-])\d{1,2}\2\d{1,2})(?=[\u3040-\u30ff\u3400-\u9fff])"
)
_BARE = re.compile(r"^[\s:–—|,.·•-]+|[\s:–—|,·•-]+$")
_BEFORE = re.compile(r"^[\s:–—|,.·•-]+")
_SENTENCE = re.compile(  # where one ends: not behind "Prof." or an initial
    r"(?<=[.!?。])(?<!\b(?:Dr|Mr|Ms|St|No|Co|vs|cf|Jr|Sr)\.)(?<!\b(?:Mrs|Vol|Inc|Ltd|Sgt|Col|Gen|Rev)\.)(?<!\b(?:Prof|Capt)\.)(?<!\b[^\W\d_]\.)\s"
)
_ISOLATED = re.compile(r"[\[(]?(.*?)[\])]?[.:]?")


class _Found(NamedTuple):
    """The date of an entry, and where it stands."""

    told: Reading
    element: Element | None  # that holds nothing else
    written: str  # as it stands at the beginning of the words


class _Piece(NamedTuple):
    """An element that may be an entry, with the elements that tell it."""

    element: Element
    parts: tuple[Element, ...]
    found: _Found | None


class TimelineOptions(ListOptions):
    """[sources.options] of a source with extractor = "list"."""

    # What its own rules don't find: "entry" on the page, the rest in each entry; "link" leads to an entry's own page.
    select: dict[str, str] = Field(default_factory=dict)
    ends_in_html: bool = True  # its page closes with </html>: one that doesn't was cut off
    undated: bool = False  # an entry without a date is a milestone too, its date unknown; they have to be selected

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.undated and "entry" not in self.select:
            raise ValueError("`undated` wants to know what the entries are: select = { entry = \"…\" }")
        return self

    @field_validator("select")
    @classmethod
    def _selectors(cls, given: dict[str, str]) -> dict[str, str]:
        selectors.made_ready(given, *_OF_LISTS)
        return given


class List(ListPage):
    """A page whose entries each bear a date."""

    name = "list"
    settings_witness = selectors.WITNESS
    nothing = ('Six of ten entries have to bear dates; else say which elements they are, select = { entry = "…" }, '
               "and undated = true where many have none.")
    version = 2  # 1 knew no date at the end of an entry, and took "Prof." for the end of a sentence

    def __init__(self, options: TimelineOptions | None = None) -> None:
        options = options or TimelineOptions()
        super().__init__(options)
        self._select = selectors.made_ready(options.select, *_OF_LISTS)
        self.whole_documents = options.ends_in_html
        self._undated = options.undated
        self.settings = {name: written for name, written in options.select.items() if name != "entry"}

    @classmethod
    def configured(cls, options: Mapping[str, object]) -> Self:
        return cls(TimelineOptions.taken(options, cls.name))

    def untold(self, claims: Sequence[Claim]) -> tuple[str, ...]:
        """The fields that `select` names a place of, where nothing stood in an entry."""
        return tuple(self._silent(claims))

    def entries(self, page: Page) -> Sequence[Entry | Unread]:
        if self.whole_documents and not dom.is_complete(page.text):
            raise ExtractError("the page ends early: no </html>", where=page.url)
        parts = dom.cut(page.text) or dom.whole(page.text)
        if (entry := self._select.get("entry")) is not None:
            root = dom.document(parts)
            years = _years(root)
            if not entry.elements(root):
                raise ExtractError(f"the setting entry = {entry.where!r} finds nothing", where=page.url,
                                   hint="Did the site change, or is it misspelt? See sources.options.select.")
            pieces = [_Piece(one, (one,), _date_in(one, years.get(one, ""))) for one in entry.elements(root)[:CARD_CAP]]
        else:
            pieces = _pieces(parts.root)
        if lives := _lives(pieces):
            pieces = [piece._replace(found=None) if piece in lives else piece for piece in pieces]
        shared = Counter(anchor for piece in pieces for anchor in _anchors(piece))
        return _told_apart([_entry(piece, page.url, shared, self._select, undated=self._undated) for piece in pieces])


def listed_cards(site: List, page: Page, milestones: Addresses) -> list[Card | Unread]:
    """The entries of a listing as cards of the pages that they lead to, in its order, among them what can't be read.

    An entry that leads to no page of a milestone is unread; one that leads to what the settings leave out is none.
    Raises ExtractError where the page is no list.
    """
    found: list[Card | Unread] = []
    for entry in site.entries(page):
        if isinstance(entry, Unread):
            found.append(entry)
            continue
        paths = [url_path(address) for href in entry.links
                 if (address := web_url(href, page.url)) and _same_site(address, page.url)]
        told = {claim.field: claim.value for claim in reversed(entry.claims)}
        key = next((key for path in paths if (key := milestones.key(path))), None)
        title, date = told.get("title"), told.get("date")
        if key is None:
            if not any(map(milestones.leaves_out, paths)):
                found.append(unread("entry", str(title), "it leads to no page of a milestone"))
            continue
        image, tags, text = told.get("image"), told.get("tags"), told.get("what_happened")
        found.append(Card(
            key, str(title), date=date if isinstance(date, PartialDate) else None,
            summary=in_one_line(text) if isinstance(text, str) else "",
            tags=tuple(map(str, tags)) if isinstance(tags, tuple) else (),
            image=image if isinstance(image, Image) else None,
            silent=tuple(f"entries.{name}" for name in site.untold(entry.claims)),
        ))
    return found


def _same_site(address: str, page: str) -> bool:
    one, other = (urlsplit(url).netloc.removeprefix("www.") for url in (address, page))
    return one == other


# --- which elements are entries -------------------------------------------------------------------------------------


def _pieces(root: Element) -> list[_Piece]:
    """The entries in the page's order: of each build that mostly bears dates, and of two that hold one another the
    inner one.
    """
    years = _years(root)
    over = Counter(years.values())
    candidates = [
        piece for element in islice((one for one in root.iter() if one.tag in _CANDIDATES), CARD_CAP)
        if not _is_apart(element)
        and _says_more(piece := _Piece(element, (element,), _date_in(element, years.get(element, ""))
                                       or _under(element, years.get(element, ""), over)))
    ]
    builds: dict[object, list[_Piece]] = defaultdict(list)
    for piece in candidates:
        builds[_build(piece.element)].append(piece)
    chosen: dict[Element, _Piece] = {}
    for pieces in builds.values():
        dated = [piece for piece in pieces if piece.found is not None]
        if len(dated) >= _FEW and len(dated) >= _MOST * len(pieces):
            chosen.update((piece.element, piece) for piece in pieces)
    if chosen:
        outer = {at for element, piece in chosen.items() if piece.found is not None for at in element.iterancestors()}
        inner = [piece for element, piece in chosen.items() if element not in outer or element.tag in _ITEMS]
        inner = [piece for piece in inner if not (piece.element in outer and _holds_list(piece.element, chosen))]
        taken = {piece.element for piece in inner}
        kept = [piece for piece in inner if not any(at in taken for at in piece.element.iterancestors())]
        if _share(kept) >= _FEW:
            return _in_order(root, kept)
    return _terms(root, years) or _headed(root, years) or _runs(root) or _rows(root)


def _under(element: Element, year: str, over: Mapping[str, int]) -> _Found | None:
    """The year over an item that tells no date of its own, where the page is divided by years."""
    if not year or element.tag not in _ITEMS or len(over) < _YEARS:
        return None
    if next(element.iterdescendants("li"), None) is not None:
        return None
    return _Found(read_date(year), None, "")


def _build(element: Element) -> tuple[str, str, object]:
    """What the entries of one list, or of several lists of one page, have in common."""
    parent = element.getparent()
    if element.get("class") or parent is None or element.tag in ("div", "section"):
        return shape(element)
    if element.tag not in _ITEMS:
        return str(element.tag), "", parent
    around = parent.getparent()
    return str(element.tag), parent.get("class") or "", "" if around is None else str(around.tag)


def _says_more(piece: _Piece) -> bool:
    """Whether an element has words beside its date."""
    words = text_of(piece.element, TITLE_CAP)
    if piece.found is None or not words:
        return bool(words)
    date = piece.found.written or (text_of(piece.found.element, NAME_CAP) if piece.found.element is not None else "")
    return len(words) > len(date) + 2


def _share(pieces: Sequence[_Piece]) -> int:
    return sum(1 for piece in pieces if piece.found is not None)


def _holds_list(element: Element, chosen: dict[Element, _Piece]) -> bool:
    return sum(1 for one in element.iterdescendants(*_ITEMS) if one in chosen) > 1


def _in_order(root: Element, pieces: Sequence[_Piece]) -> list[_Piece]:
    by_element = {piece.element: piece for piece in pieces}
    return [by_element[element] for element in root.iter() if element in by_element]


def _terms(root: Element, years: dict[Element, str]) -> list[_Piece]:
    """<dt> with a date and the <dd>s below it."""
    found = []
    for term in islice(root.iter("dt"), CARD_CAP):
        told = _date_in(term, years.get(term, ""))
        parts = []
        for below in term.itersiblings():
            if below.tag != "dd":
                break
            parts.append(below)
        if parts:
            found.append(_Piece(term, (term, *parts), told))
    return found if _share(found) >= max(_FEW, int(_MOST * len(found))) else []


def _headed(root: Element, years: dict[Element, str]) -> list[_Piece]:
    """Headings of one level that bear a date, each with what stands below it."""
    for tag in _HEADS[1:]:
        found = []
        for head in islice(root.iter(tag), CARD_CAP):
            below = []
            for sibling in head.itersiblings():
                if sibling.tag in _HEADS:
                    break
                below.append(sibling)
            told = _date_in(head, years.get(head, ""))
            if told is None and below:
                told = _marked_date(below[0], years.get(head, ""))
            found.append(_Piece(head, (head, *below), told))
        if _share(found) >= max(_FEW, int(_MOST * len(found))):
            return found
    return []


def _runs(root: Element) -> list[_Piece]:
    """Elements of one build that hold a date alone, each with what follows up to the next one."""
    builds: dict[object, list[tuple[Element, _Found]]] = defaultdict(list)
    for element in islice(root.iter("div", "p", "span", "strong", "b", "time", "td"), CARD_CAP):
        words = text_of(element, _DATE_CAP + 1)
        if 0 < len(words) <= _DATE_CAP and not _is_apart(element):
            told = dom.date_of(element) if element.tag == "time" else _with_year(words, "", language(element))
            if told is not None and told.date is not None:
                build = (element.tag, element.get("class") or "")
                builds[build].append((element, _Found(told, element, "")))
    for dated in builds.values():
        if len(dated) < _FEW:
            continue
        around = next((at for at in dated[0][0].iterancestors() if at in set(dated[1][0].iterancestors())), None)
        if around is None:
            continue
        starts = {next((at for at in (element, *element.iterancestors()) if at.getparent() is around), None): found
                  for element, found in dated}
        starts.pop(None, None)
        if len(starts) < _FEW:
            continue
        pieces: list[_Piece] = []
        for child in around:
            if child in starts:
                pieces.append(_Piece(child, (child,), starts[child]))
            elif pieces:
                pieces[-1] = pieces[-1]._replace(parts=(*pieces[-1].parts, child))
        if all(len(piece.parts) > 1 and any(text_of(part) for part in piece.parts[1:]) for piece in pieces):
            return pieces  # else the words stand on either side of their dates, and nobody says which are whose
    return []


def _rows(root: Element) -> list[_Piece]:
    """Rows of a timeline whose words stand now left, now right of its line: a date, a point without words, an entry.

    Only where all that an element holds is such rows, so that there is no other way to part it.
    """
    for line in root.iter("div", "section", "ul", "ol"):
        parts = [one for one in line if isinstance(one.tag, str)]
        if len(parts) < 3 * _FEW or len(parts) % 3 or text_of(parts[1], _DATE_CAP) or _is_apart(line):
            continue
        rows = [_row(*parts[at : at + 3]) for at in range(0, len(parts), 3)]
        if all(rows) and len({shape(point) for point in parts[1::3]}) == 1:
            return [row for row in rows if row is not None]
    return []


def _row(left: Element, point: Element, right: Element) -> _Piece | None:
    if text_of(point, _DATE_CAP):
        return None
    dates = [_alone(one) for one in (left, right)]
    match dates:
        case [_Found() as date, None] if text_of(right):
            return _Piece(right, (left, right), date)
        case [None, _Found() as date] if text_of(left):
            return _Piece(left, (left, right), date)
    return None


def _alone(element: Element) -> _Found | None:
    """The date that is all an element says."""
    words = text_of(element, _DATE_CAP + 1)
    told = _with_year(words, "", language(element)) if 0 < len(words) <= _DATE_CAP else None
    return _Found(told, element, "") if told is not None and told.date is not None else None


def _lives(pieces: Sequence[_Piece]) -> list[_Piece]:
    """Those of a list of people whose dates are the years they lived: none of an event's.

    Most dates are stretches of years as long as lives, and run side by side; epochs and reigns follow one another.
    """
    stretches = sorted((span, number) for number, piece in enumerate(pieces) if (span := _stretch(piece)))
    dated = sum(piece.found is not None for piece in pieces)
    if len(stretches) < _FEW or len(stretches) * 2 <= dated:
        return []
    beside = sum(later[0] + _LIFE[0] <= before[1] for (before, _), (later, _) in pairwise(stretches))
    return [pieces[number] for _, number in stretches] if beside * 2 >= len(stretches) - 1 else []


def _stretch(piece: _Piece) -> tuple[int, int] | None:
    date = piece.found.told.date if piece.found is not None else None
    if date is None or date.until is None or date.until == ".." or date.value.startswith("-"):
        return None
    begun, over = int(date.value[:4]), int(date.until[:4])
    return (begun, over) if over - begun in _LIFE else None


def _is_apart(element: Element) -> bool:
    around = (element, *islice(element.iterancestors(), 8))
    return any(at.tag in ("nav", "footer", "aside", "form", "header") for at in around)


def _years(root: Element) -> dict[Element, str]:
    """Element → the year, or month and year, that stands over it as a heading, a term or an entry around it."""
    found: dict[Element, str] = {}
    levels: list[tuple[int, str]] = []
    for element in root.iter():
        if element.tag in _HEADS:
            level = int(element.tag[1])
            levels = [one for one in levels if one[0] < level]
            match = _ISOLATED.fullmatch(text_of(element, _DATE_CAP))
            told = read_date(match[1], language(element)).date if match else None
            if told is not None and told.day is None and not told.until:
                levels.append((level, told.value))
        elif element.tag in _CANDIDATES or element.tag == "dt":
            over = next((found[at] for at in element.iterancestors("li", "dd", "section", "div") if at in found), "")
            own = _own_year(element) if element.tag in ("li", "section", "div") else ""
            if year := own or (levels[-1][1] if levels else over) or over:
                found[element] = year
    return found


def _own_year(element: Element) -> str:
    """The year that an element begins with and that its own list stands under."""
    if next(element.iterdescendants("ul", "ol"), None) is None:
        return ""
    first = clean(element.text, _DATE_CAP) or next((text_of(one, _DATE_CAP) for one in element), "")
    match = _YEAR.fullmatch(first)
    return match[1] if match else ""


# --- the date of an entry -------------------------------------------------------------------------------------------


def _date_in(element: Element, year: str) -> _Found | None:
    """An entry's date: marked as one, alone in an element, or at the beginning of its words."""
    words = text_of(element, _DATE_CAP + 1)
    if 0 < len(words) <= _DATE_CAP and (told := _with_year(words, year, language(element))) is not None:
        return _Found(told, element, "")
    return _marked_date(element, year) or _leading_date(element, year) or _trailing_date(element)


def _marked_date(element: Element, year: str) -> _Found | None:
    for one in islice(element.iter(), _NEAR):
        words = text_of(one, _DATE_CAP + 1)
        if one.tag == "time":
            told = dom.date_of(one) if one.get("datetime") else _with_year(words, year, language(one))
            if told is not None and told.date is not None:
                return _Found(told, one, "")
        elif one is not element and 0 < len(words) <= _DATE_CAP:
            told = _with_year(words, year, language(one))
            if told is not None:
                return _Found(told, one, "")
    return None


def _leading_date(element: Element, year: str) -> _Found | None:
    words = text_of(element, 3 * _DATE_CAP)
    tongue = language(element)
    for parted in islice(_SPLIT.finditer(words), 4):
        if parted.start() > _DATE_CAP:
            break
        told = _with_year(words[: parted.start()], year, tongue) if parted.end() < len(words) else None
        if told is not None:
            return _Found(told, None, words[: parted.end()])
    if (year_first := _YEAR.match(words)) is not None:
        return _Found(read_date(year_first[1], tongue), None, year_first[0])
    # Nothing parts the date from the words: it has to end in its year, or be all figures.
    begun = _BEGUN.match(words) or _BEGUN_UNSPACED.match(words)
    told = read_date(begun[1], tongue) if begun is not None else None
    return _Found(told, None, begun[0]) if begun is not None and told is not None and told.date is not None else None


def _trailing_date(element: Element) -> _Found | None:
    """The date that an item ends with in brackets, "The lens is set (12 March 1931)".

    It stays in the words: nothing says that it is none of them.
    """
    words = text_of(element, TEXT_CAP).rstrip(". ") if element.tag in _ITEMS else ""
    at = max(words.rfind("("), words.rfind("["))
    if at <= 0 or words[-1] not in ")]" or not 4 <= len(words) - at - 2 <= _DATE_CAP:
        return None
    told = read_date(words[at + 1 : -1], language(element))
    return _Found(told, None, "") if told.date is not None else None


def _with_year(words: str, year: str, tongue: str) -> Reading | None:
    """A date in words, whole or by the year over it; None where there is none."""
    match = _ISOLATED.fullmatch(_BARE.sub("", words))
    bare = match[1] if match else words
    if not bare:
        return None
    told = read_date(bare, tongue)
    if told.date is not None:
        return told
    if year and any(sign.isalpha() for sign in bare) and len(bare) < 20:
        for form in (f"{bare} {year[:4]}", f"{bare}, {year[:4]}"):
            if (told := read_date(form, tongue)).date is not None and told.date.value[:4] == year[:4]:
                return told
    return None


# --- what an entry tells --------------------------------------------------------------------------------------------


def _entry(
    piece: _Piece, url: str, shared: Mapping[str, int], select: Mapping[str, Selector], *, undated: bool = False
) -> Entry | Unread:
    says = clean(" ".join(text_of(part, NAME_CAP) for part in piece.parts), NAME_CAP)
    chosen = selectors.claims(select, piece.element, url=url, links={}) if select else []
    dated = any(claim.field == "date" for claim in chosen)
    if piece.found is None and not dated and not undated:
        return unread("entry", says, "no date")
    title, text = _words(piece)
    title = next((str(claim.value) for claim in chosen if claim.field == "title"), title)
    if not title or is_void(title):
        return unread("entry", says, "no words beside the date")
    where = f"{piece.element.tag} {clean(title, 80)}"
    told = [Claim("title", title, WITNESS, where)]
    if piece.found is not None:
        told += date_claim(piece.found.told, WITNESS, f"date of {where}")
    if text:
        told.append(Claim("what_happened", text, WITNESS, f"text of {where}"))
    links = [link for part in piece.parts for link in part.iter("a")]
    tags = [slug_after(link.get("href"), "/tag/") or slugify(text_of(link, NAME_CAP).removeprefix("#"))
            for link in links if "tag" in (link.get("rel") or "").split()]
    if found := tuple(dict.fromkeys(tag for tag in tags if tag)):
        told.append(Claim("tags", found[:LIST_CAP], WITNESS, f"a rel=tag of {where}"))
    images = (image for part in piece.parts for image in part.iter("img"))
    if image := pictures.pick(images, url).image:
        told.append(Claim("image", image, WITNESS, f"img of {where}"))
    key = next((anchor for anchor in _anchors(piece) if shared[anchor] == 1), "")
    if chosen:  # where a selector leads there is nothing to guess: what the rules make of it is no opinion
        fields = {claim.field for claim in chosen}
        told = [*chosen, *(claim for claim in told if claim.field not in fields)]
    if (link := select.get("link")) is not None:
        links = [one.element for one in link.find(piece.element) if one.element is not None]
        key = key or next((own for one in links if (own := _page_key(one, url))), "")
    hrefs = tuple(href for one in links if (href := one.get("href")))
    return Entry(key or _own_page(links, title, url) or _key_of(title), told, links=hrefs)


def _key_of(title: str) -> str:
    """The words of a title as a key; of another script, which leaves little of them, what they come to."""
    slug = slugify(title)
    letters = sum(map(str.isalnum, title))
    return slug if len(slug.replace("-", "")) >= letters / 2 else hashlib.sha256(fold(title).encode()).hexdigest()[:12]


def _told_apart(entries: list[Entry | Unread]) -> list[Entry | Unread]:
    """Entries of one key and several dates ("Annual meeting"): the earliest keeps it, as it had when it stood alone,
    and each later one has its date in its key.
    """
    dates = [_dated(entry) for entry in entries]
    earliest: dict[str, PartialDate] = {}
    for entry, date in zip(entries, dates, strict=True):
        if isinstance(entry, Entry) and date is not None:
            first = earliest.get(entry.key)
            if first is None or date.sort_key < first.sort_key:
                earliest[entry.key] = date
    return [
        entry._replace(key=f"{entry.key}-{date.value}")
        if isinstance(entry, Entry) and date is not None and date.value != earliest[entry.key].value else entry
        for entry, date in zip(entries, dates, strict=True)
    ]


def _dated(entry: Entry | Unread) -> PartialDate | None:
    claims = entry.claims if isinstance(entry, Entry) else ()
    return next((one.value for one in claims if isinstance(one.value, PartialDate)), None)


def _words(piece: _Piece) -> tuple[str, str]:
    """(the title, the text) of an entry: its heading or what is set in bold or linked, else a sentence."""
    dated = piece.found.element if piece.found is not None else None
    heads = [head for part in piece.parts for head in part.iter(*_HEADS) if not _is_only(head, dated)]
    heading = heads[0] if heads else None
    title = _without_date(text_of(heading, TITLE_CAP), piece) if heading is not None else ""
    blocks = [block for part in piece.parts for block in main_text.blocks_of(part)]
    said: list[main_text.Block] = []
    for block in blocks:
        if heading is not None and (block.element is heading or heading in block.element.iterancestors()):
            continue
        words = _without_date(block.text, piece, first=not said)
        if words and (said or any(map(str.isalpha, words))):  # not the number of a row
            said.append(block._replace(text=words))
    if not title and said:
        named = _named_in(piece, dated)
        first = said[0].text
        if named and first.startswith(named):
            title, rest = named, _BEFORE.sub("", first[len(named):]) if len(first) > len(named) + 2 else ""
            said = [said[0]._replace(text=rest), *said[1:]] if rest else said[1:]
        else:
            title = _SENTENCE.split(first, maxsplit=1)[0]
            title = title if len(title) <= _TITLE else clean(title, _TITLE)
            if title == first:
                said = said[1:]
    text = main_text.MainText(piece.element, tuple(said), "").written() if said else ""
    return clean(title.rstrip(" :–—-"), TITLE_CAP), clean(text, TEXT_CAP) if "\n" not in text else text


def _named_in(piece: _Piece, dated: Element | None) -> str:
    for part in piece.parts:
        for one in part.iter("b", "strong", "a", "em"):
            if one is dated or _is_only(one, dated):
                continue
            words = text_of(one, TITLE_CAP)
            if len(words) >= 4:
                return words
    return ""


def _is_only(element: Element, dated: Element | None) -> bool:
    """Whether an element holds the date and nothing else."""
    if dated is None:
        return False
    inside = element is dated or dated in element.iterdescendants() or element in dated.iterdescendants()
    return inside and abs(len(text_of(element, NAME_CAP)) - len(text_of(dated, NAME_CAP))) <= 2


def _without_date(words: str, piece: _Piece, *, first: bool = True) -> str:
    if piece.found is None:
        return words
    if piece.found.written and first and words.startswith(piece.found.written.strip()):
        return _BEFORE.sub("", words[len(piece.found.written.strip()):])
    if piece.found.element is not None:
        date = text_of(piece.found.element, NAME_CAP)
        if words == date:
            return ""
        if date and words.startswith(date):
            return _BEFORE.sub("", words[len(date):])
        if date and words.endswith(date):
            return _BARE.sub("", words[: -len(date)])
    return words


def _anchors(piece: _Piece) -> list[str]:
    """The keys that the page itself may give an entry: the ids of it, its heading, and of a link to it."""
    holders = [piece.element, *(head for part in piece.parts for head in islice(part.iter(*_HEADS), 1))]
    found: list[str | None] = [holder.get("id") for holder in holders]
    for holder in holders[1:]:
        found += [href for link in holder.iter("a") if (href := link.get("href") or "").startswith("#")]
    found += [link.get("id") or link.get("name") for link in islice(piece.element.iter("a"), 3)]
    return list(dict.fromkeys(key for anchor in found if anchor and (key := slugify(anchor))))


def _own_page(links: Sequence[Element], title: str, url: str) -> str:
    """The last part of the address that an entry's title leads to: it stays when the title is put better."""
    for link in links:
        words = text_of(link, TITLE_CAP)
        if words and title.startswith(words) and (key := _page_key(link, url)):
            return key
    return ""


def _page_key(link: Element, url: str) -> str:
    address = web_url(link.get("href"), url)
    return slugify(url_path(address).rpartition("/")[2].removesuffix(".html")) if address else ""

