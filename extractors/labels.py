"""What a source's words for its categories, eras and tags stand for, learnt from its own links.

    <a href="/category/research">Research Breakthroughs</a> ─▶ LabelPair ─▶ Labels ─▶ claims told in slugs
                                                              └▶ SiteLabel ─▶ what readers see it called
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import islice
from typing import NamedTuple

from lxml.etree import _Element as Element

from extractors.clean import LIST_CAP, NAME_CAP, URL_CAP, clean, slugify, slugs_after
from extractors.dom import text_of
from extractors.reconcile import Claim
from milepost.records import LabelPair, SiteLabel
from milepost.same import fold

_LINK_CAP = 5_000  # links looked at in one page
_WORDS_CAP = 4 * NAME_CAP  # characters of a link that its words are taken from
_LABEL_CAP = 60  # characters of a label that readers are shown
_ASIDE = re.compile(r"\s*\([^()]*\)$")  # "Deep Learning Breakthrough (2012–2017)"


def label_key(words: str) -> str:
    """A label as it is looked up: its slug, or where no letter of it can stand in a slug, itself."""
    return slugify(words) or fold(words)


class Taught(NamedTuple):
    """What a page's own links teach."""

    pairs: tuple[LabelPair, ...]
    spelt: tuple[SiteLabel, ...]


def taught(root: Element, links: Mapping[str, str]) -> Taught:
    """The labels that a page's own links pair with slugs; `links` is field → path prefix ("/category/")."""
    found: dict[LabelPair, None] = {}
    spelt: dict[SiteLabel, None] = {}
    fields = tuple(links.items())
    prefixes = tuple(links.values())
    for link in islice(root.iter("a"), _LINK_CAP) if links else ():
        href = link.get("href")
        if not href or (href[0] == "/" and not href.startswith(prefixes)):  # nearly every link of a page
            continue
        words = text_of(link, NAME_CAP) if len(link) else (link.text or "")[:_WORDS_CAP]
        pairs, labels = _taught(href[:URL_CAP], words, fields)
        if pairs:
            found.update(pairs)
            spelt.update(labels)
            if len(found) >= LIST_CAP:
                break
    return Taught(tuple(found), tuple(spelt))


@lru_cache(maxsize=4096)  # the same few links stand on every page
def _taught(
    address: str, words: str, fields: tuple[tuple[str, str], ...]
) -> tuple[dict[LabelPair, None], dict[SiteLabel, None]]:
    """What a link with these words teaches; the words as they stand in the page."""
    slugs = slugs_after(address, fields)
    label = clean(words, NAME_CAP).removeprefix("#") if slugs else ""
    pairs: dict[LabelPair, None] = {LabelPair(field, key, slug): None for field, slug in slugs for key in _keys(label)}
    words = _without_aside(label)
    return pairs, dict.fromkeys(one for _, slug in slugs for one in _spelt(slug, words))


def _without_aside(label: str) -> str:
    return _ASIDE.sub("", label) if label.endswith(")") else label


def spelt_as(names: Iterable[str]) -> tuple[SiteLabel, ...]:
    """How a site writes these names, for what is called alike: the tag "deepmind" by the name "DeepMind"."""
    return tuple(one for name in names for one in _spelt(slugify(name), name))


@lru_cache(maxsize=4096)  # the same few labels stand on every page
def _spelt(slug: str, words: str) -> tuple[SiteLabel, ...]:
    """The words as a label of the slug; none where they are the slug's own, as a program writes those ("Gpt")."""
    if not slug or not slugify(words) or len(words) > _LABEL_CAP:
        return ()
    if slugify(words) == slug and all(word in (word.lower(), word.capitalize()) for word in words.split()):
        return ()
    return (SiteLabel(slug, words),)


@lru_cache(maxsize=4096)  # the same few labels stand on every page
def _keys(words: str) -> tuple[str, ...]:
    """What a label is looked up by: as it stands, then without what stands in brackets at its end."""
    labels = dict.fromkeys((words, _without_aside(words)))
    return tuple(dict.fromkeys([key for label in labels if (key := label_key(label))]))


class Resolved(NamedTuple):
    """Claims told in slugs, as far as labels could be looked up."""

    claims: list[Claim]
    unpaired: tuple[LabelPair, ...]  # labels that no link explains; their claims are no opinion against a slug


class Labels:
    """Which slugs each label was seen with. A label that was seen with several says nothing by itself."""

    def __init__(self, pairs: Iterable[LabelPair] = ()) -> None:
        self._pairs = tuple(pairs)
        self._slugs: dict[tuple[str, str], str | None] = {}  # None: of several
        for field, label, slug in self._pairs:
            if slug is not None and self._slugs.setdefault((field, label), slug) != slug:
                self._slugs[field, label] = None

    @cached_property
    def _linked(self) -> frozenset[tuple[str, str]]:
        """(field, slug) of every link; few pages' claims ask for it."""
        return frozenset((field, slug) for field, _, slug in self._pairs if slug is not None)

    def slug(self, field: str, words: str) -> str | None:
        """The one slug that a label stands for; None when it was never seen on a link, or on several."""
        for key in _keys(words) if self._pairs else ():
            if (field, key) in self._slugs:
                return self._slugs[field, key]
            if self.is_slug(field, key):
                return key
        return None

    def is_slug(self, field: str, value: object) -> bool:
        """Whether the source links to `value`, so that it is one of its slugs and not only a label."""
        return (field, value) in self._linked

    def same(self, field: str, one: object, other: object) -> bool:
        """Whether two values of a field are a slug and its label, or two labels of one slug."""
        if one == other or not isinstance(one, str) or not isinstance(other, str):
            return one == other
        meant = self.slug(field, one)
        return meant is not None and meant == self.slug(field, other)


UNLEARNT = Labels()


def resolve(claims: Sequence[Claim], own: Labels, learnt: Labels = UNLEARNT) -> Resolved:
    """Tell claims of labels in slugs: by the page's own links first, then by what the source's links taught before."""
    told: list[Claim] = []
    unpaired: dict[LabelPair, None] = {}
    for claim in claims:
        if not claim.label:
            told.append(claim)
        elif isinstance(claim.value, tuple):
            words = [str(word) for word in claim.value]
            slugs = [own.slug(claim.field, word) or learnt.slug(claim.field, word) or word for word in words]
            told.append(_in_slugs(claim, tuple(dict.fromkeys(slugs))))
        elif slug := own.slug(claim.field, claim.label) or learnt.slug(claim.field, claim.label):
            told.append(_in_slugs(claim, slug))
        else:
            unpaired[LabelPair(claim.field, label_key(claim.label), None)] = None
            if claim.value != "":
                told.append(claim)
    return Resolved(told, tuple(unpaired))


def _in_slugs(claim: Claim, value: str | tuple[str, ...]) -> Claim:
    return Claim(claim.field, value, claim.witness, claim.where, claim.url, claim.part)
