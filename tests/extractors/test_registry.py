"""Extractors are found by name; a wrong name says which there are."""

import sys
from importlib.metadata import EntryPoint

import pytest

from extractors import registry
from extractors.base import SiteExtractor, slug_of
from milepost.errors import SettingsError


@pytest.mark.parametrize("name", registry.names())
def test_every_name_gives_an_extractor(name):
    site = registry.get(name)
    assert isinstance(site, SiteExtractor)
    assert site.name == name
    assert site.signature == f"{name}/{site.version}"


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(SettingsError, match=r"no extractor 'aitimelime'.*aitimeline.*sample"):
        registry.get("aitimelime")


def third_party(monkeypatch, value):
    point = EntryPoint(name="theirs", value=value, group=registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == registry.GROUP else [])
    registry._theirs.cache_clear()


@pytest.fixture(autouse=True)
def fresh():
    yield
    registry._theirs.cache_clear()


def test_another_package_may_bring_one(monkeypatch):
    third_party(monkeypatch, "extractors.sample:Sample")
    assert "theirs" in registry.names()
    assert registry.get("theirs").name == "sample"


@pytest.mark.parametrize("value", ["no.such.module:X", "extractors.sample:Missing", "extractors.sample:PLAN"])
def test_a_broken_one_is_a_setting_to_mend(monkeypatch, value):
    third_party(monkeypatch, value)
    with pytest.raises(SettingsError, match=r"theirs|no SiteExtractor"):
        registry.get("theirs")


def test_extractors_are_imported_when_asked_for(monkeypatch):
    monkeypatch.delitem(sys.modules, "extractors.aitimeline", raising=False)
    registry.get("sample")
    assert "extractors.aitimeline" not in sys.modules


@pytest.mark.parametrize(("name", "path", "kind"), [
    ("aitimeline", "/timeline/alexnet-2012", "milestone"),
    ("aitimeline", "/timeline/alexnet-2012/", "milestone"),
    ("aitimeline", "/", "listing"),
    ("aitimeline", "", "listing"),
    ("aitimeline", "/era/birth", "listing"),
    ("aitimeline", "/category/research", "listing"),
    ("aitimeline", "/timeline", "other"),
    ("aitimeline", "/timeline/a/b", "other"),
    ("aitimeline", "/person/ada", "other"),
    ("sample", "/story/caesium-clock", "milestone"),
    ("sample", "/age/water-and-weights", "listing"),
    ("sample", "/art/caesium-clock.svg", "other"),
])
def test_paths_are_classified(name, path, kind):
    assert registry.get(name).classify(path) == kind


@pytest.mark.parametrize(("name", "prefix"), [
    ("aitimeline", "/timeline/"), ("sample", "/story/"), ("generic", "/timeline/"),
])
def test_a_long_slug_is_a_milestone_s_and_its_key(name, prefix):
    site, slug = registry.get(name), "-".join(["a-long-story"] * 25)
    assert site.classify(f"{prefix}{slug}") == "milestone"
    assert site.key(f"https://site.example{prefix}{slug}") == slug


@pytest.mark.parametrize("tail", ["one", "two"])
def test_a_file_s_long_name_is_its_key(tail):
    name = "-".join(["a-long-story"] * 25) + f"-{tail}"
    assert slug_of(f"{name}.html") == name
