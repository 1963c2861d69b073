"""Pages that an earlier release had read otherwise: what a look makes of them, and what readers get."""

import json
from typing import Any

import pytest

from extractors import article, generic
from extractors import list as one_page
from milepost.records import LookReport, Milestone, Page
from milepost.settings import Settings
from pipeline.dispatch import dispatch, waiting
from pipeline.look.scrape import scrape
from pipeline.publish import publish
from store.database import Database
from store.issues.issues import Issues
from store.milestones.milestones import Milestones
from tests.pipeline import prepared
from tests.pipeline.stage import BreakableSite

SOURCE = "clockwork"
FIRST = "The lamp house was lit for the first time on Tuesday, in front of some forty fishermen and a dog."
SECOND = "Its keeper, who had waited eleven years for the lens, let the youngest of them turn the key."
LAMPS = {"gull-rock": "Gull Rock is lit", "seal-point": "Seal Point is lit", "old-pier": "The old pier is lit",
         "north-cape": "North Cape is lit"}


def put(site: BreakableSite, *, build: int, further: str = "", titles: dict[str, str] = LAMPS) -> None:
    """A site of articles, of which JSON-LD tells a summary and the whole text."""
    links = "".join(f"<li><a href='/news/{key}'>{title}</a></li>" for key, title in titles.items())
    site.replaced["/"] = f"<html><body><ul>{links}</ul></body></html>".encode()
    for key, title in titles.items():
        told = {"@type": "NewsArticle", "headline": title, "description": f"{title}: a summary.",
                "articleBody": f"{title}. {FIRST}\n{SECOND}{further}", "datePublished": f"2026-03-{len(title):02}"}
        site.replaced[f"/news/{key}"] = (
            f"<html lang='en'><head><title>{title} | The Lamp Post</title>"
            f"<script type='application/ld+json'>{json.dumps(told)}</script></head><body class='b{build}'>"
            f"<article><h1>{title}</h1>"
            f"<p>{title}. {FIRST}</p><p>{SECOND}{further}</p></article></body></html>"
        ).encode()


@pytest.fixture
def lamps(settings: Settings) -> Settings:
    [source] = settings.sources
    options = {"milestones": "/news/", "listings": ["/"]}
    return settings.model_copy(update={
        "sources": (source.model_copy(update={"extractor": "generic", "options": options}),)
    })


@pytest.fixture
def told(lamps: Settings, site: BreakableSite, database: Database) -> Settings:
    """Four articles, as the release before read them, the last of them mailed to everybody."""
    prepared.copy("readers", lamps)
    with pytest.MonkeyPatch.context() as before:
        before.setattr(generic.Generic, "version", 1)
        before.setattr(article, "claims", lambda told, *_, **__: list(told))
        put(site, build=1, titles=dict(list(LAMPS.items())[:3]))
        assert scrape(lamps, SOURCE).baseline
        put(site, build=1)
        look(lamps)
        publish(lamps)
        [number] = waiting(lamps)
        dispatch(lamps, number)
        [known] = {one.milestone.what_happened for one in Milestones(database).known(SOURCE).values()
                   if one.milestone.key == "north-cape"}
        assert known == "North Cape is lit: a summary."
    return lamps


def look(settings: Settings) -> tuple[LookReport, dict[str, int]]:
    report = scrape(settings, SOURCE)
    return report, {kind: count for kind, count in report.changes.items() if count}


def mailed(settings: Settings) -> list[int]:
    publish(settings)
    return waiting(settings)


def test_an_extractor_that_reads_more_is_no_correction_and_mails_nobody(
    told: Settings, site: BreakableSite, database: Database
) -> None:
    for build in (2, 3, 4, 5):  # every page changes, nothing that it tells does; the first time their dates are learnt
        put(site, build=build)
        report, changes = look(told)
        assert (report.held, changes) == (None, {"enriched": 4} if build == 2 else {})
        notes = [note for note in report.notes if "read otherwise by generic/5" in note]
        assert len(notes) == (1 if build == 2 else 0)
        assert mailed(told) == []
    for key in LAMPS:
        stored = Milestones(database).get(SOURCE, key)
        assert (stored.version, stored.milestone.what_happened[-20:]) == (2, f"{SECOND}\n"[-20:])
    assert Issues(database).unannounced("instant") == []


def test_what_the_site_itself_tells_otherwise_is_a_correction_as_ever(told: Settings, site: BreakableSite) -> None:
    put(site, build=2, titles=LAMPS | {"north-cape": "South Cape is lit"})
    _, changes = look(told)
    assert changes == {"enriched": 3, "corrected": 1}

    put(site, build=3, further=" It was extinguished in 1950.", titles=LAMPS | {"north-cape": "South Cape is lit"})
    assert look(told)[1] == {"corrected": 4}


def test_what_reads_the_same_is_read_once(
    lamps: Settings, site: BreakableSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared.copy("readers", lamps)
    with pytest.MonkeyPatch.context() as before:
        before.setattr(generic.Generic, "version", 1)
        put(site, build=1)
        assert scrape(lamps, SOURCE).baseline
    read: list[str] = []
    of_page = generic.Generic.read

    def counted(site: generic.Generic, page: Page, **more: Any) -> Milestone:
        read.append(page.url)
        return of_page(site, page, **more)

    monkeypatch.setattr(generic.Generic, "read", counted)
    for build in (2, 3):
        put(site, build=build)
        assert look(lamps)[1] == {}
        assert sorted(read) == sorted(set(read)), "no page is read by two"
        assert len(read) == len(LAMPS)
        read.clear()


def entries(site: BreakableSite, last: int = 4) -> None:
    """A list of four; the day of the last."""
    days = (1, 2, 3, last)
    items = "".join(f"<li><b>{day} May 2026</b> <b>{title}</b><p>{FIRST} {title}.</p></li>"
                    for day, title in zip(days, LAMPS.values(), strict=True))
    site.replaced["/"] = f"<html><body><main><ul>{items}</ul></main></body></html>".encode()


def test_entries_of_one_page_that_another_extractor_read_are_no_correction(
    settings: Settings, site: BreakableSite, database: Database
) -> None:
    [source] = settings.sources
    listed = settings.model_copy(update={"sources": (source.model_copy(update={"extractor": "list"}),)})
    prepared.copy("readers", listed)
    with pytest.MonkeyPatch.context() as before:
        before.setattr(one_page.List, "version", 0)
        words = one_page._words
        before.setattr(one_page, "_words", lambda piece: (words(piece)[0], words(piece)[1][:40]))
        entries(site)
        assert scrape(listed, SOURCE).baseline
    entries(site, last=9)
    report, changes = look(listed)
    assert changes == {"cosmetic": 3, "corrected": 1}
    assert "read otherwise by list/" in " ".join(report.notes)
    [corrected] = Milestones(database).changes(kinds=("corrected",))
    assert ("date", "corrected") in [part[:2] for part in corrected.change.fields]
