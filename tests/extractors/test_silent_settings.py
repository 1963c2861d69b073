"""A setting that leads to nothing is counted and said; what may rightly be missing is not."""

from collections.abc import Mapping

import pytest

from extractors import registry
from extractors.silent_settings import Count, counted, counts_from_json, counts_to_json, silent
from milepost.records import Page

ARTICLE = """<!doctype html><html><body><main><article><h1>The lamp is lit</h1>
<time datetime="2031-03-04">4 March</time>
<p>The keepers lit the lamp at dusk, and it burned until the morning without a flicker.</p>
<p>Boats saw it from four miles out.</p>{by}</article></main></body></html>"""


def asked(*looks: tuple[int, int], written: str = ".by a") -> list[dict[str, Count]]:
    """Looks, the latest first, that found `people` on so many of so many."""
    return [{"people": Count(written, asked, found)} for found, asked in looks]


@pytest.mark.parametrize(("looks", "says"), [
    ([(0, 2)], None),  # two articles without people
    ([(0, 3)], "asked for 3 milestones, in vain"),
    ([(0, 1), (0, 2)], "asked for 3 milestones, in vain"),
    ([(1, 12)], None),
    ([(0, 1), (20, 20)], None),
    ([(0, 1), (0, 1), (0, 1), (20, 20)], "for 0 of the last 3"),
    ([(0, 6), (10, 20)], None),  # one of 64 times
    ([(0, 20), (10, 20)], "for 0 of the last 20 milestones, for 10 of 20"),
    ([(2, 20), (20, 20)], "for 2 of the last 20"),
    ([(1, 1), (0, 20), (20, 20)], None),  # it finds again
    ([(0, 900), (900, 900)], "for 0 of the last 900"),
], ids=str)
def test_what_finds_nothing_or_less_than_before_is_said(looks: list[tuple[int, int]], says: str | None) -> None:
    found = silent({"people": ".by a"}, asked(*looks))
    assert (len(found), says is None or says in found[0]) == (says is not None, True)


def test_of_what_each_milestone_has_one_is_enough() -> None:
    assert silent({"title": "h9"}, [{"title": Count("h9", 1, 0)}])


def test_a_setting_that_is_written_anew_or_taken_out_is_over() -> None:
    looks = asked((0, 9))
    assert silent({"people": ".by a"}, looks)
    assert not silent({"people": ".byline a"}, looks)
    assert not silent({}, looks)


def test_counts_are_kept() -> None:
    (counts,) = asked((3, 4))
    assert counts_from_json(counts_to_json(counts)) == counts
    assert counted({"people": ".by a"}, []) == {}


def read(extractor: str, options: Mapping[str, object], url: str, text: str) -> dict[str, tuple[int, int]]:
    site = registry.get(extractor, options)
    records = site.read_many(Page(url=url, text=text), source="lamps")
    return {name: (count.found, count.asked) for name, count in counted(site.settings, records).items()}


def test_pages_are_asked_by_selectors() -> None:
    options = {"milestones": "/news/", "select": {"people": ".by a", "date": "time", "image": ".no img"}}
    url = "https://lamps.example/news/lit"
    assert read("generic", options, url, ARTICLE.format(by='<p class="by">By <a href="/ida">Ida Invented</a></p>')) == {
        "people": (1, 1), "date": (1, 1), "image": (0, 1)}
    assert read("generic", options, url, ARTICLE.format(by="").replace("<time", "<i").replace("</time", "</i")) == {
        "people": (0, 1), "date": (0, 1), "image": (0, 1)}


def test_a_date_that_is_found_and_none_is_not_silent() -> None:
    options = {"milestones": "/news/", "select": {"date": ".when"}}
    page = ARTICLE.format(by='<p class="when">03/04/2031</p>')
    assert read("generic", options, "https://lamps.example/news/lit", page) == {"date": (1, 1)}


def test_entries_are_asked_by_selectors() -> None:
    page = "<!doctype html><html><body><main><ul>{}</ul></main></body></html>".format("".join(
        f'<li class="e"><b>{number} May 2031</b> <a class="t" href="/{number}">Lamp {number} is lit</a></li>'
        for number in range(1, 5)
    ))
    options = {"path": "/", "select": {"entry": "li.e", "title": "a.t", "people": ".who", "link": "a.t"}}
    assert read("list", options, "https://lamps.example/", page) == {
        "title": (4, 4), "people": (0, 4), "link": (4, 4)}


def test_values_are_asked_by_paths_and_columns() -> None:
    data = '{"links": {"next": null}, "of": [{"n": "Lamp one", "id": 1, "by": null}, {"n": "Lamp two", "id": 2}]}'
    options = {"path": "/d.json", "entries": "of", "next": "links.next",
               "fields": {"title": "n", "key": "id", "people": "by", "url": "href"}}
    found = read("json", options, "https://lamps.example/d.json", data)
    assert found == {"title": (2, 2), "key": (2, 2), "people": (0, 2), "url": (0, 2), "next": (2, 2)}
    assert read("json", {**options, "next": "link.next"}, "https://lamps.example/d.json", data)["next"] == (0, 2)
    only = data.replace('{"next": null}', "{}")
    assert read("json", options, "https://lamps.example/d.json", only)["next"] == (2, 2)  # the only page has none
    for wrong in ('{}, "next": "/d.json?page=2"', '{"next": {"href": "/d.json?page=2"}}'):  # one follows
        told = data.replace('{"next": null}', wrong)
        assert read("json", options, "https://lamps.example/d.json", told)["next"] == (0, 2)
    table = "Name,No,By\nLamp one,1,\nLamp two,2,\n"
    options = {"path": "/d.csv", "fields": {"title": "Name", "key": "No", "people": "By"}}
    assert read("csv", options, "https://lamps.example/d.csv", table) == {
        "title": (2, 2), "key": (2, 2), "people": (0, 2)}
