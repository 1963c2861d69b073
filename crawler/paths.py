"""One identity for a page however it was spelled: base URL + path, no query, no fragment, no trailing slash; pure.

    https://old.example/Timeline/x/?utm=1#top  ─▶  /Timeline/x  ─▶  https://now.example/Timeline/x
"""

import re
import string
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, urlsplit

MAX_PATH = 1900
_UNRESERVED = frozenset((string.ascii_letters + string.digits + "-._~").encode())
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNFIT = re.compile(r"[\x00-\x1f\x7f\\]")  # what no address has
_PLAIN = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")  # already in its one spelling


def _spell(path: str) -> str:
    """RFC 3986 §6.2.2: escapes in upper case, unreserved characters bare, the rest escaped."""

    def one(match: re.Match[str]) -> str:
        byte = int(match[1], 16)
        return chr(byte) if byte in _UNRESERVED else f"%{byte:02X}"

    return quote(_ESCAPE.sub(one, path), safe="/%:@!$&'()*+,;=~", errors="replace")


def _undot(path: str) -> str:
    """RFC 3986 §5.2.4, with runs of slashes made one."""
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del kept[-1:]
        elif part not in ("", "."):
            kept.append(part)
    return "/" + "/".join(kept)


def normal(path: str) -> str | None:
    """A path in its one spelling ("/" is the root), or None when it can't be one."""
    if _PLAIN.fullmatch(path) and len(path) <= MAX_PATH:
        return path
    if _UNFIT.search(path):
        return None
    spelled = _undot(_spell(path))
    return spelled if len(spelled) <= MAX_PATH else None


def split(location: str) -> tuple[str, str, str] | None:
    """(authority in lower case, path, query) of an http(s) URL or a path; None for anything else."""
    location = location.strip(" \t\r\n")
    if _UNFIT.search(location):
        return None
    try:
        parts = urlsplit(location)
    except ValueError:
        return None
    if parts.scheme not in ("", "http", "https") or (parts.scheme and not parts.netloc):
        return None
    return parts.netloc.lower(), parts.path, parts.query


def is_address(location: str) -> bool:
    """Whether a page may have this address: an http(s) URL or a path, and not too long."""
    parts = split(location)
    return parts is not None and normal(parts[1] or "/") is not None


class _Places(NamedTuple):
    """What the addresses of a site's pages begin with: worked out once, and not for each of them."""

    hosts: frozenset[str]
    prefixes: tuple[str, ...]  # the paths that its pages lie under, the longest first
    whole: bool  # its pages are all that its host has
    whole_mirror: str | None  # the authority of a mirror of which that is true


@lru_cache(maxsize=64)
def _places(base: str, fetch: str) -> _Places:
    known, had = urlsplit(base), urlsplit(fetch)
    return _Places(
        hosts=frozenset({known.netloc.lower(), had.netloc.lower()}),
        prefixes=tuple(sorted({known.path, had.path} - {""}, key=len, reverse=True)),
        whole=not known.path, whole_mirror=None if had.path else had.netloc.lower(),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Where a source's pages are known (`base`) and where their bytes come from (`fetch`); both without last slash."""

    base: str
    fetch: str

    @classmethod
    def of(cls, base_url: str, fetch_from: str | None = None) -> "Site":
        base = base_url.rstrip("/")
        return cls(base=base, fetch=(fetch_from or base).rstrip("/"))

    def identity(self, path: str) -> str:
        """The URL that names the page at `path`."""
        return self.base + path

    def fetch_url(self, path: str) -> str:
        """The URL to ask for it."""
        return self.fetch + path

    def path(self, location: str, *, own: bool = False) -> str | None:
        """The path of a page from any spelling of its address, or None when it is none of this site's.

        The host counts for nothing (a site's domain changes), unless `own`: then an address of another host is None.
        """
        parts = split(location)
        if parts is None:
            return None
        authority, path, _ = parts
        places = _places(self.base, self.fetch)
        if own and authority and authority not in places.hosts:
            return None
        spelled = normal(path or "/")
        if spelled is None:
            return None
        for prefix in places.prefixes:
            if spelled == prefix or spelled.startswith(f"{prefix}/"):
                return spelled.removeprefix(prefix) or "/"
        inside = places.whole or not authority or authority == places.whole_mirror
        return spelled if inside else None

    def path_with_query(self, location: str) -> str | None:
        """The path of an address of this site with its query, "%3F" for the "?"; None for another site's."""
        parts, path = split(location), self.path(location, own=True)
        if parts is None or path is None or not parts[2]:
            return path
        return f"{path}%3F{quote(parts[2], safe='%/:@!$&()*+,;=~-._', errors='replace')}"

    def asset(self, location: str) -> str | None:
        """Where to fetch a file such as a sitemap: on the fetch host, by path, with its query."""
        parts = split(location)
        path = None if parts is None else self.path(location)
        if parts is None or (path is None and normal(parts[1] or "/") is None):
            return None
        query = f"?{quote(parts[2], safe='%/:?@!$&()*+,;=~-._', errors='replace')}" if parts[2] else ""
        if path is None:  # outside the base path: at the root of the fetch host
            root = urlsplit(self.fetch)
            return f"{root.scheme}://{root.netloc}{normal(parts[1] or '/')}{query}"
        return f"{self.fetch}{path}{query}"
