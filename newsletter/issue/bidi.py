"""In which language a piece of text is, and which way it is read: for the `lang` and `dir` of what shows it."""

import unicodedata

from markupsafe import Markup, escape

from newsletter.words.languages import direction

_ENOUGH = 2_000  # characters of a text by which it is judged
_STRONG = {"L": "ltr", "R": "rtl", "AL": "rtl"}  # UAX #9, the classes that have a direction of their own


def reading_direction(text: str, language: str = "") -> str:
    """ "ltr" | "rtl": that of all its letters, of `language` where it mixes both, else of its first letter."""
    if text.isascii():
        return "ltr" if any(map(str.isalpha, text[:_ENOUGH])) or not language else direction(language)
    found = dict.fromkeys(
        _STRONG[sort] for char in text[:_ENOUGH] if (sort := unicodedata.bidirectional(char)) in _STRONG
    )
    if len(found) == 1 or (found and not language):
        return next(iter(found))
    return direction(language or "en")


def lang_and_dir(text: str, language: str = "") -> Markup:
    """The attributes of an element that shows `text`, with a space before each: ` lang="he" dir="rtl"`.

    `language`: a language tag (BCP 47), "" where nobody said; it is left out where the letters are of another script.
    """
    way = reading_direction(text, language)
    said = Markup(' lang="{}"').format(escape(language)) if language and direction(language) == way else Markup()
    return said + Markup(' dir="{}"').format(way)
