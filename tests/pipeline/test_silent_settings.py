"""A source whose setting leads to nothing is degraded, everywhere, until a look finds it or the setting is no more."""

from collections.abc import Mapping
from pathlib import Path

from milepost.dates import utc_now
from milepost.settings import Settings, parse
from pipeline.doctor import examine
from pipeline.look.scrape import report_to_json, scrape
from pipeline.operate.conditions import judge
from pipeline.sources import check_source, tried_to_json, try_source
from store.database import connect
from store.milestones.looks import Looks
from store.operators.figures import read
from tests.new_database import new_database
from tests.pipeline.test_unread import NoRecords, Site, site  # noqa: F401  (a fixture)


def settings_of(at: Site, folder: Path, select: Mapping[str, str]) -> Settings:
    return parse({
        "store": {"url": f"sqlite:///{folder}/milepost.db"},
        "sources": [{
            "key": "lamps", "extractor": "list", "options": {"path": "/changelog", "select": dict(select)},
            "base_url": "https://lamps.example", "fetch_from": f"http://127.0.0.1:{at.server.server_port}",
            "allow_hosts": ["127.0.0.1"],
        }],
    })


def page(entries: int, by: str = "by") -> str:
    items = "".join(f'<li>{number} May 2031: Lamp {number} is lit. <i class="{by}">Ida Invented</i></li>'
                    for number in range(1, entries + 1))
    return f"<!doctype html><html><body><main><h1>Lamps</h1><ul>{items}</ul></main></body></html>"


def alarms(settings: Settings) -> list[tuple[str, str]]:
    with connect(settings.store.url) as database:
        figures = read(database, ["lamps"], looks=5, now=utc_now())
    found = judge(figures, settings.notify, now=utc_now(), waits=(), overdue={})
    return [(one.kind, one.says) for one in found if one.kind == "setting-silent"]


def test_a_selector_that_finds_nothing_degrades_its_source_until_it_does(
    site: Site, tmp_path: Path  # noqa: F811
) -> None:
    misspelt = settings_of(site, tmp_path, {"people": ".bye"})
    new_database(misspelt.store.url)
    site.text = page(4)
    tried = try_source(misspelt, "lamps")
    assert tried_to_json(tried)["settings"]["people"] == {"written": ".bye", "asked": 4, "found": 0}

    report = scrape(misspelt, "lamps")
    assert report.state == "degraded"
    assert report.baseline
    assert report_to_json(report)["settings"]["people"]["found"] == 0
    (sentence,) = report.degraded
    assert "the setting people = “.bye” finds nothing: asked for 4 milestones" in sentence
    assert any(sentence in one.says and one.ok is not True for one in examine(misspelt, resolver=NoRecords()))
    assert [kind for kind, _ in alarms(misspelt)] == ["setting-silent"]
    assert check_source(misspelt, "lamps").silent == report.degraded
    assert scrape(misspelt, "lamps").state == "degraded", "a page that is as it was tells nothing new"

    mended = settings_of(site, tmp_path, {"people": ".by"})
    assert not check_source(mended, "lamps").silent
    assert scrape(mended, "lamps").degraded == ()
    assert not alarms(mended)
    site.text = page(5)
    report = scrape(mended, "lamps")
    assert report.settings["people"]["found"] == 5
    site.text = page(6, by="who")
    report = scrape(mended, "lamps")
    assert "for 0 of the last 6 milestones, for 9 of 9" in " ".join(report.degraded)
    assert alarms(mended)
    site.text = page(7)
    assert scrape(mended, "lamps").degraded == ()
    assert not alarms(mended)

    with connect(mended.store.url) as database:
        assert [len(look.silent) for look in Looks(database).list("lamps")] == [0, 1, 0, 0, 1, 1]
