"""What every text and address goes through on its way from a page into a field."""

import html
import re
import unicodedata
from functools import lru_cache
from urllib.parse import urljoin, urlsplit

from milepost.printable import UNSEEN

TITLE_CAP = 500  # characters
TEXT_CAP = 20_000  # characters
NAME_CAP = 200  # characters of one name, tag or label
KEY_CAP = 1_900  # characters of a milestone's key: as many as the crawler lets a path have
LIST_CAP = 200  # entries of one list
URL_CAP = 2_000  # characters

_VOID = frozenset({"undefined", "null", "nan", "none", "[object object]", "invalid date", "loading...", "loading…"})

_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+/[!#-;=?-\[\]^_a-z{|}~]*")  # needs no second look

_SLUG_WORD = re.compile(r"[a-z0-9]+")


def clean(text: str | None, cap: int = TEXT_CAP) -> str:
    """One visible line: NFC, white space collapsed, unseen and turning signs gone, cut at `cap` characters."""
    if not text:
        return ""
    if "  " not in text and text.isprintable():  # nearly always: every other sign of white space is unprintable
        line = text.strip()
    else:
        line = " ".join(UNSEEN.sub("", " ".join(text[: 4 * cap].split())).split())
    if not line.isascii():
        line = unicodedata.normalize("NFC", line)
    return line if len(line) <= cap else f"{line[: cap - 1].rstrip()}…"


def unescape(text: str) -> str:
    """Undo HTML entities in a text that should have none (JSON-LD written by a template)."""
    return html.unescape(text) if "&" in text and ";" in text else text


def is_void(text: str) -> bool:
    """Whether a program wrote this in place of a value it did not have ("undefined")."""
    return len(text) < 20 and text.casefold() in _VOID


@lru_cache(maxsize=4096)  # the same few labels and dates stand on every page
def slugify(label: str, cap: int = NAME_CAP) -> str:
    """The slug of a label: "Open Source" → "open-source"; "" when nothing of it can stand in a slug."""
    plain = label if label.isascii() else unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode()
    plain = plain.casefold()
    return (plain if plain.isalnum() else "-".join(_SLUG_WORD.findall(plain)))[:cap]


@lru_cache(maxsize=4096)
def web_url(address: str | None, base: str) -> str | None:
    """The absolute http(s) form of an address met on page `base`; None for every other scheme and for tricks.

    Control characters, white space, backslashes, user names and scheme-relative addresses ("//evil") are tricks.
    """
    if not address or len(address) > URL_CAP:
        return None
    if is_plain_url(address):
        return address
    address = address.strip(" \t\r\n")
    if address.startswith("//") or "\\" in address or not address.isprintable() or " " in address:
        return None
    if address.casefold().startswith(("http:", "https:")) and len(address.partition("//")[2]) == 0:
        return None  # a scheme without a host would take on the host of the page
    try:
        whole = urljoin(base, address)
        parts = urlsplit(whole)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return None
    return whole if parts.scheme in ("http", "https") and host and "@" not in parts.netloc else None


def is_plain_url(address: str) -> bool:
    """Whether an address is whole, and one of the many that hold nothing which calls for a second look."""
    return len(address) <= URL_CAP and _PLAIN_URL.fullmatch(address) is not None


def url_path(address: str | None) -> str:
    """The path of an address, without its closing slash: "/category/research"; "" when it has none."""
    if not address:
        return ""
    if not address.startswith("/") or address.startswith("//") or "?" in address or "#" in address:
        try:
            address = urlsplit(address).path
        except ValueError:
            return ""
    return address.rstrip("/")


def slug_after(address: str | None, prefix: str, cap: int = NAME_CAP) -> str | None:
    """The slug in an address like prefix + slug ("/category/research", "/category/" → "research"), else None."""
    if not address:
        return None
    if address.startswith(prefix):
        slug = address[len(prefix):]
        if len(slug) <= cap and slug.replace("-", "").isalnum():
            return slug
    elif address.startswith("/"):  # nearly every link of a page
        return None
    path = url_path(address)
    slug = path[len(prefix):] if path.startswith(prefix) else ""
    return slug if slug and "/" not in slug and slug.isprintable() and len(slug) <= cap else None


@lru_cache(maxsize=4096)  # the same few links stand on every page
def slugs_after(address: str, fields: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """(field, slug) of what an address leads to; `fields` are (field, path prefix)."""
    return tuple([(field, slug) for field, prefix in fields if (slug := slug_after(address, prefix)) is not None])


def key_after(address: str | None, prefix: str) -> str | None:
    """The key of the milestone at an address like prefix + key, however long; None when it is no milestone's."""
    return slug_after(address, prefix, KEY_CAP)
