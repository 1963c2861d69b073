"""What looks like a milestone and can't be read is told beside what was read, and where it stands."""

from itertools import pairwise

import pytest

from extractors import registry
from extractors.unread import placed, unread
from milepost.dates import PartialDate
from milepost.errors import ExtractError
from milepost.records import Page, Unread

LOG = "https://kettles.example/CHANGELOG.md"


def release(number: int, *, readable: bool, section: str = "### Fixed\n- A lid.") -> str:
    """A release in the changelog's form, or with a word before and a name behind."""
    date = f"20{10 + number // 12:02}-{1 + number % 12:02}-05"
    head = f"## [0.{number}.8] - {date}" if readable else f"## Kettle release 0.{number}.8 “Copper {number}” ({date})"
    return f"{head}\n\n{section}\n"


def changelog(releases: list[str], top: str = "") -> Page:
    return Page(url=LOG, text=f"# Changelog\n\n{top}" + "\n".join(releases))


def puzzles(name: str, page: Page, options: dict[str, object] | None = None) -> tuple[Unread, ...]:
    return registry.get(name, options or {}).unread(page)


class TestAChangelog:
    def test_72_of_120_headings(self):
        releases = [release(number, readable=number < 48) for number in reversed(range(120))]
        page = changelog(releases)
        read = registry.get("keepachangelog", {}).read_many(page, source="kettles")
        told = puzzles("keepachangelog", page)
        assert (len(read), len(told)) == (48, 72)
        assert told[0].says == "Kettle release 0.119.8 “Copper 119” (2019-12-05)"
        assert {one.kind for one in told} == {"heading"}
        assert all(one.newest and one.beyond == "2013-12-05" for one in told)

    def test_where_the_oldest_come_first_the_newest_end_is_the_last(self):
        page = changelog([release(number, readable=0 < number < 8) for number in range(10)])
        assert [one.newest for one in puzzles("keepachangelog", page)] == [False, True, True]

    @pytest.mark.parametrize("line", [
        "## Kettle 1.2.0", "## Changes in version 1.2.0", "## 1.2.0, the quiet one", "## kettle@1.2.0", "## 2013-04-05",
        "## v12", "**v1.2.0 – spring**\n", "1.2.0 / spring\n==============",
        "Release 1.2.0\n-------------", "v1.2.0 (2013-04-05)",
    ])
    def test_what_looks_like_a_release(self, line):
        page = changelog([release(4, readable=True), f"{line}\n\n- A lid.\n", release(3, readable=True)])
        [told] = puzzles("keepachangelog", page)
        assert told.newest is False
        assert told.why
        assert "--" not in told.says

    @pytest.mark.parametrize("line", [
        "## Unreleased", "## 1.2.0 (unreleased)", "## Kettle 1.2.0 - TBD", "## [1.2.0] - YYYY-MM-DD",
        "## Upgrading from 1.2", "## Migrating to Kettle 2.0", "## Support for Hobs 3.1", "### Hob 3.1 is gone",
        "## Links", "## 1.2.x", "## 2013", "- 1.2.0", "## Faster by 12.5%", "It needs 1.2.0 or later.",
        "**Hob 3.1 is gone**", "- Item\n---",
    ])
    def test_what_does_not(self, line):
        page = changelog([release(4, readable=True), f"{line}\n\n- A lid.\n", release(3, readable=True)])
        assert puzzles("keepachangelog", page) == ()

    def test_a_date_that_can_not_be_read_is_a_release_all_the_same(self):
        page = changelog(["## [1.2.0] - 03/04/2013\n\n- A lid.\n"])
        [record] = registry.get("keepachangelog", {}).read_many(page, source="kettles")
        assert record.evidence["unread"]
        assert puzzles("keepachangelog", page) == ()

    def test_a_page_of_markup(self):
        body = "<h2>1.0.0 - 2013-04-05</h2><p>A.</p><h2><b>Kettle 0.9</b></h2>"
        page = Page(url=LOG, text=f"<html><body>{body}</body></html>")
        [told] = puzzles("keepachangelog", page)
        assert (told.says, told.newest) == ("Kettle 0.9", False)

    def test_when_nothing_is_read_the_error_tells_how_many(self):
        page = changelog([release(number, readable=False) for number in range(30)])
        with pytest.raises(ExtractError, match="no milestone on this page: 30 look like one and could not be read, as"):
            registry.get("keepachangelog", {}).read_many(page, source="kettles")

    def test_what_it_says_is_fit_to_be_shown(self):
        page = changelog([release(4, readable=True), f"## Kettle 1.2.0 \x1b[31m\u202e{'long ' * 60}\n\n- A lid.\n"])
        [told] = puzzles("keepachangelog", page)
        assert "\x1b" not in told.says
        assert "\u202e" not in told.says
        assert len(told.says) <= 120


def timeline(entries: list[str], around: str = '<ol>{}</ol>') -> Page:
    body = around.format("".join(entries))
    text = f"<!doctype html><html><body><main><h1>Kettles</h1>{body}</main></body></html>"
    return Page(url="https://kettles.example/", text=text)


def entry(year: int, *, time: bool = True, title: str | None = None, tag: str = "li", attributes: str = "") -> str:
    head = f"<h3>{title if title is not None else f'Kettle of {year}'}</h3>"
    date = f'<time datetime="{year}-05-06">{year}</time>' if time else f'<span class="when">{year}</span>'
    return f"<{tag}{attributes}>{date}{head}<p>A kettle was cast.</p></{tag}>"


class TestATimelineOnOnePage:
    def test_half_of_its_entries_without_a_time(self):
        page = timeline([entry(1900 + number, time=number % 2 == 0) for number in range(40)])
        read = registry.get("timelinelist", {}).read_many(page, source="kettles")
        told = puzzles("timelinelist", page)
        assert (len(read), len(told)) == (20, 20)
        assert told[0].says == "1901 Kettle of 1901 A kettle was cast."
        assert [one.newest for one in told] == [False] * 19 + [True]
        assert told[-1].why == "no <time>"

    @pytest.mark.parametrize(
        ("tag", "attributes"), [("article", ""), ("div", ' class="entry"'), ("section", ' class="e"')]
    )
    def test_whatever_they_are_built_of(self, tag, attributes):
        years = (1900, 1910, 1920)
        page = timeline([entry(year, time=year != 1910, tag=tag, attributes=attributes) for year in years], "{}")
        assert len(puzzles("timelinelist", page)) == 1

    def test_an_entry_without_a_heading_or_with_an_empty_one(self):
        bare = '<li><time datetime="1911-01-02">1911</time><p>A kettle burst.</p></li>'
        page = timeline([entry(1900), bare, entry(1912, title=""), entry(1913, title="undefined"), entry(1920)])
        assert [one.why for one in puzzles("timelinelist", page)] == [
            "no heading", "neither an anchor nor a title",
            "the title is 'undefined': the page was made without its data",
        ]
        assert len(registry.get("timelinelist", {}).read_many(page, source="kettles")) == 2

    def test_what_else_stands_on_the_page_is_no_entry(self):
        about = "<div><h3>About</h3><p>By hand.</p></div><section><h2>Sources</h2><ul><li>A book</li></ul></section>"
        faq = "<ul><li><h3>Why kettles?</h3><p>For tea.</p></li></ul>"
        page = timeline([entry(1900), entry(1910)], f"{about}<ol>{{}}</ol>{faq}")
        assert puzzles("timelinelist", page) == ()


def card(slug: str, title: str, year: int, *, href: str | None = None) -> str:
    return (
        f'<article class="card"><time datetime="{year}-05-06">{year}</time>{f"<h3>{title}</h3>" if title else ""}'
        f'<p>A kettle was cast.</p><a href="{href if href is not None else f"/timeline/{slug}"}">Read on</a></article>'
    )


class TestAListing:
    def listing(self, *cards: str, before: str = "") -> tuple[Unread, ...]:
        text = f"<!doctype html><html><body>{before}<main>{''.join(cards)}</main></body></html>"
        return puzzles("generic", Page(url="https://kettles.example/", text=text))

    def test_a_card_without_a_title(self):
        told = self.listing(card("c", "", 1930), card("b", "Copper", 1920), card("a", "Tin", 1910))
        assert [(one.kind, one.key, one.newest, one.beyond) for one in told] == [("card", "c", True, "1920-05-06")]

    def test_an_address_without_a_key(self):
        told = self.listing(
            card("b", "Copper", 1920), card("", "Brass", 1915, href="/timeline/1915/brass"), card("a", "Tin", 1910),
        )
        assert [(one.kind, one.says, one.why, one.newest) for one in told] == [
            ("link", "Brass", "no key in /timeline/1915/brass", False)
        ]

    def test_what_is_built_like_a_card_and_leads_to_no_milestone(self):
        told = self.listing(card("b", "Copper", 1920), card("", "Brass", 1915, href="#brass"), card("a", "Tin", 1910))
        assert [(one.kind, one.says) for one in told] == [("card", "Brass")]

    def test_the_same_card_elsewhere_makes_up_for_it(self):
        assert self.listing(card("b", "", 1920), card("b", "Copper", 1920), card("a", "Tin", 1910)) == ()

    def test_links_and_lists_that_are_no_cards(self):
        menu = (
            '<nav><ul><li><a href="/timeline/b">Copper</a></li><li><a href="/timeline/page/2">Older</a></li>'
            '<li><h4>More</h4><a href="/about">About</a></li></ul></nav>'
        )
        assert self.listing(card("b", "Copper", 1920), card("a", "Tin", 1910), before=menu) == ()

    def test_a_milestone_page_has_none(self):
        page = Page(url="https://kettles.example/timeline/b", text=f"<html><body>{card('c', '', 1930)}</body></html>")
        assert puzzles("generic", page) == ()


class TestWhereItStands:
    def test_dates_that_go_up_and_down_have_no_newest_end(self):
        dates = [PartialDate(value=str(year)) for year in (1950, 1910, 1940, 1920, 1930)]
        assert all(one > other or one < other for one, other in pairwise(date.value for date in dates))
        told = placed([unread("card", "a", "b"), *dates, unread("card", "c", "d")])
        assert [one.newest for one in told] == [False, False]

    def test_without_dates_the_page_has_the_order_of_its_kind(self):
        found = [unread("card", "a", "b"), None, unread("card", "c", "d")]
        assert [one.newest for one in placed(found)] == [True, False]
        assert [one.newest for one in placed(found, newest_first=None)] == [False, False]


@pytest.mark.parametrize("name", ["aitimeline", "generic", "keepachangelog", "sample", "timelinelist"])
def test_the_saved_pages_are_understood(name, saved):
    site = saved(name)
    assert [one.says for page in site.pages.values() for one in site.site.unread(page)] == []
