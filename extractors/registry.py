"""The extractors by name: each file of this folder that holds a site, and those that other packages bring."""

import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from extractors.base import SiteExtractor
from milepost.errors import SettingsError

GROUP = "milepost.extractors"  # entry points of other packages: name = "module:Class"

_OWN_NAME = re.compile(r'^    name = "([a-z0-9-]+)"$', re.MULTILINE)


def names() -> tuple[str, ...]:
    """Every name that `get` takes."""
    return tuple(sorted({*_ours(), *_theirs()}))


def is_ours(name: str) -> bool:
    """Whether the extractor of that name came with Milepost, and is known to come to an end on any page."""
    return name in _ours()


def get(name: str, options: Mapping[str, object] | None = None) -> SiteExtractor:
    """The extractor of that name, set up with a source's options.

    Raises SettingsError: no such name (the known ones are told), or options that this extractor doesn't take.
    """
    place = _ours().get(name) or _theirs().get(name)
    if place is None:
        raise SettingsError(
            f"there is no extractor {name!r}", where="sources.extractor", hint=f"Known: {', '.join(names())}."
        )
    return _load(name, place).configured(options or {})


@cache
def _ours() -> Mapping[str, str]:
    """Name → "module:Class" of the sites in this folder: a new site is one new file, and no list to add it to.

    Told from the files' text, so that asking for one site doesn't import the others: a site's class says
    `name = "…"`, and its module is named after it.
    """
    found: dict[str, str] = {}
    for file in sorted(Path(__file__).parent.glob("*.py")):
        for match in _OWN_NAME.finditer(text := file.read_text(encoding="utf-8")):
            if match[1].replace("-", "_") == file.stem:
                name_of_class = text[: match.start()].rpartition("class ")[2].partition("(")[0]
                found[match[1]] = f"extractors.{file.stem}:{name_of_class}"
    return found


@cache
def _theirs() -> Mapping[str, str]:
    return {point.name: point.value for point in entry_points(group=GROUP)}


def _load(name: str, place: str) -> type[SiteExtractor]:
    module, _, attribute = place.partition(":")
    try:
        found: Any = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingsError(
            f"the extractor {name!r} can't be loaded from {place!r}: {error}", where="sources.extractor",
            hint="Mend or reinstall the package that brings it.",
        ) from error
    if not (isinstance(found, type) and issubclass(found, SiteExtractor)):
        raise SettingsError(
            f"{place!r} is no SiteExtractor", where="sources.extractor", hint="Name a class made from extractors.base."
        )
    return found
