"""Selectors of a source's settings: a witness of their own, in CSS or XPath, whatever part of the page is cut out."""

import pytest

from extractors import dom, registry
from milepost.errors import SettingsError
from milepost.records import Page
from newsletter.news.contested import voices
from tests.disagreements import disagreements

TEXT = """<html lang="en"><head><meta name="when" content="2026-03-04"></head>
<body><div class="top"><p class="by">Ida Voss, Piet Holm</p></div><main><h1>Gull Rock is lit</h1>
<div class="intro"><p>Write to us, and we shall write to you of it.</p></div>
<div class="words"><p>The lamp was lit by its keeper on a Tuesday.</p>
<ul><li>one lens</li><li>two keepers</li></ul></div>
<p class="kind">Lights</p><img class="big" src="/rock.jpg" alt="The rock"></main></body></html>"""
SELECT = {
    "title": "main h1", "date": "meta[name=when]::attr(content)", "what_happened": "div.words", "people": "p.by",
    "category": "xpath:.//p[@class='kind']", "image": "img.big",
}


def read(select, text=TEXT):
    site = registry.get("generic", {"milestones": "/news/", "select": select})
    return site.read(Page(url="https://rock.example/news/lit", text=text), source="rock")


def test_each_field_stands_where_the_settings_say():
    record = read(SELECT)
    assert (record.title, record.date.value, record.category) == ("Gull Rock is lit", "2026-03-04", "lights")
    assert record.what_happened == "The lamp was lit by its keeper on a Tuesday.\n- one lens\n- two keepers\n"
    assert (record.people, record.image.url) == (("Ida Voss", "Piet Holm"), "https://rock.example/rock.jpg")
    assert [record.evidence[name][0].witness for name in SELECT] == ["selector"] * len(SELECT)


def test_the_cut_reads_as_the_whole_page(monkeypatch):
    fast = read(SELECT)
    monkeypatch.setattr(dom, "cut", lambda _: None)
    assert read(SELECT) == fast


def test_another_witness_that_differs_is_on_record_and_one_that_sees_the_same_element_is_no_second_voice():
    block = '<script type="application/ld+json">{"@type": "NewsArticle", "headline": "The rock"}</script>'
    record = read({"title": "main h1"}, TEXT.replace("</main>", f"</main>{block}"))
    assert (record.title, disagreements(record.evidence)) == ("Gull Rock is lit", ("title",))
    assert voices(one for one in record.evidence["title"] if one.says is None) == {"headings"}


def test_what_is_not_found_is_left_to_the_others():
    record = read({"title": "h2.none", "what_happened": "div.none", "date": "time"})
    assert record.title == "Gull Rock is lit"
    assert "The lamp was lit" in record.what_happened
    assert "date" in record.unknown


@pytest.mark.parametrize(("select", "sentence"), [
    ({"title": "h1["}, "is no CSS selector"), ({"title": "xpath:.//h1["}, "is no XPath"),
    ({"headline": "h1"}, "nothing to select for 'headline'"), ({"related": "h1"}, "nothing to select"),
    ({"entry": "li"}, "nothing to select for 'entry'"),
])
def test_what_is_no_selector_is_said(select, sentence):
    with pytest.raises(SettingsError, match=sentence):
        registry.get("generic", {"select": select})


def test_entries_of_a_list():
    text = """<html lang="en"><body><div><p class="x" data-day="1931-03-12"><i>The lens</i> is set. <u>Ida Voss</u>
    <a class="more" href="/pages/lens.html">more</a></p><p class="x"><i>A keeper</i></p></div>
    <p class="x" data-day="1931-05"><i>A boat</i></p></body></html>"""
    options = {"path": "/history", "select": {
        "entry": "p.x", "title": "i", "date": "xpath:string(@data-day)", "people": "u", "link": "a.more",
    }}
    site, page = registry.get("list", options), Page(url="https://rock.example/history", text=text)
    records = site.read_many(page, source="rock")
    assert [(one.key, one.title, one.date and one.date.value, one.people) for one in records] == [
        ("lens", "The lens", "1931-03-12", ("Ida Voss",)), ("a-boat", "A boat", "1931-05", ()),
    ]
    assert [(one.says, one.why) for one in site.unread(page)] == [("A keeper", "no date")]
