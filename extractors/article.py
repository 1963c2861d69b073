"""The article witnesses: what a page tells that is an article and has no headings of a milestone.

    headline: itemprop headline, an entry's title, the article's own heading ─┐
    date: when it was published, never when it was changed ──────────────────┼▶ claims, JSON-LD's and <meta>'s beside
    text: articleBody, an entry's content, else the main text by its measure ─┘
"""

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from lxml.etree import _Element as Element
from rapidfuzz import fuzz

from extractors import dom, jsonld, main_text
from extractors.clean import TEXT_CAP, TITLE_CAP, clean, is_void, unescape
from extractors.dom import date_of, text_of
from extractors.headings import WITNESS as HEADINGS
from extractors.microdata import WITNESS as MICRODATA
from extractors.outline import PARTS_CAP, Outline
from extractors.reconcile import Claim
from extractors.selectors import WITNESS as SELECTOR
from extractors.written_dates import read_date
from milepost import text_shape
from milepost.dates import PartialDate
from milepost.records import Image
from milepost.same import begins, fold, same_picture, same_text
from milepost.text_shape import in_one_line

META = "meta"  # what the document's head tells those who link to it

TYPES = (
    "Article", "NewsArticle", "BlogPosting", "TechArticle", "ReportageNewsArticle", "AnalysisNewsArticle",
    "OpinionNewsArticle", "ReviewNewsArticle", "BackgroundNewsArticle", "AskPublicNewsArticle", "LiveBlogPosting",
    "SocialMediaPosting", "ScholarlyArticle", "AdvertiserContentArticle", "SatiricalArticle", "Report", "Review",
)
_PAGES = ("WebPage", "ItemPage")
_TITLED = ("og:title", "twitter:title", "dc.title", "dcterms.title")
_PUBLISHED = (
    "article:published_time", "article:published", "og:article:published_time", "og:published_time", "datepublished",
    "date.published", "publication_date", "publish-date", "publishdate", "pubdate", "parsely-pub-date", "sailthru.date",
    "dc.date.issued", "dcterms.issued", "dc.date.created", "dcterms.created", "article.published",
    "citation_publication_date", "cxenseparse:recs:publishtime", "rnews:datepublished",
)
_OF_SOMETHING = ("date", "dc.date", "dcterms.date")  # published, changed or generated: they say no more than others do
_MODIFIED = ("article:modified_time", "og:updated_time", "article:modified", "dcterms.modified", "last-modified")
_ENTRY_TITLES = (
    "entry-title", "p-name", "post-title", "article-title", "article__title", "headline", "article-headline",
)
_DATED = frozenset({
    "datePublished", "published", "dt-published", "entry-date", "pubdate", "post-date", "date-published",
})
_CHANGED = re.compile(
    r"(?<![a-z])(?:updated|modified|last-?modified|datemodified|dt-updated)(?![a-z])", re.IGNORECASE
)
_CHANGED_WORDS = re.compile(
    r"\b(?:updated|modified|last edit\w*|aktualisiert|geändert|mis à jour|actualizado|aggiornat\w|bijgewerkt|oppdatert"
    r"|uppdaterad|opdateret|atualizado|zaktualizowano|обновлен\w*|עודכן)\b", re.IGNORECASE,
)
_PARTED = re.compile(r"\s+[|·•»–—-]\s+|\s*\|\s*|\s+::\s+")
_ALIKE = 90.0  # per cent of two texts: the same one, be it that one leaves out a line
_FULLER = 1.3  # times the text that is shown
_MARKED = re.compile(r"<[a-z]+[ >/]")
_LIKE = 45.0  # per cent of the words that a heading shares with what others call the page
_LEAST = 60  # characters of a text that may stand for a whole article
_WHOLE = 12  # characters of a title that a part of another may be taken for
_INLINE = frozenset({"span", "b", "strong", "em", "i", "small", "label", "abbr"})
_ELEMENTS = 20_000  # that are looked at for a date
_UTC = re.compile(r"\d{2}:\d{2}.*(?:Z|[+-]00:?00|\b(?:GMT|UTC))\s*$")
_CLOCK = re.compile(r"\d{1,2}:\d{2}")


class _Head(NamedTuple):
    """What the document's head tells."""

    metas: Mapping[str, str]  # name or property, in small letters → the first content
    title: str


def claims(
    told: Sequence[Claim], parts: dom.Parts, blocks: jsonld.Blocks, page: Outline, *, url: str,
    named: main_text.MainText | None = None,
) -> list[Claim]:
    """`told` as it is of a page with sections; of an article, with what an article tells in its place.

    `named`: the body that a selector leads to: then none is looked for.
    """
    head = _head(parts)
    node = _node(blocks, url)
    spoken = node.get("inLanguage") if node else ""
    language = spoken if isinstance(spoken, str) and spoken else blocks.language
    titled = list(_titles(told, parts.root, page, head, node, url))
    names = [str(claim.value) for claim in titled]
    own = page.article if page.article.tag == "article" else None
    found = named or main_text.main_text(page.root, article=own, leave_out=names)
    texts = list(_texts(told, found, node, SELECTOR if named is not None else HEADINGS))
    if not titled or not texts:
        return list(told)
    if found is None and not any(claim.where.endswith(".articleBody") for claim in texts):
        kept = [claim for claim in told if claim.field != "title"]  # a summary alone makes no article of a page
        return [*titled, *kept]
    dates = list(_dates(told, page, found, head, node, language))
    kept = [
        claim for claim in told
        if not (claim.field in ("title", "date", "what_happened") and claim.witness != "card")
    ]
    return [*titled, *texts, *dates, *_pictures(kept)]


# --- the headline ---------------------------------------------------------------------------------------------------


def settled_titles(
    told: list[Claim], parts: dom.Parts, page: Outline, blocks: jsonld.Blocks, url: str
) -> list[Claim]:
    """`told` with its titles put right, where a page has several first headings or its witnesses differ."""
    if len(page.titles) < 2:  # nearly every page of milestones: what differs in quotes alone is the same
        first = ""
        for claim in told:
            if claim.field == "title":
                first = first or str(claim.value)
                if claim.value != first and not same_text(str(claim.value), first):
                    break
        else:
            return told
    titled = list(_titles(told, parts.root, page, _head(parts), _node(blocks, url), url))
    return [*titled, *(claim for claim in told if claim.field != "title")] if titled else told


def _titles(
    told: Sequence[Claim], root: Element, page: Outline, head: _Head, node: Mapping[str, Any] | None, url: str
) -> Iterator[Claim]:
    """The headline by each witness; of several headings the one that others tell too, and never the site's own name."""
    elsewhere = [claim for claim in told if claim.field == "title" and claim.witness not in (HEADINGS, META)]
    if node is not None and not any(claim.witness == jsonld.WITNESS for claim in elsewhere):
        for place in ("headline", "name"):
            if said := _text(node.get(place), TITLE_CAP):
                elsewhere.append(Claim("title", said, jsonld.WITNESS, f"{_type(node)}.{place}"))
                break
    site = _site_names(head, url)
    shared = _shared_titles(head, site)
    others = [str(claim.value) for claim in elsewhere] + [said for said, _ in shared]
    headings = [
        (text, where, likely) for element, where, likely in _headings(root, page)
        if (text := text_of(element, TITLE_CAP)) and not is_void(text) and fold(text) not in site
    ]
    whole = fold(head.title)
    shared_by = [one for one in headings if any(_same_title(one[0], other) for other in others)]
    chosen = next((one for one in shared_by if len(one[0]) >= _WHOLE), shared_by[0] if shared_by else None) or next(
        (one for one in headings if len(one[0]) >= _WHOLE and whole.endswith(fold(one[0]))), None)
    if chosen is None:
        likely = [one for one in headings if one[2]]
        told_by = [str(claim.value) for claim in elsewhere if fold(str(claim.value)) not in site]
        told_by += [said for said, where in shared if where != "title"]
        best = max(likely, key=lambda one: _likeness(one[0], told_by), default=None)
        if best is not None and (not told_by or _likeness(best[0], told_by) >= _LIKE):
            chosen = best
    if chosen is not None:
        chosen = (_without_kicker(chosen[0], others), *chosen[1:])
        yield Claim("title", chosen[0], HEADINGS, chosen[1])
    elsewhere = [claim for claim in elsewhere if fold(str(claim.value)) not in site]
    yield from elsewhere
    known = [chosen[0]] if chosen is not None else [str(claim.value) for claim in elsewhere[:1]]
    for said, where in shared:  # a headline for those who share it may well be another: it is asked where none stands
        if not known or same_text(said, known[0]):
            yield Claim("title", said, META, where)
            break


def _likeness(text: str, others: Sequence[str]) -> float:
    return max((fuzz.token_set_ratio(fold(text), fold(other)) for other in others), default=0.0)


def _headings(root: Element, page: Outline) -> Iterator[tuple[Element, str, bool]]:
    """Headings that may be the article's, the likeliest first; the last ones only where others tell the same."""
    heads = list(islice(root.iter("h1", "h2", "h3"), PARTS_CAP))
    inside = [head for head in heads if any(at is page.article for at in head.iterancestors())]
    for head in heads:
        if "headline" in (head.get("itemprop") or "").split():
            yield head, f"{head.tag} itemprop headline", True
    for head in heads:
        names = (head.get("class") or "").lower().split()
        if any(name in names for name in _ENTRY_TITLES) and next(head.iterancestors("aside", "nav"), None) is None:
            name = next(name for name in names if name in _ENTRY_TITLES)
            yield head, "h1" if head.tag == "h1" else f"{head.tag} {name}", True
    firsts = [head for head in inside if head.tag == "h1"] + [head for head in page.titles if head not in inside]
    yield from ((head, "h1", True) for head in firsts)
    if not firsts and page.article.tag == "article":
        yield from ((head, f"{head.tag} of article", True) for head in inside[:1])
    yield from ((head, str(head.tag), False) for head in heads if head.tag != "h1")


def _without_kicker(heading: str, others: Sequence[str]) -> str:
    """The headline in a heading that says its rubric before it, where others tell the headline alone."""
    said = fold(heading)
    for other in others:
        if len(other) >= _WHOLE and said.endswith(f" {fold(other)}"):
            rubric = heading[: max(heading.casefold().rfind(other.casefold()[:_WHOLE]), 0)].rstrip()
            if not re.search(r"\S:$", rubric):  # "Who: what" is a headline
                return other
    return heading


def _same_title(one: str, other: str) -> bool:
    return same_text(one, other) or (min(len(one), len(other)) >= _WHOLE and (begins(one, other) or begins(other, one)))


def _shared_titles(head: _Head, site: frozenset[str]) -> list[tuple[str, str]]:
    """(title, where) of the head's, without the site's name at its end."""
    found = [(head.metas[name], f"meta {name}") for name in _TITLED if head.metas.get(name)]
    if head.title:
        found.append((head.title, "title"))
    return [(said, where) for text, where in found if (said := _without(text, site)) and fold(said) not in site]


def _without(text: str, names: frozenset[str]) -> str:
    while (parts := list(_PARTED.finditer(text))) and fold(text[parts[-1].end():]) in names:
        text = text[: parts[-1].start()]
    while (part := _PARTED.search(text)) and fold(text[: part.start()]) in names:
        text = text[part.end():]
    return text.strip()


def _site_names(head: _Head, url: str) -> frozenset[str]:
    """What the site calls itself, in its own words, by its host or at the end of its <title>: nobody's headline."""
    given = [head.metas.get(name, "") for name in ("og:site_name", "application-name", "apple-mobile-web-app-title")]
    parts = _PARTED.split(head.title)
    last = parts[-1] if len(parts) > 1 and len(parts[-1]) < max(map(len, parts)) else ""
    host = (urlsplit(url).hostname or "").removeprefix("www.")
    own = {_letters(host), _letters(host.rpartition(".")[0])}
    by_host = [part for part in parts if _letters(part) in own] if len(parts) > 1 else []
    return frozenset(fold(name) for name in (*given, *(by_host or [last])) if name)


def _letters(text: str) -> str:
    return "".join(sign for sign in text.casefold() if sign.isalnum())


# --- the text -------------------------------------------------------------------------------------------------------


def _texts(
    told: Sequence[Claim], found: main_text.MainText | None, node: Mapping[str, Any] | None, witness: str
) -> Iterator[Claim]:
    """The body as the page shows it, JSON-LD's beside it; a summary is no body, save where there is nothing else."""
    shown = found.written() if found is not None else ""
    whole = _article_body(node)
    said = [claim for claim in told if claim.field == "what_happened" and claim.value]
    summaries = [claim for claim in said if claim.witness != SELECTOR]
    little = found is None or (len(shown) < _LEAST and (whole or summaries)) or (whole and _is_within(found, whole))
    if witness != SELECTOR and little:
        if whole:
            yield Claim("what_happened", whole, jsonld.WITNESS, f"{_type(node)}.articleBody")
        elif shown:
            yield Claim("what_happened", shown, HEADINGS, "paragraphs")
        yield from (() if whole else summaries)
        return
    if found is None:
        return
    if witness != SELECTOR and found.where == "articleBody" and "itemprop" in found.element.attrib:
        witness = MICRODATA
    yield Claim("what_happened", shown, witness, found.where)
    if whole:
        yield Claim("what_happened", shown if _alike(whole, shown) else whole, jsonld.WITNESS,
                    f"{_type(node)}.articleBody")
    yield from (claim for claim in summaries if same_text(str(claim.value), shown))


def _article_body(node: Mapping[str, Any] | None) -> str:
    """JSON-LD's articleBody with its paragraphs, where it has lines; "" for none, and for markup."""
    said = node.get("articleBody") if node is not None else None
    if isinstance(said, list):
        said = "\n".join(one for one in said if isinstance(one, str))
    if not isinstance(said, str):
        return ""
    lines = [line for one in unescape(said[: 4 * TEXT_CAP]).split("\n") if (line := clean(one))]
    if any(_MARKED.search(line) for line in lines[:3]) or (len(lines) == 1 and is_void(lines[0])):
        return ""
    return text_shape.written([text_shape.Block("paragraph", line) for line in lines], TEXT_CAP)


def _is_within(found: main_text.MainText, whole: str) -> bool:
    """Whether what is shown is only a part of the whole text: the rest waits for a script, or for who pays."""
    said = fold(in_one_line(whole))
    shown = [block.text for block in found.blocks if block.kind != "heading"]
    size = sum(map(len, shown))
    told = sum(len(text) for text in shown if fold(text) in said)
    return len(said) > _FULLER * size and told >= size / 2


def _alike(one: str, other: str) -> bool:
    return fuzz.ratio(fold(in_one_line(one))[:5_000], fold(in_one_line(other))[:5_000]) >= _ALIKE


# --- the date -------------------------------------------------------------------------------------------------------


def _dates(
    told: Sequence[Claim], page: Outline, found: main_text.MainText | None, head: _Head,
    node: Mapping[str, Any] | None, language: str,
) -> Iterator[Claim]:
    """When it was published, by each witness; what is shown stands back where it tells of a change, or of its hour."""
    given = [claim for claim in told if claim.field == "date" and claim.witness not in (HEADINGS, "card")]
    own = [claim for claim in given if claim.witness != SELECTOR]
    published = [] if own else list(_published(head, node, language))
    shown = next(_shown_dates(page, found, node, head, language), None)
    if shown is not None:
        known = [claim.value for claim in given if isinstance(claim.value, PartialDate)]
        known += [one.date for one in published]
        if not known or any(shown.date.contains(one) or one.contains(shown.date) for one in known):
            yield Claim("date", shown.date, HEADINGS, shown.where)
        elif not given and all(one.utc and _is_next(one.date, shown.date) for one in published):
            yield Claim("date", shown.date, HEADINGS, shown.where)  # the same moment, by the clock where it was written
            return
        elif not given and all(one.witness == META and (one.bare or shown.date.sort_key < one.date.sort_key)
                               for one in published):
            # The head alone, against what readers see: a bare day there, or a day after it, may be of anything.
            yield Claim("date", shown.date, HEADINGS, shown.where)
    local = next((one for one in published if not one.utc), None)
    for one in published:
        if not (one.utc and local is not None and _is_next(one.date, local.date)):
            yield Claim("date", one.date, one.witness, one.where)
    yield from given


class _Dated(NamedTuple):
    """A date and where it stands."""

    date: PartialDate
    witness: str
    where: str
    utc: bool = False  # told as a moment in UTC: where it was written it may be another day
    bare: bool = False  # told as a day, without the hour


def _published(head: _Head, node: Mapping[str, Any] | None, language: str) -> Iterator[_Dated]:
    """What JSON-LD and the head say of the publication."""
    told: list[_Dated] = []
    for place in ("datePublished", "dateCreated", "uploadDate") if node is not None else ():
        said = node.get(place) if node is not None else None
        if isinstance(said, str) and (date := read_date(said[:TITLE_CAP], language).date) is not None:
            told.append(_Dated(date, jsonld.WITNESS, f"{_type(node)}.{place}", _is_utc(said)))
            break
    for name in (*_PUBLISHED, *_OF_SOMETHING):
        said = head.metas.get(name, "")
        date = read_date(said, language).date
        if date is None or date.day is None:
            continue
        if name not in _OF_SOMETHING or any(_is_next(date, one.date) or date == one.date for one in told):
            told.append(_Dated(date, META, f"meta {name}", _is_utc(said), _CLOCK.search(said) is None))
            break
    yield from told


def _said(node: Mapping[str, Any] | None, place: str) -> str | None:
    said = node.get(place) if node is not None else None
    return said if isinstance(said, str) else None


def _moment(said: str | None) -> dt.datetime | None:
    """The instant that an ISO 8601 date with its hour and its zone names; None for anything less."""
    try:
        moment = dt.datetime.fromisoformat(said.strip()) if said and _CLOCK.search(said) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def _is_utc(said: str) -> bool:
    return _UTC.search(said) is not None


def _is_next(one: PartialDate, other: PartialDate) -> bool:
    """Whether two days are neighbours."""
    if one.day is None or other.day is None or one.until or other.until:
        return False
    days = (dt.date.fromisoformat(one.value), dt.date.fromisoformat(other.value))
    return abs((days[0] - days[1]).days) == 1


def _shown_dates(
    page: Outline, found: main_text.MainText | None, node: Mapping[str, Any] | None, head: _Head, language: str
) -> Iterator[_Dated]:
    """The dates that readers see: those that say themselves that they are of the publication, then one at the headline.
    """
    changed = {
        date.value for said in (node.get("dateModified") if node is not None else None, *map(head.metas.get, _MODIFIED))
        if isinstance(said, str) and (date := read_date(said[:TITLE_CAP], language).date) is not None
    }
    moments = {moment for said in (_said(node, "datePublished"), *map(head.metas.get, _PUBLISHED))
               if (moment := _moment(said)) is not None}  # a theme may call all of its dates "updated"
    within = page.article
    if found is not None and within not in (found.element, *found.element.iterancestors()):
        within = page.root
    title = next((one for one in page.titles if within in one.iterancestors()), None)
    text = found.blocks[0].element if found is not None else None
    near = {within} if within.tag == "article" else set()
    if title is not None:
        near |= {around for around in islice(title.iterancestors(), 3) if around is not page.root}
    plain: list[_Dated] = []
    reached = False
    for element in islice(within.iter(), _ELEMENTS):
        reached = reached or element is text
        names = {*(element.get("class") or "").split(), *(element.get("itemprop") or "").split()}
        is_dated = not names.isdisjoint(_DATED) or element.get("pubdate") is not None
        if (element.tag != "time" and not is_dated) or (
                _tells_of_change(element, names) and _moment(element.get("datetime")) not in moments):
            continue
        date = read_date(element.get("content")).date or date_of(element).date
        if date is None:
            continue
        if is_dated and (within.tag == "article" or not plain):
            yield _Dated(date, HEADINGS, "time published")
        elif not reached and date.value not in changed and not near.isdisjoint(element.iterancestors()):
            plain.append(_Dated(date, HEADINGS, "time"))
    if len({one.date for one in plain}) == 1:  # of several nobody says which it is
        yield plain[0]


def _tells_of_change(element: Element, names: set[str]) -> bool:
    if any(_CHANGED.search(name) for name in names):
        return True
    parent, before = element.getparent(), element.getprevious()
    around = [element.text or ""]
    if before is not None:
        around += [text_of(before, 80) if before.tag in _INLINE else "", before.tail or ""]
    elif parent is not None:
        around += [parent.text or "", parent.get("class") or ""]
    return any(_CHANGED_WORDS.search(words[-80:]) for words in around if words)


# --- the rest -------------------------------------------------------------------------------------------------------


def _pictures(told: Iterable[Claim]) -> Iterator[Claim]:
    """Of the pictures shown the article's own alone: a page of a large site shows those of its other articles too."""
    told = list(told)
    named = [
        claim.value.url for claim in told
        if claim.field == "image" and claim.witness != HEADINGS and isinstance(claim.value, Image)
    ]
    for claim in told:
        shown = claim.value.url if claim.field == "image" and isinstance(claim.value, Image) else None
        if claim.field != "image" or claim.witness != HEADINGS or not named or (
            shown and any(one and same_picture(shown, one) for one in named)
        ):
            yield claim


def _head(parts: dom.Parts) -> _Head:
    tree = dom.head_tree(parts)
    metas: dict[str, str] = {}
    for meta in islice(tree.iter("meta"), PARTS_CAP):
        content = meta.get("content")
        for key in (meta.get("property"), meta.get("name"), meta.get("itemprop"), meta.get("http-equiv")):
            if key and content:
                metas.setdefault(key.strip().lower(), clean(unescape(content), TITLE_CAP))
    title = next((text_of(one, TITLE_CAP) for one in tree.iter("title")), "")
    return _Head(metas, title)


def _node(blocks: jsonld.Blocks, url: str) -> Mapping[str, Any] | None:
    """The JSON-LD node of the article; where there is none, the page's own (Yoast's @graph)."""
    return jsonld.find_article(blocks, TYPES, url) or jsonld.find_article(blocks, _PAGES, url)


def _type(node: Mapping[str, Any] | None) -> str:
    kind = node.get("@type") if node is not None else None
    if isinstance(kind, list):
        kind = next((one for one in kind if isinstance(one, str)), None)
    return str(kind or "Article").rpartition("/")[2]


def _text(value: object, cap: int) -> str:
    if isinstance(value, list):
        value = " ".join(one for one in value if isinstance(one, str))
    text = clean(unescape(value), cap) if isinstance(value, str) else ""
    return "" if is_void(text) else text
