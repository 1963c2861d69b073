"""Which catalogue a language tag means, which way it is read, and which one somebody reads best."""

from collections.abc import Mapping
from types import MappingProxyType

from milepost.settings import NewsletterSettings
from newsletter.words.german import GERMAN
from newsletter.words.hebrew import HEBREW
from newsletter.words.phrases import ENGLISH, Phrases

CATALOGUES: Mapping[str, Phrases] = MappingProxyType({"en": ENGLISH, "de": GERMAN, "he": HEBREW})
NAMES: Mapping[str, str] = MappingProxyType({"en": "English", "de": "Deutsch", "he": "עברית"})  # each in itself
_RTL = frozenset({"ar", "fa", "he", "ur", "yi"})


def phrases_for(language: str) -> Phrases:
    """The catalogue of a language tag (BCP 47), "de-AT" like "de"; English where there is none."""
    return CATALOGUES.get(language.split("-")[0].lower(), ENGLISH)


def direction(language: str) -> str:
    """ "rtl" or "ltr"."""
    return "rtl" if language.split("-")[0].lower() in _RTL else "ltr"


def known(language: str | None) -> str | None:
    """The catalogue's tag for a language tag, "de" for "de-AT"; None where there is none."""
    tag = (language or "").split("-")[0].lower()
    return tag if tag in CATALOGUES else None


def in_language(newsletter: NewsletterSettings, language: str | None) -> NewsletterSettings:
    """The settings with a reader's language in place of the newsletter's; the same ones where that says the same."""
    tag = known(language)
    if tag is None or tag == known(newsletter.language):
        return newsletter
    return newsletter.model_copy(update={"language": tag})


def tongue(newsletter: NewsletterSettings, language: str | None) -> str:
    """The catalogue's tag of a reader's language; "" where it is the newsletter's, or none of ours."""
    spoken = in_language(newsletter, language)
    return "" if spoken is newsletter else spoken.language


def preferred(accept_language: str, default: str) -> str:
    """The catalogue's tag that an Accept-Language header asks for first (RFC 9110 §12.5.4), else `default`."""
    best, weight = default, 0.0
    for part in accept_language[:1000].split(","):
        tag, *parameters = (piece.strip() for piece in part.split(";"))
        wanted = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "q":
                try:
                    wanted = float(value)
                except ValueError:
                    wanted = 0.0
        found = known(tag)
        if found is not None and weight < wanted <= 1:
            best, weight = found, wanted
    return best
