"""The extractors by name: our own, imported when first asked for, and those that other packages bring."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from extractors.base import SiteExtractor
from milepost.errors import SettingsError

GROUP = "milepost.extractors"  # entry points of other packages: name = "module:Class"

_OURS: Mapping[str, str] = {
    "aitimeline": "extractors.aitimeline:AiTimeline",
    "sample": "extractors.sample:Sample",
}


def names() -> tuple[str, ...]:
    """Every name that `get` takes."""
    return tuple(sorted({*_OURS, *_theirs()}))


def get(name: str) -> SiteExtractor:
    """The extractor of that name; raises SettingsError naming the known ones."""
    place = _OURS.get(name) or _theirs().get(name)
    if place is None:
        raise SettingsError(
            f"there is no extractor {name!r}", where="sources.extractor", hint=f"Known: {', '.join(names())}."
        )
    return _load(name, place)


@cache
def _theirs() -> Mapping[str, str]:
    return {point.name: point.value for point in entry_points(group=GROUP)}


def _load(name: str, place: str) -> SiteExtractor:
    module, _, attribute = place.partition(":")
    try:
        made: Any = getattr(import_module(module), attribute)()
    except (ImportError, AttributeError, TypeError) as error:
        raise SettingsError(
            f"the extractor {name!r} can't be loaded from {place!r}: {error}", where="sources.extractor",
            hint="Mend or reinstall the package that brings it.",
        ) from error
    if not isinstance(made, SiteExtractor):
        raise SettingsError(f"{place!r} is no SiteExtractor", where="sources.extractor")
    return made
