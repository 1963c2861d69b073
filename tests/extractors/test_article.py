"""Articles: pages without a heading for each part, read by what they say of themselves and by where their words are."""

import json

import pytest

from extractors import dom, registry
from extractors.main_text import main_text
from milepost.errors import ExtractError
from milepost.records import Page
from tests.disagreements import disagreements

FIRST = "The lamp house at Gull Rock was lit for the first time on Tuesday, in front of some forty fishermen."
SECOND = "Its keeper, who had waited eleven years for the lens, let the youngest of them turn the key."
BODY = f"<p>{FIRST}</p><p>{SECOND}</p>"
TEXT = f"{FIRST}\n\n{SECOND}\n"
ADS = "<aside class='newsletter'><p>Write to us, and we shall write to you every Friday about what was lit.</p></aside>"
SITE = "<h1>The Lamp Post</h1>"
ITEM = "itemscope itemtype='https://schema.org/Article'"
URL = "https://lamps.example/news/gull-rock"


def read(body, head="", **options):
    text = f"<html lang='en'><head>{head}</head><body>{body}</body></html>"
    return registry.get("generic", {"milestones": "/news/"} | options).read(Page(url=URL, text=text), source="lamps")


def ld(**node):
    return f'<script type="application/ld+json">{json.dumps({"@type": "NewsArticle"} | node)}</script>'


def told(record, field):
    return [(one.witness, one.where) for one in record.evidence.get(field, ()) if one.says is None]


def test_the_plainest_article():
    record = read(f"<article><h1>Gull Rock is lit</h1><time datetime='2026-03-04'>4 March</time>{BODY}</article>")
    assert (record.title, record.date.value, record.what_happened) == ("Gull Rock is lit", "2026-03-04", TEXT)
    assert record.unknown >= {"why_it_mattered", "people", "organizations"}
    assert disagreements(record.evidence) == ()


@pytest.mark.parametrize("page", [
    f"<h1>The Lamp Post</h1><main><article><h2 class='entry-title'>Gull Rock is lit</h2>{BODY}</article></main>",
    f"<header><h1>The Lamp Post</h1></header><article><h1>Gull Rock is lit</h1>{BODY}</article>",
    f"{SITE}<div {ITEM}><h3 itemprop='headline'>Gull Rock is lit</h3><div itemprop='articleBody'>{BODY}</div></div>",
    f"{SITE}<div class='hentry'><h3 class='p-name'>Gull Rock is lit</h3><div class='e-content'>{BODY}</div></div>",
], ids=["entry", "article", "microdata", "hentry"])
def test_the_articles_headline_comes_before_the_sites_name(page):
    head = "<title>Gull Rock is lit | The Lamp Post</title><meta property='og:site_name' content='The Lamp Post'>"
    record = read(page, head)
    assert (record.title, record.what_happened) == ("Gull Rock is lit", TEXT)


def test_the_headline_of_json_ld_and_of_those_who_share_it():
    page = f"<h1>The Lamp Post</h1><main>{BODY}</main>"
    assert read(page + ld(headline="Gull Rock is lit")).title == "Gull Rock is lit"
    assert read(page, "<meta property='og:title' content='Gull Rock is lit'>").title == "Gull Rock is lit"


def test_a_graph_tells_the_page_where_it_has_no_article():
    graph = {"@graph": [
        {"@type": "WebSite", "name": "The Lamp Post"},
        {"@type": "WebPage", "@id": URL, "name": "Gull Rock is lit", "datePublished": "2026-03-04T09:00:00+01:00"},
    ]}
    record = read(f"<main><h1>Gull Rock is lit</h1>{BODY}</main>"
                  f'<script type="application/ld+json">{json.dumps(graph)}</script>')
    assert (record.date.value, told(record, "date")) == ("2026-03-04", [("json-ld", "WebPage.datePublished")])
    assert ("json-ld", "WebPage.name") in told(record, "title")


@pytest.mark.parametrize(("heading", "title"), [
    ("<span>Coast</span> Gull Rock is lit", "Gull Rock is lit"),
    ("<span>Coast | 4 March 2026</span> Gull Rock is lit", "Gull Rock is lit"),
    ("Forty fishermen: Gull Rock is lit", "Forty fishermen: Gull Rock is lit"),
])
def test_a_rubric_in_the_heading_is_no_part_of_the_headline(heading, title):
    head = "<meta property='og:title' content='Gull Rock is lit'>"
    assert read(f"<main><h1>{heading}</h1>{BODY}</main>", head).title == title


@pytest.mark.parametrize(("head", "page"), [
    ("<title>Lamps.Example » Archive » Gull Rock is lit</title>",
     "<h1>Lamps.Example</h1><main><h2>Gull Rock is lit</h2>{}</main>"),
    ("<title>The coast: Gull Rock is lit</title>", "<h1>Service menu</h1><main><h1>Gull Rock is lit</h1>{}</main>"),
    ("<title>News - Lamps</title><meta property='og:title' content='Gull Rock is lit'>",
     "<main><h1>News</h1><h1>Gull Rock is lit</h1>{}</main>"),
], ids=["host", "end of title", "short"])
def test_what_the_site_is_called_is_known_by_its_host_and_the_headline_by_the_end_of_the_title(head, page):
    assert read(page.format(BODY), head).title == "Gull Rock is lit"
    assert read(f"<main>{BODY}</main>", "<title>Lamps.Example | Gull</title>").title == "Gull"


def test_a_summary_beside_an_article_body_is_no_milestone_s_text():
    page = (f"<div {ITEM}><h1 itemprop='headline'>Gull Rock is lit</h1><p itemprop='description'>A lamp is lit.</p>"
            f"<div itemprop='articleBody'>{BODY}</div></div>")
    assert read(page).what_happened == TEXT
    assert read(page.replace("articleBody", "text")).what_happened == "A lamp is lit."


class TestDates:
    ARTICLE = "<article><h1>Gull Rock is lit</h1>{}" + BODY + "</article>"

    def test_the_moment_of_its_publication_is_no_change_whatever_its_class_says(self):
        at_night = "2026-03-04T23:30:00-04:00"
        times = f"<time class='entry-date updated' datetime='{at_night}'>4 March</time>"
        record = read(self.ARTICLE.format(times) + ld(headline="Gull Rock is lit",
                                                      datePublished="2026-03-05T03:30:00+00:00"))
        assert record.date.value == "2026-03-04"
        record = read(self.ARTICLE.format(times.replace("23:30", "22:10"))
                      + ld(headline="Gull Rock is lit", datePublished="2026-03-05T03:30:00+00:00"))
        assert record.date.value == "2026-03-05"

    def test_a_moment_of_greenwich_is_the_day_of_who_wrote_it(self):
        record = read(self.ARTICLE.format("<time datetime='2026-03-03'>3 March</time>")
                      + ld(headline="Gull Rock is lit", datePublished="Wed, 04 Mar 2026 00:25:56 GMT"))
        assert record.date.value == "2026-03-03"

    @pytest.mark.parametrize(("said", "date"), [
        ("2026-03-05", "2026-03-04"), ("2026-11-17T10:33:13Z", "2026-03-04"), ("2026-03-01T10:33:13Z", "2026-03-01"),
    ])
    def test_the_head_alone_is_not_believed_against_an_earlier_day_that_readers_see(self, said, date):
        record = read(self.ARTICLE.format("<time datetime='2026-03-04'>4 March</time>"),
                      f"<meta property='article:published_time' content='{said}'>")
        assert record.date.value == date
        assert ("date" in str(disagreements(record.evidence))) == (date == "2026-03-04")

    def test_published_and_not_changed(self):
        times = ("<time class='updated' datetime='2026-05-06'>6 May</time>"
                 "<p>Updated: <time datetime='2026-05-07'>7 May</time></p>")
        assert "date" in read(self.ARTICLE.format(times)).unknown
        record = read(self.ARTICLE.format(times + "<time class='published' datetime='2026-03-04'>4 March</time>"))
        assert record.date.value == "2026-03-04"

    def test_a_time_that_tells_of_the_change_that_json_ld_tells(self):
        block = ld(headline="Gull Rock is lit", dateModified="2026-05-06T10:00:00Z")
        assert "date" in read(self.ARTICLE.format("<time datetime='2026-05-06'>6 May</time>") + block).unknown

    def test_two_witnesses_agree(self):
        block = ld(headline="Gull Rock is lit", datePublished="2026-03-04T08:00:00+01:00", dateModified="2026-05-06")
        head = "<meta property='article:published_time' content='2026-03-04T07:00:00Z'>"
        record = read(self.ARTICLE.format("<time datetime='2026-03-04'>4 March</time>") + block, head)
        assert [one for one, _ in told(record, "date")] == ["headings", "json-ld", "meta"]

    def test_a_moment_told_in_utc_is_the_day_of_the_place(self):
        block = ld(headline="Gull Rock is lit", datePublished="2026-03-03T23:30:00Z")
        record = read(self.ARTICLE.format("<time datetime='2026-03-04T00:30:00+01:00'>4 March</time>") + block)
        assert (record.date.value, disagreements(record.evidence)) == ("2026-03-04", ())

    @pytest.mark.parametrize("head", ["date", "dc.date"])
    def test_a_date_of_something_is_none_by_itself(self, head):
        meta = f"<meta name='{head}' content='2026-05-06'>"
        assert "date" in read(self.ARTICLE.format(""), meta).unknown
        block = ld(headline="Gull Rock is lit", datePublished="2026-03-04")
        assert read(self.ARTICLE.format("") + block, meta).date.value == "2026-03-04"

    def test_of_several_times_nobody_says_which_it_is(self):
        times = "<time datetime='2026-03-04'>a</time><time datetime='2026-03-05'>b</time>"
        assert "date" in read(self.ARTICLE.format(times)).unknown

    def test_the_times_of_neighbours_are_not_its_own(self):
        page = self.ARTICLE.format("") + "<ul><li><time datetime='2026-05-06'>6 May</time> Another lamp</li></ul>"
        assert "date" in read(page).unknown


class TestText:
    def test_what_stands_beside_is_left_out_and_lists_and_code_keep_their_shape(self):
        body = (f"<nav><p>{ADS}</p></nav><article><h1>Gull Rock</h1>{ADS}<p>{FIRST}</p>"
                "<ul><li>one lens of glass</li><li>two keepers of it</li></ul><pre>lamp --on\n  rock</pre>"
                f"<p>{SECOND}</p><div class='comments'><p>{SECOND} So I heard.</p></div></article>")
        assert read(body).what_happened == (
            f"{FIRST}\n- one lens of glass\n- two keepers of it\n```\nlamp --on\n  rock\n```\n{SECOND}\n"
        )

    def test_a_text_in_pieces(self):
        piece = "<section class='chunk'><div class='column'>{}</div></section>"
        advert = "<div class='break'><p>Buy a lamp, buy two lamps, buy what you like.</p></div>"
        pieces = f"{piece.format(BODY * 3)}{advert}{piece.format(BODY * 2)}"
        record = read(f"<article><h1>Gull Rock</h1>{pieces}</article>")
        assert record.what_happened.count(SECOND) == 5
        assert "Buy a lamp" not in record.what_happened

    def test_the_body_of_json_ld_is_a_witness_and_the_fuller_one_where_the_page_shows_a_part(self):
        page = f"<article><h1>Gull Rock</h1>{BODY}</article>"
        same = read(page + ld(headline="Gull Rock", articleBody=f"{FIRST}\n{SECOND}"))
        assert [one for one, _ in told(same, "what_happened")] == ["headings", "json-ld"]
        rest = "Nobody had thought of oil. " * 20
        fuller = read(page + ld(headline="Gull Rock", articleBody=f"{FIRST}\n{SECOND}\n{rest}"))
        assert rest.strip() in fuller.what_happened
        block = ld(headline="Gull Rock", articleBody="Something else was written here, in as many words. " * 6)
        other = read(page + block)
        assert (other.what_happened, disagreements(other.evidence)) == (TEXT, ("what_happened",))

    def test_a_summary_is_no_opinion_on_the_text(self):
        page = f"<article><h1>Gull Rock</h1>{BODY}</article>"
        record = read(page + ld(headline="Gull Rock", description="A lamp was lit in the north."))
        assert (record.what_happened, disagreements(record.evidence)) == (TEXT, ())

    def test_a_page_of_links_has_none(self):
        links = "".join(f"<li><a href='/x{n}'>A headline of another page, number {n}</a></li>" for n in range(20))
        with pytest.raises(ExtractError, match="no milestone"):
            read(f"<main><h1>Gull Rock</h1><ul>{links}</ul></main>")

    def test_a_class_that_holds_most_of_the_text_is_no_aside(self):
        assert read(f"<div class='has-sidebar'><h1>Gull Rock</h1>{BODY}</div>").what_happened == TEXT

    def test_a_page_of_many_paragraphs(self):
        found = main_text(dom.fragment("<div>" + "<p>Words that say something, to be weighed.</p>" * 4_000 + "</div>"))
        assert found is not None
        assert len(found.blocks) == 4_000


def test_headings_of_a_milestone_are_read_as_ever():
    sections = f"<h2>What happened</h2><p>{FIRST}</p><h2>Why it mattered</h2><p>{SECOND}</p>"
    record = read(f"<main><h1>Gull Rock</h1>{sections}</main>")
    assert (record.what_happened, record.why_it_mattered) == (FIRST, SECOND)
    assert "date" in record.unknown


@pytest.mark.parametrize(("address", "date"), [
    ("https://lamps.example/events/a-course", None),  # a page of its own here: it is only announced
    ("https://tickets.example/a-course", "2026-05-01"), ("https://lamps.example/en/gull-rock", "2026-05-01"),
    ("https://lamps.example/", "2026-05-01"),
])
def test_an_event_that_a_page_only_announces_is_not_what_it_tells_of(address, date):
    event = {"@type": "Event", "name": "A course in lamps", "startDate": "2026-05-01", "url": address}
    record = read(f"<article><h1>Gull Rock is lit</h1>{BODY}</article>", ld(**event))
    assert (record.date and record.date.value) == date
