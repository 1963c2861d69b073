"""The words that dates are written with in each language: months, weekdays, eras and what stands between, from CLDR."""

import pickle
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

Kind = Literal["month", "weekday", "between", "ours", "before", "circa", "to", "now"]
Words = tuple[str, ...]  # as `words_of` parts them

_TAG = re.compile(r"([A-Za-z]{2,3})(?:[-_]([A-Za-z0-9]{1,8}))*", re.ASCII)
# The codes of ISO 639 that have become others, and those whose data lies under several names (CLDR, "parentLocale").
_CODES: Mapping[str, tuple[str, ...]] = {
    "iw": ("he",), "in": ("id",), "ji": ("yi",), "tl": ("fil",), "mo": ("ro",), "sh": ("sr", "bs", "hr"),
    "cmn": ("zh",), "no": ("no", "nb", "nn"), "nb": ("no", "nb"), "nn": ("no", "nn"),
}
EVER = (1, 9999)
# Languages in whose texts a year may be one of another calendar (Hijri, Solar Hijri, Bengali, Nepali, Ethiopian,
# Buddhist, of a reign or of the Republic): the years that can only be Gregorian ones.
_GREGORIAN: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(
        ("ar", "fa", "ps", "ckb", "ku", "ur", "uz", "mzn", "lrc", "sd", "ug", "ks", "bn", "as"), (1700, 2300),
    ),
    **dict.fromkeys(("th", "lo", "km", "my", "dz", "bo", "am", "ti", "ne"), (1, 0)),  # none
    **dict.fromkeys(("he", "yi"), (1, 3000)),
    **dict.fromkeys(("zh", "ja", "ko", "yue"), (1000, 2300)),  # 民國100年 is 2011
}
# Of these, the ones that call the months alike in both calendars; elsewhere the name of a month settles it.
_SHARED = frozenset({"th", "lo", "km", "my", "dz", "bo", "ti", "zh", "ja", "ko", "yue"})
_BETWEEN: Mapping[str, tuple[str, ...]] = {  # ordinals and little words that CLDR's patterns leave out
    "en": ("st", "nd", "rd", "th", "of", "the", "on", "in"), "de": ("den", "der", "am", "im"),
    "fr": ("er", "le", "en", "à"),
    "es": ("º", "°", "el", "o", "del"), "pt": ("º", "°", "o", "às"), "it": ("º", "°", "il"),
    "ca": ("r", "el", "de", "del", "a les"), "id": ("pukul",), "ms": ("pukul",), "fi": ("klo",), "nl": ("e", "op"),
    "ru": ("го", "г", "года", "год", "в"), "uk": ("го", "р", "року", "рік"), "be": ("га", "г", "года"),
    "bg": ("г", "година"), "vi": ("ngày", "năm"), "sv": ("den", "kl"), "da": ("den", "d", "kl"), "no": ("den", "kl"),
    "pl": ("r", "roku"), "cs": ("roku",), "el": ("η", "του"), "hu": ("án", "én"),
}
_CIRCA_ANYWHERE = ("c", "ca", "circa", "cca", "~", "≈", "∼")
_CIRCA: Mapping[str, tuple[str, ...]] = {
    "en": ("about", "around", "approximately", "approx"), "de": ("um", "etwa", "ungefähr", "zirka", "gegen"),
    "fr": ("vers", "environ"), "es": ("hacia", "alrededor de", "cerca de"), "pt": ("cerca de", "por volta de"),
    "it": ("verso il", "intorno al"), "nl": ("omstreeks", "rond", "ongeveer"), "sv": ("omkring", "cirka"),
    "da": ("omkring", "cirka"), "no": ("omkring", "rundt"), "pl": ("około", "ok"), "cs": ("kolem", "asi"),
    "ru": ("около", "ок"), "uk": ("близько", "бл"), "ja": ("頃", "ごろ", "約"), "zh": ("约", "約"),
}
_TO_ANYWHERE = ("-", "‐", "‑", "–", "—", "−", "~", "〜", "～")
_TO: Mapping[str, tuple[str, ...]] = {
    "en": ("to", "until", "through"), "de": ("bis", "bis zum"), "fr": ("à", "au", "jusqu ' au"),
    "es": ("a", "al", "hasta"), "pt": ("a", "até"), "it": ("al", "a"),
    "nl": ("tot", "t / m", "tot en met"), "sv": ("till",), "da": ("til",),
    "no": ("til",), "pl": ("do",), "cs": ("do", "až"), "ru": ("по",), "uk": ("по",),
    "ja": ("から",), "zh": ("至", "到"),
}
_NOW: Mapping[str, tuple[str, ...]] = {
    "en": ("present", "today", "now"), "de": ("heute",), "fr": ("aujourd ' hui",), "es": ("hoy", "presente"),
    "nl": ("heden",), "it": ("oggi",), "pt": ("hoje", "presente"),
}
_ERAS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # before our era, ours
    "en": (("bc", "b c", "bce", "b c e", "before christ"), ("ad", "a d", "ce", "c e")),
    "de": (("v u z", "v chr", "vor christus"), ("u z", "n chr", "nach christus")),
    "es": (("a c", "a de c", "ac"), ("d c", "d de c")), "pt": (("a c",), ("d c",)), "it": (("a c",), ("d c",)),
}


class Form(NamedTuple):
    """One word, or a few in a row, and what it means in a date."""

    words: Words
    kind: Kind
    value: int = 0  # the month 1..12, the weekday 0..6 (Monday is 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class DateWords:
    """How one language writes dates."""

    forms: Mapping[str, tuple[Form, ...]]  # first word → forms that begin with it
    gregorian: tuple[int, int]  # the years that can only be Gregorian ones
    shared_months: bool  # another calendar's months have the same names
    day_first: bool  # "03.04.1932" is the third of April in every country of this language
    year_first: bool  # "1932/04/03" is never the fourth of March

    def month(self, word: str) -> int | None:
        """The month that a single word names."""
        named = (form for form in self.forms.get(word, ()) if form.kind == "month" and len(form.words) == 1)
        return next((form.value for form in named), None)


def words_of(text: str) -> Words:
    """The words, numbers and other signs of a text, casefolded; ideographs one by one, full stops and commas left out.

    Letters keep the marks that belong to them (Thai and Arabic vowels are marks of their own).
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    words: list[str] = []
    for kind, signs in groupby(plain, _sign):
        if kind == "letter" or kind == "number":
            words.append("".join(signs))
        elif kind != "space":
            words += signs
    return tuple(words)


@lru_cache(maxsize=4096)
def _sign(sign: str) -> str:
    if "\u4e00" <= sign <= "\u9fff" or sign in "〇々":
        return "ideograph"
    category = unicodedata.category(sign)
    if category == "Nd":
        return "number"
    if category[0] in "LM" or sign in "׳״\u200c\u200d":
        return "letter"
    if category[0] in "ZC" or sign in ".,،、·。":
        return "space"
    return "sign"


def code_of(tag: str) -> str:
    """The language of a BCP 47 tag, as CLDR calls it: "de-AT" → "de"; "" for what is no tag."""
    match = _TAG.fullmatch(tag.strip()) if len(tag) <= 40 else None
    return match[1].casefold() if match else ""


@lru_cache(maxsize=64)
def date_words(code: str) -> DateWords | None:
    """The words of a language by its code; None for one that CLDR has no months of.

    All countries and scripts of a language count together: a word that means two months among them means none.
    """
    data = list(_data(code))
    months: dict[Words, set[int]] = {}
    days: dict[Words, set[int]] = {}
    forms: set[Form] = set()
    patterns = [pattern for one in data for pattern in _patterns(one)]
    for one in data:
        for names, found in ((one.get("months"), months), (one.get("days"), days)):
            for number, name in _names(names):
                if words := words_of(name):
                    found.setdefault(words, set()).add(number)
        for widths in _tables(one.get("eras"), ("wide", "abbreviated")):
            forms.update(Form(words_of(str(name)), "ours" if number else "before") for number, name in widths.items())
    _attach(months, patterns, "ML")
    _attach(days, patterns, "Ec")
    if not months:
        return None
    # "M01" and "1" are no names: CLDR has them for languages whose names nobody has told it.
    forms.update(Form(words, "month", *numbers) for words, numbers in months.items()
                 if len(numbers) == 1 and _is_name(words))
    forms.update(Form(words, "weekday", *numbers) for words, numbers in days.items()
                 if len(numbers) == 1 and _is_name(words))
    own = _CODES.get(code, (code,))[0]
    before, ours = _ERAS.get(own, ((), ()))
    for kind, said in (
        ("between", chain(_BETWEEN.get(own, ()), *map(_literals, patterns), "()")), ("before", before), ("ours", ours),
        ("circa", (*_CIRCA_ANYWHERE, *_CIRCA.get(own, ()))), ("to", (*_TO_ANYWHERE, *_TO.get(own, ()))),
        ("now", _NOW.get(own, ())),
    ):
        forms.update(Form(words_of(words), kind) for words in said)  # type: ignore[arg-type]
    first: dict[str, tuple[Form, ...]] = {}
    for form in forms:
        if form.words:
            first[form.words[0]] = (*first.get(form.words[0], ()), form)
    orders = [_order(pattern) for pattern in patterns]
    return DateWords(
        forms=first, gregorian=_GREGORIAN.get(own, EVER), shared_months=own in _SHARED,
        day_first=("dMy", True) in orders and "Mdy" not in {order for order, _ in orders},
        year_first="ydM" not in {order for order, _ in orders},
    )


def _data(code: str) -> Iterator[dict[str, Any]]:
    """What CLDR has for a language, every country and script of it by itself.

    Read from Babel's files: its own reading keeps what one language inherits in a table that all share, and answers
    with the names of whichever was asked for first (2.18).
    """
    from babel import localedata

    wanted = _CODES.get(code, (code,))
    for name in sorted(localedata.locale_identifiers()):
        if name.partition("_")[0] in wanted:
            yield pickle.loads(Path(localedata.resolve_locale_filename(name)).read_bytes())  # noqa: S301 a package's file


def _tables(contexts: object, widths: tuple[str, ...]) -> Iterator[Mapping[int, object]]:
    """The tables {number: name} of those widths; CLDR's references to other tables are left out, those are read too."""
    if isinstance(contexts, dict):
        for width in widths:
            table = contexts.get(width)
            if isinstance(table, tuple):  # (a reference, what differs from it)
                table = table[1]
            if isinstance(table, dict):
                yield {number: name for number, name in table.items() if isinstance(number, int)}


def _names(contexts: object) -> Iterator[tuple[int, str]]:
    if isinstance(contexts, dict):
        for context in contexts.values():
            context = context[1] if isinstance(context, tuple) else context
            for table in _tables(context, ("wide", "abbreviated", "short")):
                yield from ((number, str(name)) for number, name in table.items())


def _patterns(data: Mapping[str, Any]) -> Iterator[str]:
    """The language's patterns of dates, as CLDR writes them: "EEEE, d. MMMM y"."""
    for table in ("date_formats", "datetime_skeletons"):
        for name, value in (data.get(table) or {}).items():
            pattern = getattr(value, "pattern", None)
            if isinstance(pattern, str) and (table == "date_formats" or not set(name) - set("GyMLEd")):
                yield pattern


_PIECE = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+")


def _pieces(pattern: str) -> Iterator[tuple[str, str]]:
    """(a field's letter or "", the text): "d. MMMM" → ("d", "d"), ("", ". "), ("M", "MMMM")."""
    texts: list[str] = []
    for match in _PIECE.finditer(pattern):
        if match[2]:
            if texts:
                yield "", "".join(texts)
                texts = []
            yield match[2], match[0]
        else:
            texts.append(match[0] if match[1] is None else match[1].replace("''", "'") or "'")
    if texts:
        yield "", "".join(texts)


def _literals(pattern: str) -> Iterator[str]:
    """The words that stand between a pattern's fields: "d 'de' MMMM" → "de"."""
    for field, text in _pieces(pattern):
        if not field:
            yield from (word for word in words_of(text) if word not in _TO_ANYWHERE)


def _attach(found: dict[Words, set[int]], patterns: Iterable[str], letters: str) -> None:
    """Add the forms with what is written onto a name: Hebrew ב before a month, Basque "ren" behind it."""
    plain = dict(found)
    onto: set[tuple[str, str]] = set()
    for pattern in patterns:
        pieces = [("", ""), *_pieces(pattern), ("", "")]
        for before, (field, text), after in zip(pieces, pieces[1:], pieces[2:], strict=False):
            if field and field in letters and len(text) >= 3:
                ahead = "" if before[0] else _touching(before[1], last=True)
                behind = "" if after[0] else _touching(after[1], last=False)
                if ahead or behind:
                    onto.add((ahead, behind))
    for ahead, behind in onto:
        for words, numbers in plain.items():
            found.setdefault((*words[:-1], words[-1] + behind) if not ahead else
                             (ahead + words[0], *words[1:-1], words[-1] + behind) if len(words) > 1 else
                             (ahead + words[0] + behind,), set()).update(numbers)


def _touching(text: str, *, last: bool) -> str:
    """The letters of a literal that touch the field beside it."""
    signs = [(_sign(sign), sign) for sign in unicodedata.normalize("NFKC", text).casefold()]
    run = []
    for kind, sign in reversed(signs) if last else signs:
        if kind != "letter":
            break
        run.append(sign)
    return "".join(reversed(run) if last else run)


def _is_name(words: Words) -> bool:
    return any(_sign(sign) in ("letter", "ideograph") for word in words for sign in word) and not (
        words[0] == "m" and len(words) == 2 and words[1].isdecimal()
    )


def _order(pattern: str) -> tuple[str, bool]:
    """(the order of the numbers of a pattern without words, whether they are parted by full stops)."""
    pieces = list(_pieces(pattern))
    fields = "".join(field for field, text in pieces if (field and len(text) <= 2) or field == "y")
    literals = [text.strip() for field, text in pieces if not field]
    named = any(field in "ML" and len(text) > 2 for field, text in pieces if field)
    return ("" if named else fields.replace("L", "M")), bool(literals) and literals[0] == "."
