"""Adding and checking a site: the skeleton reads its first page, and the check counts what was read."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from milepost.errors import FetchError, InputError, RefusedError
from milepost.records import Page
from milepost.settings import FetchSettings, Settings
from pipeline.look.scrape import scrape
from pipeline.sources import check_source, start_site
from store.database import connect
from store.issues.issues import Issues
from tests.pipeline import prepared
from tests.pipeline.stage import BreakableSite

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As much of a checkout as a new site needs."""
    shutil.copytree(ROOT / "extractors", tmp_path / "checkout" / "extractors")
    return tmp_path / "checkout"


def _start(
    checkout: Path, site: BreakableSite, path: str, allow_hosts: tuple[str, ...] = ("127.0.0.1",)
) -> object:
    return start_site("clock-work", site.url + path, checkout, fetch=FetchSettings(retries=0), allow_hosts=allow_hosts)


def test_a_new_site_is_one_file_and_one_folder(checkout: Path, site: BreakableSite) -> None:
    key = site.stories[2].key
    started = start_site("clock-work", f"{site.url}/story/{key}", checkout, fetch=FetchSettings(),
                         allow_hosts=("127.0.0.1",))
    module, page, expected = started.files
    assert started.problem is None
    assert module == checkout / "extractors" / "clock_work.py"
    assert page.parent == expected.parent == checkout / "tests" / "sites" / "clock-work"

    spec = importlib.util.spec_from_file_location("clock_work", module)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    written = loaded.ClockWork.configured({})
    address = f"https://clock-work.example/story/{key}"
    record = written.read(Page(url=address, text=page.read_text(encoding="utf-8")), source="clock-work")
    assert record.title == json.loads(expected.read_text(encoding="utf-8"))["title"] == site.stories[2].title


def test_it_overwrites_nothing(checkout: Path, site: BreakableSite) -> None:
    path = f"/story/{site.stories[0].key}"
    _start(checkout, site, path)
    with pytest.raises(InputError, match="is there already"):
        _start(checkout, site, path)


@pytest.mark.parametrize(
    ("path", "values", "error", "sentence"),
    [
        pytest.param("/", {}, InputError, "not a milestone page's address", id="the-home-page"),
        pytest.param("/story/none", {}, FetchError, "it answers 404", id="no-such-page"),
        pytest.param(
            "/story/any", {"allow_hosts": ()}, RefusedError, "give --allow-host", id="a-host-that-nobody-allowed",
        ),
    ],
)
def test_what_can_not_be_had_is_a_sentence_and_leaves_no_file(
    checkout: Path, site: BreakableSite, path: str, values: dict[str, tuple[str, ...]], error: type[Exception],
    sentence: str,
) -> None:
    with pytest.raises(error, match=sentence):
        _start(checkout, site, path, **values)
    assert not (checkout / "extractors" / "clock_work.py").exists()
    assert not (checkout / "tests").exists()


def test_elsewhere_than_in_a_checkout_it_writes_nothing(tmp_path: Path, site: BreakableSite) -> None:
    with pytest.raises(InputError, match="no checkout"):
        _start(tmp_path, site, "/story/any")


def test_the_check_counts_fields_and_witnesses(settings: Settings, site: BreakableSite) -> None:
    prepared.copy("baseline", settings)
    check = check_source(settings, "clockwork")
    fields = {field.field: field for field in check.fields}
    count = len(site.stories)
    assert (check.pages, check.failures) == (count, ())
    assert fields["title"].filled == count
    assert fields["title"].witnesses == {"headings": count, "json-ld": count, "card": count}
    assert all(field.filled + field.empty + field.unknown == count for field in check.fields)


SAVED = ROOT / "tests" / "sites"


def _one_page(settings: Settings, extractor: str, path: str) -> Settings:
    [source] = settings.sources
    options = {"path": path}
    return settings.model_copy(update={
        "sources": (source.model_copy(update={"extractor": extractor, "options": options}),)
    })


def test_on_a_one_page_timeline_a_new_entry_is_news_and_the_rest_is_not(
    settings: Settings, site: BreakableSite
) -> None:
    page = (SAVED / "timelinelist" / "home.html").read_text(encoding="utf-8")
    site.replaced = {"/": page.encode()}
    timeline = _one_page(settings, "timelinelist", "/")
    first = scrape(timeline, "clockwork")
    assert first.baseline
    assert first.failures == ()
    assert first.milestones > 1
    entry = (
        '<li id="umbrella-for-dogs"><time datetime="2031-04">April 2031</time><h3>An umbrella for dogs</h3>'
        "<p>It opened.</p></li>"
    )
    head, ending, tail = page.rpartition("</li>")
    site.replaced["/"] = f"{head}{ending}{entry}{tail}".encode()
    second = scrape(timeline, "clockwork")
    assert {kind: count for kind, count in second.changes.items() if count} == {"added": 1}
    assert (second.baseline, second.failures, second.milestones) == (False, (), first.milestones + 1)
    with connect(timeline.store.url) as database:
        [(change, stored)] = Issues(database).unannounced("instant")
    assert stored.milestone.title == "An umbrella for dogs"
    assert stored.milestone.url == "https://clockwork.example/#umbrella-for-dogs"
    assert change.announce


def test_a_changelog_is_watched_release_by_release(settings: Settings, site: BreakableSite) -> None:
    page = (SAVED / "keepachangelog" / "changelog.html").read_text(encoding="utf-8")
    site.replaced = {"/changelog": page.encode()}
    log = _one_page(settings, "keepachangelog", "/changelog")
    first = scrape(log, "clockwork")
    assert (first.baseline, first.failures) == (True, ())
    again = scrape(log, "clockwork")
    assert (again.fetched, again.not_modified, sum(again.changes.values())) == (0, 1, 0)
