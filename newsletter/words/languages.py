"""Which catalogue a language tag means, and which way it is read."""

from collections.abc import Mapping
from types import MappingProxyType

from newsletter.words.german import GERMAN
from newsletter.words.hebrew import HEBREW
from newsletter.words.phrases import ENGLISH, Phrases

CATALOGUES: Mapping[str, Phrases] = MappingProxyType({"en": ENGLISH, "de": GERMAN, "he": HEBREW})
_RTL = frozenset({"ar", "fa", "he", "ur", "yi"})


def phrases_for(language: str) -> Phrases:
    """The catalogue of a language tag (BCP 47), "de-AT" like "de"; English where there is none."""
    return CATALOGUES.get(language.split("-")[0].lower(), ENGLISH)


def direction(language: str) -> str:
    """ "rtl" or "ltr"."""
    return "rtl" if language.split("-")[0].lower() in _RTL else "ltr"
