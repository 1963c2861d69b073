"""Which addresses are milestones, and the key in each: by a path prefix, or by patterns of paths with exclusions.

    "/story/"                    everything one segment below; that segment is the key
    "/news/*/*/*/:slug"          * is one segment, or a part of one; :slug is the key
    "/:slug/notes/:slug.html"    several make one key: "2024", "amber" → "2024-amber"
    "/news/*"                    closing a pattern that excludes: everything below
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

from extractors.clean import KEY_CAP, URL_CAP, key_after, url_path
from milepost.errors import ExtractError

_SLUG = ":slug"
_WILD_CAP = 2  # of them in one segment: more take a matcher long to tell apart
_PARTS = re.compile(r"(\*|:slug)")


def checked(pattern: str) -> str:
    """A pattern of milestones' paths as it is kept; raises ValueError for one that tells no key."""
    if not pattern.startswith("/") or any(sign in pattern for sign in "?#\\ ") or not pattern.isprintable():
        raise ValueError(f'want a path from the root, as in "/news/" or "/news/*/:slug", not {pattern!r}')
    if any("**" in part for part in pattern.split("/")):
        raise ValueError("* is one segment of a path, or a part of one: write /*/*/ for two")
    if any(len(_PARTS.findall(part)) > _WILD_CAP for part in pattern.split("/")):
        raise ValueError(f"want at most {_WILD_CAP} of * and :slug in one segment of {pattern!r}")
    if not _is_prefix(pattern) and _SLUG not in pattern:
        raise ValueError('want a prefix that begins and ends with a slash, as in "/news/", or a pattern with :slug for '
                         f'the key, as in "/news/*/:slug", not {pattern!r}')
    return pattern


def check_covering(pattern: str) -> None:
    """Raises ValueError for what `covers` can make nothing of."""
    if not pattern.startswith("/"):
        raise ValueError(f'want a path from the root, as in "/archive/*", not {pattern!r}')
    if _SLUG in pattern or any(part.count("*") > _WILD_CAP or "**" in part for part in pattern.split("/")):
        raise ValueError(f"want * for one segment, or closing it for all below, as in \"/archive/*\", not {pattern!r}")


def covers(pattern: str, path: str) -> bool:
    """Whether a path is what a pattern of listings or exclusions means; closing it, "/*" is everything below."""
    plain = url_path(path) or "/"
    if pattern.endswith("/*"):
        return re.match(_expression(pattern[:-1]), plain) is not None if "*" in pattern[:-1] else (
            plain.startswith(pattern[:-1])
        )
    return plain == (pattern.rstrip("/") or "/") or (
        "*" in pattern and re.fullmatch(_expression(pattern.rstrip("/")), plain) is not None
    )


@dataclass(frozen=True, slots=True)
class Addresses:
    """The milestones' addresses of a site."""

    patterns: tuple[str, ...]  # as `checked` lets them through
    excluded: tuple[str, ...] = ()  # as `covers` takes them
    # address → the milestone's key, or None; asked for every link of every page
    key: Callable[[str | None], str | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        plain = len(self.patterns) == 1 and _is_prefix(self.patterns[0]) and not self.excluded
        key = partial(key_after, prefix=self.patterns[0]) if plain else _matcher(self.patterns, self.excluded)
        object.__setattr__(self, "key", _remembered(key))

    def __str__(self) -> str:
        return " or ".join(f"{one}{_SLUG}" if _is_prefix(one) else one for one in self.patterns)

    def is_below(self, address: str) -> bool:
        """Whether an address lies where milestones do, with a key or without one; none that is excluded does."""
        path = url_path(address)
        starts = tuple(one if _is_prefix(one) else _fixed(one) for one in self.patterns)
        return path.startswith(starts) and not self.leaves_out(address)

    def leaves_out(self, address: str | None) -> bool:
        """Whether an address is excluded: then it is no milestone, and nothing is missed by not reading it."""
        return bool(self.excluded) and any(covers(one, url_path(address)) for one in self.excluded)

    def address_of(self, key: str) -> str:
        """The path of a key; raises ExtractError where no pattern tells it."""
        for pattern in self.patterns:
            if _is_prefix(pattern):
                return f"{pattern}{key}"
            if "*" not in pattern and pattern.count(_SLUG) == 1:
                return pattern.replace(_SLUG, key)
        raise ExtractError(
            f"no address can be made of {key!r}: the milestones' addresses are {self}", hint="Give the whole address."
        )


def _is_prefix(pattern: str) -> bool:
    return pattern.endswith("/") and "*" not in pattern and _SLUG not in pattern


def _fixed(pattern: str) -> str:
    """What all addresses of a pattern begin with; "//", which none does, where that is nothing."""
    fixed = _PARTS.split(pattern, maxsplit=1)[0].rpartition("/")[0]
    return f"{fixed}/" if fixed else "//"


def _expression(pattern: str) -> str:
    """A pattern as a regular expression: each * and :slug is within one segment."""
    parts = (
        "[^/]+" if part == "*" else "([^/]+)" if part == _SLUG else re.escape(part) for part in _PARTS.split(pattern)
    )
    return "".join(parts)


def _remembered(key: Callable[[str], str | None]) -> Callable[[str | None], str | None]:
    """`key`, asked once for what stands on page after page; what is longer than an address is not kept."""
    kept = lru_cache(maxsize=4096)(key)

    def known(address: str | None) -> str | None:
        if not address:
            return None
        return kept(address) if len(address) <= URL_CAP else key(address)

    return known


def _matcher(patterns: Sequence[str], excluded: Sequence[str]) -> Callable[[str], str | None]:
    prefixes = tuple(one for one in patterns if _is_prefix(one))
    shapes = tuple(re.compile(_expression(one.rstrip("/"))) for one in patterns if not _is_prefix(one))

    def key(address: str) -> str | None:
        path = url_path(address)
        if not path or len(path) > KEY_CAP or any(covers(one, path) for one in excluded):
            return None
        for prefix in prefixes:
            if (slug := key_after(path, prefix)) is not None:
                return slug
        for shape in shapes:
            if (match := shape.fullmatch(path)) is not None and path.isprintable():
                return "-".join(match.groups())
        return None

    return key
