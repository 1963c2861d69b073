"""Looks at several sources side by side, each its own trouble; the terminal and the flow call it."""

from collections.abc import Callable, Iterable
from typing import Any

from crawler.guard import check_url
from milepost.errors import InputError, StoreError, UnderWayError
from milepost.settings import Settings
from pipeline.several import Made, Stop, down_to_json, side_by_side, sift


def chosen(settings: Settings, keys: Iterable[str] | None) -> list[str]:
    """The keys of the sources to look at, each once: those that are named, else all.

    Raises InputError when none is configured and SettingsError for a name that is none, before anything is asked for.
    """
    named = list(dict.fromkeys(keys or (source.key for source in settings.sources)))
    if not named:
        raise InputError("no source is configured", hint="Add a [[sources]] block to milepost.toml.")
    for key in named:
        settings.source(key)
    return named


def look_at_several(
    settings: Settings, keys: Iterable[str], look: Callable[[str, Stop], dict[str, Any]], *, at_once: int | None = None
) -> Made:
    """What `look` told of each source (`scrape --json`), in their order; `at_once` go side by side, by default
    `fetch.sources_at_once`.

    Sources that are read from one host are looked at one after the other, so that it has one visitor at a time. A
    database that can't be used ends them all. Raises UnfinishedError when a look failed; its result has them all.
    """

    def host(key: str) -> str:
        source = settings.source(key)
        return check_url(source.fetch_from or source.base_url).origin

    at_once = at_once or settings.fetch.sources_at_once
    return sift(
        side_by_side(keys, look, at_once=at_once, apart=host, hopeless=_database_is_out), down_to_json,
    )


def _database_is_out(error: BaseException) -> bool:
    return isinstance(error, StoreError) and not isinstance(error, UnderWayError)
