"""A site that nobody follows yet: what an address is, how it would read, and the settings that do it; nothing stored.

    address ─▶ asked as a look asks ─▶ candidates, and the feeds it links to ─▶ each read as a look reads ─▶ Trial
    Trial ─▶ add_source: a block more in the settings file, its comments kept
"""

import asyncio
import datetime as dt
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from crawler.ask import Asked, Asker, asking
from extractors import registry
from extractors.charset import decode
from extractors.clean import slugify
from extractors.drift import dispute, profile, unfit
from extractors.recognize import (
    Candidate,
    advertised_feeds,
    candidates,
    forge_feeds,
    linked_feeds,
    needs_rendering,
    runs_scripts,
    words_of,
)
from extractors.silent_settings import counted, silent
from milepost.errors import ConflictError, ExtractError, FetchError, InputError, RefusedError, SettingsError
from milepost.fields import FIELDS
from milepost.printable import counted as number_of
from milepost.printable import printable
from milepost.records import Card, Milestone, Page
from milepost.settings import FetchSettings, GuardSettings, RenderSettings, parse, read_file
from milepost.text_shape import in_one_line
from newsletter.news.guards import Counted
from newsletter.news.guards import unread as too_much_unread
from pipeline.look.reading_guard import ReadBy, ReadingGuard, SiteReader, Stored
from pipeline.look.unread_entries import FIRST, unread_dates
from pipeline.workers import Crew

SHOWN = 10  # entries of a trial
_ENOUGH = 3  # entries that make a page a list
_FEEDS = 3  # of those that a page links to which are asked for


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialEntry:
    """A milestone as it would be recorded."""

    key: str
    title: str
    date: str | None  # as in records: "2012-09"
    text: str  # what happened, in one line
    url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialReading:
    """How an address reads by one extractor."""

    what: str  # "a feed (Atom, Kiln)"
    url: str  # the page that was read
    source: Mapping[str, Any]  # the settings, as in [[sources]]
    found: int = 0  # milestones
    dated: int = 0  # of those
    entries: tuple[TrialEntry, ...] = ()  # the first ten, the newest first
    unread: int = 0  # what looks like a milestone and could not be read
    unread_first: tuple[str, ...] = ()
    unread_dates: int = 0  # milestones with a date that could not be read
    silent: tuple[str, ...] = ()  # a sentence for each setting that finds nothing
    disputed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # field → who says what, of those that differ
    problem: str | None = None  # why nothing could be read
    held: str | None = None  # why a first look would wait for an operator
    article: bool = False  # the page's own data tells of one milestone


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What an address is."""

    url: str
    final_url: str
    content_type: str
    robots: str
    requests: int
    best: TrialReading | None  # None: nothing can be read there
    others: tuple[TrialReading, ...] = ()  # further ways to read it, and its feeds
    feeds: tuple[str, ...] = ()  # that it links to
    unused_feeds: tuple[str, ...] = ()  # a sentence for each of those that the settings of the best way don't use
    rendering: str = ""  # why a page without its scripts tells nothing, and what it tells with them


def try_address(
    url: str, *, now: Callable[[], dt.datetime], fetch: FetchSettings | None = None,
    guards: GuardSettings | None = None, allow_hosts: Sequence[str] = (), extractor: str | None = None,
    within: float | None = None, render: RenderSettings | None = None,
) -> Trial:
    """Look at an address and store nothing; `extractor`: read it by that one alone. `within`: seconds for all of it.

    A page that tells nothing without its scripts is rendered, where a browser is there.
    Raises FetchError when it can't be had, SettingsError for an extractor that there isn't.
    """
    if extractor is not None and extractor not in registry.names():
        registry.get(extractor)  # says so
    limits = (fetch or FetchSettings()).model_copy(update={"retries": min((fetch or FetchSettings()).retries, 1)})
    guards, render = guards or GuardSettings(), render or RenderSettings()
    trying = _try(url, now, limits, guards, tuple(allow_hosts), extractor, render)
    try:
        return asyncio.run(asyncio.wait_for(trying, within))
    except TimeoutError:
        raise FetchError(f"it did not answer all that was asked within {within:g} s", where=url,
                         hint="`milepost source try` waits longer.") from None


async def _try(
    url: str, now: Callable[[], dt.datetime], limits: FetchSettings, guards: GuardSettings,
    allow_hosts: tuple[str, ...], extractor: str | None, render: RenderSettings,
) -> Trial:
    with Crew(guards.max_read_seconds) as crew:
        async with asking(limits=limits, allow_hosts=allow_hosts, now=now) as asker:
            trier = _Trier(crew, now, allow_hosts, extractor)
            try:
                asked = await asker.ask(url)
            except RefusedError as error:
                host = urlsplit(url).hostname
                meant = f"If it is meant to be read, give --allow-host {host}."
                hint = meant if "public address" in error.what else error.hint
                raise RefusedError(error.what, where=url, hint=hint) from error
            readings = trier.readings(asked)
            page, rendering = trier.page(asked), ""
            if needs_rendering(page) or (runs_scripts(page) and not any(one.found for one in readings)):
                asked, page, readings, rendering = await _with_scripts(asker, trier, asked, readings, render)
            feeds = () if any(one.source["extractor"] == "feed" for one in readings) else linked_feeds(page)
            listed = any(one.found >= _ENOUGH for one in readings)
            for feed in dict.fromkeys((*feeds[:_FEEDS], *(() if listed else forge_feeds(asked.url)))):
                readings += await _feed(asker, trier, feed)
            requests = asker.requests
    of_comments = {address for address, comments in advertised_feeds(page) if comments}
    readings = [_fed(one, readings, of_comments) for one in readings]
    readings = sorted(readings, key=partial(_rank, article=any(one.article for one in readings)), reverse=True)
    best = next((one for one in readings if one.found and extractor in (None, one.source["extractor"])), None)
    return Trial(
        url=url, final_url=asked.url, content_type=asked.content_type, robots=asked.robots, requests=requests,
        best=best, others=tuple(one for one in readings if one is not best), feeds=feeds,
        unused_feeds=_unused(best, feeds, readings, of_comments),
        rendering=rendering,
    )


async def _with_scripts(
    asker: Asker, trier: "_Trier", asked: Asked, readings: list[TrialReading], settings: RenderSettings
) -> tuple[Asked, Page, list[TrialReading], str]:
    """The page as it reads best, with its scripts run or without, and what is to be said of it."""
    page = trier.page(asked)
    why = needs_rendering(page)
    try:
        shown = await asker.render(asked, settings)
    except (SettingsError, FetchError) as error:
        return asked, page, readings, f"{why}; it was not rendered: {str(error).rstrip('.')}" if why else ""
    told, with_scripts = trier.page(shown), trier.readings(shown, render=True)
    if sum(one.found for one in with_scripts) > sum(one.found for one in readings):
        words = f"{why or 'nothing is read without them'}; with them it has {words_of(told)} words"
        return shown, told, with_scripts, words
    return asked, page, readings, f"{why}; a browser shows nothing more to read" if why else ""


async def _feed(asker: Asker, trier: "_Trier", url: str) -> list[TrialReading]:
    """What a linked feed reads as; one that can't be had is told of, and stops nothing."""
    try:
        asked = await asker.ask(url)
    except FetchError as error:
        return [TrialReading(what="a feed that it links to", url=url, source={"extractor": "feed"}, problem=str(error))]
    return [one for one in trier.readings(asked, linked=True) if one.source["extractor"] == "feed"]


def _fed(one: TrialReading, readings: Sequence[TrialReading], of_comments: Set[str]) -> TrialReading:
    """The settings of a site of pages name the feeds on its own host that lead to them, but those `of_comments`."""
    base = str(one.source.get("base_url"))
    paths = [feed.url.removeprefix(base) for feed in readings
             if feed.source["extractor"] == "feed" and feed.found and feed.url.startswith(f"{base}/")
             and feed.url not in of_comments]
    fed = paths and one.source["extractor"] == "generic"
    return replace(one, source={**one.source, "feeds": paths}) if fed else one


def _unused(
    best: TrialReading | None, feeds: Sequence[str], readings: Sequence[TrialReading], of_comments: Set[str]
) -> tuple[str, ...]:
    """Why settings of a site of pages leave out feeds that the page links to, a sentence each."""
    if best is None or best.source["extractor"] != "generic":
        return ()
    base = str(best.source.get("base_url"))
    used = {f"{base}{path}" for path in best.source.get("feeds", ())}
    told = []
    for feed in feeds:
        reading = next((one for one in readings if one.url == feed and one.source["extractor"] == "feed"), None)
        if feed in used:
            continue
        if reading is None:
            why = "it was not asked for, after those before it"
        elif not reading.found:
            why = f"it can't be read: {otherwise(reading)}"
        elif feed in of_comments:
            why = "it is of comments"
        else:
            why = "it is on another host"
        told.append(f"It links to the feed {printable(feed)}, which these settings leave out: {why}.")
    return tuple(told)


def _rank(one: TrialReading, *, article: bool) -> tuple[int, int, int]:
    """A layout that is known, a list on its own page, a feed, one article; of equal ones what has more dates.

    `article`: the page itself says that it is one, so that a list on it is of other things.
    """
    match one.source["extractor"]:
        case _ if not one.found:
            kind = 0
        case "aitimeline":
            kind = 5
        case "feed":
            kind = 3
        case "generic":
            kind = 2
        case _:
            kind = 1 if article or (one.found < _ENOUGH and one.source["extractor"] != "changelog") else 4
    return kind, one.dated, one.found - one.unread


def _is_article(records: Sequence[Milestone]) -> bool:
    """Whether a page says in its data, not in its headings alone, what it tells of."""
    return any(told.witness in ("json-ld", "microdata") for one in records for told in one.evidence.get("title", ()))


class _Trier:
    """Reads what was had by all that may read it."""

    def __init__(
        self, crew: Crew, now: Callable[[], dt.datetime], allow_hosts: tuple[str, ...], extractor: str | None
    ) -> None:
        self._crew, self._now, self._allow_hosts, self._extractor = crew, now, allow_hosts, extractor

    def page(self, asked: Asked) -> Page:
        return Page(url=asked.url, text=decode(asked.body, asked.content_type))

    def readings(self, asked: Asked, *, render: bool = False, linked: bool = False) -> list[TrialReading]:
        """One for each candidate that reads something; of those that don't, the first that says why.

        `render`: it was rendered, which the settings have to say. `linked`: a feed that the page at hand links to.
        """
        parts = urlsplit(asked.url)
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        base = f"{parts.scheme}://{parts.netloc}"
        kind = asked.content_type.partition(";")[0].strip().casefold()
        wanted = candidates(self.page(asked), path, kind)
        if self._extractor is not None and not linked:
            named = [one for one in wanted if one.extractor == self._extractor]
            wanted = named or [Candidate(self._extractor, {"path": path}, f"read by {self._extractor}")]
        found = [self._reading(candidate, asked, base, path, render=render) for candidate in wanted]
        read = [one for one in found if one.found]
        return read or [one for one in found if one.problem][:1]

    def _reading(
        self, candidate: Candidate, asked: Asked, base: str, path: str, *, render: bool
    ) -> TrialReading:
        key = key_for(asked.url)
        source: dict[str, Any] = {"key": key, "extractor": candidate.extractor, "base_url": base} | (
            {"allow_hosts": list(self._allow_hosts)} if self._allow_hosts else {}
        ) | ({"render": True} if render else {}) | ({"options": dict(candidate.options)} if candidate.options else {})
        told = TrialReading(what=candidate.what, url=asked.url, source=source)
        try:
            reader = SiteReader(ReadBy(source=key, extractor=candidate.extractor, options=candidate.options))
        except SettingsError as error:
            return _without(told, str(error))
        guard = ReadingGuard(reader, self._crew, stopped={}, now=self._now)
        stored = Stored(url=base + path.replace("?", "%3F", 1), snapshot_id=0, body=asked.body,
                        content_type=asked.content_type)
        try:
            if reader.site.classify(urlsplit(stored.url).path) == "listing":
                return _of_cards(told, guard.cards(stored), stored.url)
            answer = guard.records([stored])[0]
            if isinstance(answer, ExtractError):
                raise answer
            unread = guard.unread(stored)
        except ExtractError as error:
            return _without(told, str(error))
        if len(answer) < candidate.least:
            return _without(told, f"{asked.url}: it has no {candidate.least} entries as {candidate.what} has them")
        entries = len(answer) + len(unread)
        newest = next((one.says for one in unread if one.newest), None)
        held = too_much_unread(Counted(known=0, unread=len(unread), entries=entries, unread_newest=newest))
        examples = {name: words for name in FIELDS if (words := dispute(name, answer)[1])}
        return TrialReading(
            what=told.what, url=told.url, source=source, found=len(answer),
            dated=sum(one.date is not None for one in answer),
            entries=tuple(map(_entry, _newest_first(answer)[:SHOWN])), unread=len(unread),
            unread_first=tuple(map(str, unread[:FIRST])), unread_dates=unread_dates(answer), disputed=examples,
            silent=silent(reader.site.settings, [counted(reader.site.settings, answer)]),
            held=unfit(profile(answer)) or held, article=candidate.extractor == "generic" and _is_article(answer),
        )


def _without(told: TrialReading, problem: str) -> TrialReading:
    return TrialReading(what=told.what, url=told.url, source=told.source, problem=problem)


def _of_cards(told: TrialReading, cards: Sequence[Card], url: str) -> TrialReading:
    """A listing, which leads to milestones' pages."""
    known = [card for card in cards if card.key is not None]
    if len(known) < _ENOUGH:
        return _without(told, f"{url}: it lists {len(known)} milestones in this layout")
    newest = sorted(known, key=lambda card: card.date.sort_key if card.date else (0, 0, 0), reverse=True)
    return TrialReading(
        what=told.what, url=told.url, source=told.source, found=len(known),
        dated=sum(card.date is not None for card in known),
        entries=tuple(TrialEntry(key=card.key or "", title=card.title, date=card.date.value if card.date else None,
                                 text=card.summary, url=url) for card in newest[:SHOWN]),
    )


def _newest_first(records: Sequence[Milestone]) -> list[Milestone]:
    return sorted(records, key=lambda one: one.date.sort_key if one.date else (0, 0, 0), reverse=True)


def _entry(record: Milestone) -> TrialEntry:
    return TrialEntry(key=record.key, title=record.title, date=record.date.value if record.date else None,
                      text=in_one_line(record.what_happened), url=record.url)


def key_for(url: str) -> str:
    """A key for a source at this address: its host's own name, or the project's on a forge."""
    parts = urlsplit(url)
    if forge_feeds(url):
        return slugify(parts.path.strip("/").split("/")[1].removesuffix(".git"))[:40].strip("-") or "project"
    labels = (parts.hostname or "site").removeprefix("www.").split(".")
    numbers = all(label.isdecimal() for label in labels)
    return slugify("-".join(labels if numbers or len(labels) < 2 else labels[:-1]))[:40].strip("-") or "site"


def otherwise(one: TrialReading) -> str:
    """What a further way of reading an address came to, in a sentence without its full stop. Pure."""
    if one.problem:
        return printable(one.problem.removeprefix(f"{one.url}: "))
    return f"{number_of(one.found, 'milestone')}, {one.dated} with a date (--extractor {one.source['extractor']})"


def trial_to_json(trial: Trial) -> dict[str, Any]:
    """The form of `source try --json`."""
    return asdict(trial)


# --- into the settings ----------------------------------------------------------------------------------------------


def settings_block(source: Mapping[str, Any]) -> str:
    """The settings of a source as they stand in milepost.toml."""
    import tomlkit

    document = tomlkit.document()
    document["sources"] = _tables(source)
    return tomlkit.dumps(document).strip()


def _tables(source: Mapping[str, Any]) -> Any:
    import tomlkit

    table = tomlkit.table()
    for name, value in source.items():
        if name != "options":
            table[name] = value
    if source.get("options"):
        options = tomlkit.table()
        for name, value in source["options"].items():
            if isinstance(value, Mapping):
                inline = tomlkit.inline_table()
                inline.update(value)
                value = inline
            options[name] = value
        table["options"] = options
    tables = tomlkit.aot()
    tables.append(table)
    return tables


def add_source(file: Path, trial: Trial, *, key: str | None = None) -> dict[str, Any]:
    """Write the settings that read a trial's address into a settings file; what else stands there stays as it is.

    Returns the settings. Raises InputError where nothing could be read or the file can't be written, ConflictError for
    a key or an address that is followed already, SettingsError for a file that is no settings.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    if trial.best is None:
        raise InputError("nothing that could be followed was read there", where=trial.url,
                         hint="See `milepost source try` for what it is.")
    given = read_file(file)
    known = [one for one in given.get("sources", []) if isinstance(one, dict)]
    source = dict(trial.best.source) | ({"key": key} if key else {})
    for one in known:
        if one.get("base_url") == source["base_url"] and one.get("options") == source.get("options"):
            raise ConflictError(f"it is followed already, as {one.get('key')!r}", where=trial.url)
        if one.get("key") == source["key"]:
            raise ConflictError(f"there is a source {source['key']!r} already", where=str(file),
                                hint="Give it another name: --key NAME.")
    try:
        document = tomlkit.parse(file.read_text(encoding="utf-8"))
        tables = _tables(source)
        (tables[0].get("options") or tables[0]).add(tomlkit.nl())
        if "sources" in document:
            document["sources"].append(tables[0])
        else:
            document["sources"] = tables
        text = tomlkit.dumps(document)
        written = tomlkit.parse(text).unwrap()
    except (TOMLKitError, AttributeError, TypeError) as error:
        raise SettingsError(f"a source can't be added to it: {error}", where=str(file),
                            hint=f"Write it there yourself:\n{settings_block(source)}") from None
    parse(written, file=file.name, folder=file.resolve().parent)
    _replace(file, text)
    return source


def _replace(file: Path, text: str) -> None:
    """The whole file or none of it."""
    target = file.resolve()
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        Path(name).chmod(target.stat().st_mode & 0o7777)
        Path(name).replace(target)
    except OSError as error:
        hint = "Check its owner and mode."
        raise InputError(f"can't be written: {error.strerror}", where=str(file), hint=hint) from None
