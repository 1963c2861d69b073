"""One identity for a page however it was spelled: base URL + path, no query, no fragment, no trailing slash; pure.

    https://old.example/Timeline/x/?utm=1#top  ─▶  /Timeline/x  ─▶  https://now.example/Timeline/x
"""

import re
import string
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

MAX_PATH = 1900
_UNRESERVED = frozenset((string.ascii_letters + string.digits + "-._~").encode())
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
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
    if "\\" in path or any(sign < " " or sign == "\x7f" for sign in path):
        return None
    spelled = _undot(_spell(path))
    return spelled if len(spelled) <= MAX_PATH else None


def split(location: str) -> tuple[str, str, str] | None:
    """(authority in lower case, path, query) of an http(s) URL or a path; None for anything else."""
    location = location.strip(" \t\r\n")
    if any(sign < " " or sign in "\\\x7f" for sign in location):
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
        base, fetch = urlsplit(self.base), urlsplit(self.fetch)
        if own and authority and authority not in (base.netloc.lower(), fetch.netloc.lower()):
            return None
        spelled = normal(path or "/")
        if spelled is None:
            return None
        for prefix in sorted({base.path, fetch.path} - {""}, key=len, reverse=True):
            if spelled == prefix or spelled.startswith(f"{prefix}/"):
                return spelled.removeprefix(prefix) or "/"
        inside = not base.path or not authority or (authority == fetch.netloc.lower() and not fetch.path)
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
