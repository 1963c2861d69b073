"""Witnesses differ only when their meanings can't both be true: what cards, marks, coarse dates and cuts tell."""

import pytest

from extractors import registry
from milepost.codec import card_from_json, card_to_json
from milepost.dates import PartialDate
from milepost.records import Page
from tests.disagreements import disagreements

STARS = '<span aria-label="Impact: 5 out of 5">★★★★★</span>'
PERSON = '<span class="text-[11px] text-[#94a3b8]">Ines de la Cruz</span>'


def card_page(*cards):
    """A listing in an older build: links with a heading, a paragraph and small labels."""
    links = "".join(
        f'<a href="/timeline/{slug}"><time datetime="{date}">{date}</time><span>Research</span><h3>{title}</h3>'
        f"<p>{title} was lit.</p>{labels}</a>"
        for slug, date, title, labels in cards
    )
    text = f"<!doctype html><html><body><main>{links}</main></body></html>"
    return Page(url="https://timeline.example/era/harbour", text=text)


def the_cards(*cards):
    return registry.get("aitimeline").cards(card_page(*cards))


class TestCards:
    def test_stars_after_the_title_are_the_impact_and_nobodys_name(self):
        (card,) = the_cards(("lamp", "2031", "The lamp", STARS + PERSON))
        assert (card.impact, card.people, card.organizations) == (5, ("Ines de la Cruz",), ())

    @pytest.mark.parametrize("mark", ["★★★★☆", "4 / 5", "Impact: 4 out of 5", "14 September 2031", "·", "2031"])
    def test_a_mark_is_no_name(self, mark):
        (card,) = the_cards(("lamp", "2031", "The lamp", f"<span>{mark}</span>{PERSON}"))
        assert (card.people, card.organizations) == (("Ines de la Cruz",), ())

    @pytest.mark.parametrize("shown", ["", PERSON], ids=["none", "one of three"])
    def test_a_card_speaks_for_the_names_that_it_shows(self, aitimeline, shown):
        page = aitimeline.pages["timeline.harbour-pilot-2031"]
        cards = the_cards(("harbour-pilot-2031", "2031-09", "The Pilot That Asks: “Are You Sure?”", shown))
        read = aitimeline.site.read(page, source="a", cards=[("https://timeline.example/era/harbour", cards[0])])
        assert len(read.people) == 3
        assert disagreements({"people": read.evidence["people"]}) == ()

    def test_a_card_that_shows_somebody_else_differs(self, aitimeline):
        page = aitimeline.pages["timeline.harbour-pilot-2031"]
        (card,) = the_cards(("harbour-pilot-2031", "2031-09", "T", PERSON.replace("Ines", "Olga")))
        read = aitimeline.site.read(page, source="a", cards=[("https://timeline.example/era/harbour", card)])
        assert disagreements({"people": read.evidence["people"]}) == ("people",)


class TestDates:
    def test_a_listing_that_prints_years_alone_settles_no_date(self):
        cards = the_cards(("lamp", "2025", "The lamp", ""), ("bell", "2024", "The bell", ""))
        assert [card.date for card in cards] == [
            PartialDate(value="2025", confirmed=False), PartialDate(value="2024", confirmed=False),
        ]

    def test_a_listing_that_prints_months_where_it_knows_them_settles_a_year(self):
        cards = the_cards(("lamp", "2025", "The lamp", ""), ("bell", "2024-03", "The bell", ""))
        assert all(card.date.confirmed for card in cards)

    def test_whether_a_card_settles_its_date_is_kept(self):
        (card,) = the_cards(("lamp", "2025", "The lamp", ""))
        assert card_from_json(card_to_json(card)) == card
        settled = card._replace(date=PartialDate(value="2025"))
        assert "date_confirmed" not in card_to_json(settled)
        assert card_from_json(card_to_json(settled)) == settled

    @pytest.mark.parametrize(("other", "confirmed"), [("2024", False), ("2024-03", True)])
    def test_a_padded_date_is_settled_by_a_listing_that_tells_months(self, aitimeline, other, confirmed):
        page = aitimeline.pages["timeline.open-almanac-2033"]
        assert '"datePublished":"2033-01-01"' in page.text
        cards = the_cards(("open-almanac-2033", "2033", "T", ""), ("bell", other, "The bell", ""))
        read = aitimeline.site.read(page, source="a", cards=[("https://timeline.example/era/harbour", cards[0])])
        assert read.date == PartialDate(value="2033", confirmed=confirmed)
