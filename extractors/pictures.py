"""Which of a page's images is the picture of a milestone, and where it lies: no pixel, spacer, emoji or hidden image.

    <img> ─▶ hidden, tiny, a spacer, an emoji, a counter ─▶ none
          └▶ data-src … ─▶ src ─▶ srcset ─▶ <picture><source> ─▶ the first address that a picture can have
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import NamedTuple, cast
from urllib.parse import urlsplit

from lxml.etree import _Element as Element

from extractors.clean import TITLE_CAP, clean, is_plain_url, web_url
from extractors.dom import Parts, base_of, shared_pictures
from milepost.records import Image

_LAZY = ("data-src", "data-lazy-src", "data-original", "data-lazy", "data-orig-file", "data-original-src")
_LAZY_NAMES = frozenset(_LAZY)
_SETS = ("srcset", "data-srcset", "data-lazy-srcset", "data-original-set")
_TINY = 4  # pixels: nothing to be seen
_ICON = 32  # pixels both ways: a sign beside words
_LARGE = 100  # pixels: what has them declared is there to be looked at
_WIDEST = 1_600  # pixels that a reader's screen can use; of several sizes the largest within
_SET_CAP = 20_000  # characters of a set
_SOURCES = 20  # <source> elements and candidates of a set that are looked at

_ROOTED = re.compile(r"https?://|\.{0,2}/", re.IGNORECASE)
_DESCRIPTOR = re.compile(r"(?:^|\s)(\d{1,6}(?:\.\d{1,3})?)([wx])(?=\s|$)", re.ASCII)
_LENGTH = re.compile(r"\s*(\d+)(?:\.\d+)?\s*(?:px)?\s*", re.ASCII)
# What these look at is in small letters already: to ignore case takes an expression three times as long.
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden")
_PIXELS = re.compile(r"\s*(\d+(?:\.\d+)?)px")
_SIGNS = re.compile(r"(?<![a-z])(?:emoji|twemoji|emojione|emoticon|smiley|avatar|gravatar)(?![a-z])")
_SIGN_PLACES = re.compile(r"/(?:/(?:[^/]*\.)?gravatar\.com/|(?:tw)?emoji(?:one)?/|smil(?:ey|ie)s?/)")
_SPACER = re.compile(
    r"[/_.-](?:(?:spacer|blank|clear|transparent|transp|trans|shim|empty|px|1x1|1px|placeholder|loading|loader"
    r"|lazy(?:-?load(?:er|ing)?)?)(?:[-_.]?\d{1,4}(?:x\d{1,4})?)?\.(?:gif|png|svg|jpe?g|webp)"
    r"|pixel(?:[-_.]?\d{1,4})?\.(?:gif|png)|(?:dot|gr[ae]y|white)\.gif)(?:[?#]|$)"
)
_SPACER_CAP = 28  # characters that it can match
_FORMS = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".svg", ".jfif", ".tif", ".tiff")
# Where the services that count readers keep their images, and what the software for it calls them.
_COUNTING_HOSTS = re.compile(
    r"https?://(?:[^/]*\.)?(?:facebook\.com/tr\b|google-analytics\.com/|googletagmanager\.com/|doubleclick\.net/"
    r"|googleadservices\.com/|googlesyndication\.com/|pixel\.wp\.com/|stats\.wp\.com/|stats\.wordpress\.com/"
    r"|scorecardresearch\.com/|quantserve\.com/|bat\.bing\.com/|px\.ads\.linkedin\.com/|analytics\.twitter\.com/"
    r"|t\.co/i/adsct|ct\.pinterest\.com/|mc\.yandex\.ru/|counter\.yadro\.ru/|hit\.gemius\.pl/|met\.vgwort\.de/"
    r"|ioam\.de/|statcounter\.com/|sitemeter\.com/|histats\.com/|clicky\.com/|feedburner\.com/~r/|cnzz\.com/|hm\.baidu\.com/"
    r"|imrworldwide\.com/|chartbeat\.net/|parsely\.com/|adsrvr\.org/|demdex\.net/|omtrdc\.net/|2o7\.net/)"
)
_COUNTING_PATHS = re.compile(
    r"/(?:(?:matomo|piwik)\.php\b|__utm\.gif\b|b/ss/[^/]+/|(?:pixel|beacon|tracker|tracking[-_]?pixel|web-?bug|count(?:er)?|hit)"
    r"(?:\.(?:gif|png|php|aspx?))?(?:\?|$)|(?:collect|impression)s?\?)"
)
_SITES_OWN = re.compile(r"(?<![a-z])(?:logo|favicon|default|placeholder|fallback)(?![a-z])", re.IGNORECASE)


class Found(NamedTuple):
    """What is to be said of the picture of an element."""

    image: Image | None
    hidden: bool = False  # something is shown whose address nobody could read: no reason to say that there is none


class Pictures:
    """The pictures of one page: what several images stand in is asked once whether it is shown."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._shown: dict[Element, bool] = {}  # what images stand in → whether it is shown, and all around it

    def pick(self, images: Iterable[Element]) -> Found:
        """The picture among some <img>s, in the page's order; one without words waits for one with them."""
        waiting: Image | None = None
        hidden = False
        for element in images:
            attributes = cast("tuple[tuple[str, str], ...]", tuple(element.items()))  # once: asking takes its time
            image = _by_itself(attributes)
            if image is not None:
                if self._is_shown(element.getparent()):
                    return Found(image)
                continue
            told = dict(attributes)
            if not _is_picture(told) or not self._is_shown(element.getparent()):
                continue
            image = _image_of(element, told, self._url)
            if image is None:
                hidden = hidden or _may_show(element, self._url)
            elif not _is_decoration(element, told):
                return Found(image)
            else:
                waiting = waiting or image
        return Found(waiting, hidden and waiting is None)

    def _is_shown(self, element: Element | None) -> bool:
        """Whether an element and all around it is shown; no tree is deeper than the parsers let it be."""
        met: list[Element] = []
        shown = True
        while element is not None:
            if (known := self._shown.get(element)) is not None:
                shown = known
                break
            met.append(element)
            names = element.keys()  # asking for one attribute takes as long as asking for all names
            if "hidden" in names or ("style" in names and _hides(element.get("style") or "")):
                shown = False
                break
            element = element.getparent()
        self._shown.update(dict.fromkeys(met, shown))
        return shown


def pick(images: Iterable[Element], url: str) -> Found:
    """The picture among some <img>s of a page that is asked for no other."""
    return Pictures(url).pick(images)


def address(written: str | None, url: str) -> str | None:
    """The address of a picture as written in a page, made whole; None for what is none, a spacer, or counts readers."""
    whole = _whole(written, url)
    return whole if whole is not None and _is_shown(whole) else None


@lru_cache(maxsize=4096)  # the same pictures stand on many pages
def _is_shown(whole: str) -> bool:
    low = whole.lower()
    named_from = 0 if "?" in low or "#" in low else max(0, len(low) - _SPACER_CAP)  # else its name stands at the end
    return not (
        _SPACER.search(low, named_from) or _COUNTING_HOSTS.match(low) or _COUNTING_PATHS.search(low)
        or (("gravatar" in low or "emoji" in low or "smil" in low) and _SIGN_PLACES.search(low))
    )


def _whole(written: str | None, url: str) -> str | None:
    if not written:
        return None
    written = written.strip(" \t\r\n")
    if written.startswith("//") and not written.startswith("///"):  # a picture may lie elsewhere, be it said or not
        written = f"{url.partition(':')[0]}:{written}"
    if " " in written and (":" not in written or _ROOTED.match(written)):  # browsers write it so when they ask
        written = written.replace(" ", "%20")
    return web_url(written, url)


def shared(parts: Parts, url: str) -> Image | None:
    """The picture that a page gives to those who link to it: none that stands for the whole site."""
    for written in shared_pictures(parts):
        found = address(written, base_of(parts.root, url))
        if found is not None and not _SITES_OWN.search(found.partition("://")[2].partition("/")[2]):
            return Image(url=found)
    return None


@lru_cache(maxsize=4096)  # the same pictures stand on many pages
def _by_itself(attributes: tuple[tuple[str, str], ...]) -> Image | None:
    """The picture of an <img> that has words and a whole address, wherever it stands; None when more is to be asked."""
    told = dict(attributes)
    written = told.get("src", "")
    words = clean(told.get("alt"), TITLE_CAP)
    if not words or not is_plain_url(written) or not _LAZY_NAMES.isdisjoint(told) or not _is_picture(told):
        return None
    found = None if _is_called_decoration(told) else address(written, written)
    return None if found is None else _image(found, words)


def _is_picture(told: Mapping[str, str]) -> bool:
    """Whether an <img> with these attributes is there to be looked at."""
    said = told.get
    if "hidden" in told or not _looks_like_one(said("width"), said("height"), said("style"), said("class")):
        return False
    return not _is_emoji(said("alt", ""))


@lru_cache(maxsize=1024)
def _hides(style: str) -> bool:
    low = style.lower()
    # An expression takes fifteen times as long to see that neither word is there.
    return ("none" in low or "hidden" in low) and _HIDDEN.search(low) is not None


@lru_cache(maxsize=4096)  # a site writes the same few of them
def _looks_like_one(width: str | None, height: str | None, style: str | None, names: str | None) -> bool:
    """Whether what an <img> says of itself is said of a picture that is shown."""
    sizes = [size for length in (width, height) if (size := _pixels(length)) is not None]
    sizes += _styled_sizes(style or "")
    if (sizes and min(sizes) < _TINY) or (len(sizes) > 1 and max(sizes) <= _ICON):
        return False
    return not _hides(style or "") and not _SIGNS.search((names or "").lower())


def _styled_sizes(style: str) -> Iterator[float]:
    for declaration in style.lower().split(";"):
        name, _, value = declaration.partition(":")
        if name.strip() in ("width", "height") and (match := _PIXELS.match(value)):
            yield float(match[1])


def _pixels(length: str | None) -> float | None:
    if length and len(length) < 12 and length.isascii() and length.isdecimal():  # nearly always
        return float(length)
    match = _LENGTH.fullmatch(length) if length and len(length) < 12 else None
    return float(match[1]) if match else None


def _is_emoji(alt: str) -> bool:
    if alt.isascii():
        return False
    signs = alt.strip()
    return 0 < len(signs) <= 12 and any(map(_is_symbol, signs)) and all(
        _is_symbol(sign) or unicodedata.category(sign) in ("Mn", "Me", "Cf", "Sk") for sign in signs
    )


def _is_symbol(sign: str) -> bool:
    return ord(sign) > 0x2000 and unicodedata.category(sign) == "So"


def _is_decoration(element: Element, told: Mapping[str, str]) -> bool:
    """Whether the page calls an image decoration, by an empty `alt` or its role, and nothing says otherwise."""
    if not _is_called_decoration(told) and ("alt" not in told or told["alt"].strip()):
        return False
    if told.get("itemprop") or any(parent.tag in ("figure", "picture") for parent in _around(element)):
        return False
    return not any((_pixels(told.get(name)) or 0) >= _LARGE for name in ("width", "height"))


def _is_called_decoration(told: Mapping[str, str]) -> bool:
    return told.get("role") in ("presentation", "none") or told.get("aria-hidden") == "true"


def _image_of(element: Element, told: Mapping[str, str], url: str) -> Image | None:
    words = clean(told.get("alt"), TITLE_CAP)
    for written in _written(element, told):
        found = address(written, url if written.startswith("http") else base_of(element, url))
        if found is not None and (words or not _may_count(found, url)):
            return _image(found, words)
    return None


@lru_cache(maxsize=4096)  # the same pictures stand on many pages
def _image(url: str, alt: str) -> Image:
    return Image(url=url, alt=alt)


def _may_count(found: str, url: str) -> bool:
    """Whether a wordless image of another host is more likely there to count readers than to be looked at."""
    parts = urlsplit(found)
    return parts.hostname != urlsplit(url).hostname and not parts.path.casefold().endswith(_FORMS) and (
        bool(parts.query) or parts.path.casefold().endswith(".gif")
    )


def _written(element: Element, told: Mapping[str, str]) -> Iterator[str]:
    """The addresses that an image may have, the likeliest first: what a script would put into `src` is the picture."""
    if not _LAZY_NAMES.isdisjoint(told):
        yield from (written for name in _LAZY if (written := told.get(name)) and _is_address(written))
    yield told.get("src", "")
    for name in _SETS:
        yield from _candidates(told.get(name))
    picture = next((parent for parent in _around(element) if parent.tag == "picture"), None)
    if picture is not None:
        sources = sorted(islice(picture.iter("source"), _SOURCES), key=_is_new_form)
        for source in sources:
            for name in (*_SETS, "src", "data-src"):
                yield from _candidates(source.get(name))


def _around(element: Element) -> Iterator[Element]:
    """What an image stands in; libxml2 takes the <source>s before it for elements around it."""
    return islice(element.iterancestors(), _SOURCES)


def _is_address(written: str) -> bool:
    """Whether a script's attribute holds an address, and no number or settings."""
    return ("/" in written or "." in written) and written.lstrip()[:1] not in ("{", "[") and not written.isdecimal()


def _is_new_form(source: Element) -> bool:
    return (source.get("type") or "").casefold() in ("image/avif", "image/webp", "image/jxl", "image/svg+xml")


def _candidates(written: str | None) -> list[str]:
    """The addresses of a set (HTML standard §4.8.4.2.1), the largest that a screen can use first."""
    found: list[tuple[bool, float, str]] = []
    rest = (written or "")[:_SET_CAP]
    while (rest := rest.lstrip(" \t\r\n\f,")) and len(found) < _SOURCES:
        candidate = rest.split(maxsplit=1)[0]
        rest = rest[len(candidate):]
        size, unit = 1.0, "x"
        if candidate.endswith(","):
            candidate = candidate.rstrip(",")
        else:
            told, _, rest = rest.partition(",")
            if match := _DESCRIPTOR.search(told):
                size, unit = float(match[1]), match[2]
        width = size if unit == "w" else size * _WIDEST / 2
        found.append((width > _WIDEST, width if width > _WIDEST else -width, candidate))
    return [candidate for _, _, candidate in sorted(found, key=lambda one: one[:2])]


def _may_show(element: Element, url: str) -> bool:
    """Whether an image without an address that could be read may still show something: a script may know it."""
    return _whole(element.get("src"), base_of(element, url)) is None or any(
        str(name).startswith("data-") for name in element.attrib
    )
