"""What a correction says: old → new per field, in both parts, whatever the texts are."""

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import html as lxml_html

from milepost.dates import PartialDate
from milepost.records import Edit, FieldChange, IssueItem, Standing, Subscriber, Variant
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from newsletter.issue.compose import compose
from newsletter.issue.corrections import _marked, correction_view, net, worth_telling
from newsletter.issue.lint import lint
from newsletter.issue.render import HTML_LIMIT, Renderer
from newsletter.issue.safe import one_line
from newsletter.news.select import offered, place, variants
from newsletter.words.phrases import ENGLISH
from tests.html_page import text_of
from tests.newsletter.reading import links_of

ItemMaker = Callable[..., IssueItem]
NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)


@pytest.fixture
def renderer(newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings) -> Renderer:
    return Renderer(newsletter, mail, web)


@pytest.fixture
def correct(make_item: ItemMaker) -> ItemMaker:
    """A correction of the n-th story's field."""

    def make(number: int, field: str, old: object, new: object, **more: Any) -> IssueItem:
        change_id = more.pop("change_id", 100 + number)
        kind = more.pop("kind", "corrected")
        item = make_item(number, role="correction", first_seen_at=NOW - dt.timedelta(days=7), **more)
        return replace(item, change_id=change_id, fields=(FieldChange(field, kind, old, new),), corrected_at=NOW)

    return make


def date(value: str, *, confirmed: bool = True) -> dict[str, object]:
    return {"value": value, "precision": PartialDate(value=value).precision, "confirmed": confirmed}


@pytest.mark.parametrize(
    ("field", "old", "new", "label", "was", "now"),
    [
        pytest.param("title", "A Clock", "The Clock", "Title", "A Clock", "The Clock", id="title"),
        pytest.param("date", date("1656"), date("1657-06"), "Date", "1656", "June 1657", id="date"),
        pytest.param("date", date("1656", confirmed=False), date("1656"), "Date", "1656", "1656, now certain",
                     id="a date that is settled"),
        pytest.param("date", None, date("1657-06-14"), "Date", "nothing", "14 June 1657", id="a date at last"),
        pytest.param("category", "ai-research", "policy", "Category", "AI research", "Policy", id="category"),
        pytest.param("impact", 4, 5, "Impact", "4 of 5", "5 of 5", id="impact"),
        pytest.param("people", ["Ada"], ["Ada", "Grace"], "People", "Ada", "Ada, Grace", id="people"),
        pytest.param("tags", ["gpu"], [], "Topics", "GPU", "nothing", id="tags"),
        pytest.param("image", {"url": "https://a.example/1", "alt": "A dial"},
                     {"url": "https://a.example/2", "alt": "A dial"},
                     "Picture", "A dial", "another picture", id="image"),
        pytest.param("why_it_mattered", "w " * 90 + "wrong one" + " t" * 90, "w " * 90 + "right" + " t" * 90,
                     "Why it mattered", "… w w w w w wrong one t t t t t …", "… w w w w w right t t t t t …",
                     id="what differs in a long text"),
    ],
)
def test_each_field_says_what_was_and_what_is(
    renderer: Renderer, correct: ItemMaker, field: str, old: object, new: object, label: str, was: str, now: str
) -> None:
    item = correct(1, field, old, new)
    [view] = correction_view([item], phrases=ENGLISH, timezone="UTC").fields
    assert (view.label, view.old, view.new) == (label, was, now)

    variant = renderer.render(3, "weekly", [item], NOW)

    document = lxml_html.document_fromstring(variant.html)
    struck = " ".join(" ".join(text_of(one).split()) for one in document.iter("del"))
    marked = " ".join(" ".join(text_of(one).split()) for one in document.iter("ins"))
    assert struck in was
    assert marked in now
    assert struck or marked
    text = " ".join(variant.text.split()).replace("*", "")
    assert (f"{label} - {was} + {now}" if view.long else f"{label}: {was} -> {now}") in text
    assert now in " ".join(text_of(document).split())
    assert "First seen 16 November 2026 · corrected 23 November 2026" in text


@pytest.mark.parametrize(
    ("field", "old", "new", "html", "text"),
    [
        pytest.param("date", date("1656-07-15"), date("1656-06-15"), ("15 [July] 1656", "15 [June] 1656"),
                     "Date: 15 July 1656 -> 15 June 1656", id="one word of a date"),
        pytest.param("people", ["Ada", "Bo", "Cy Dee"], ["Ada", "Bo"], ("Ada, Bo, [Cy Dee]", "Ada, Bo"),
                     "People: Ada, Bo, Cy Dee -> Ada, Bo", id="a name that is taken out"),
        pytest.param("what_happened", f"A maid{' x' * 20} and then a boy", f"A man{' x' * 20} and then a girl",
                     ("A [maid] x x x x x … x x and then a [boy]", "A [man] x x x x x … x x and then a [girl]"),
                     "- A *maid* x x x x x … x x and then a *boy* + A *man* x x x x x … x x and then a *girl*",
                     id="two places"),
        pytest.param("title", "a 1 b 1 c 1 d", "e 1 f 1 g 1 h", ("[a 1 b 1 c 1 d]", "[e 1 f 1 g 1 h]"),
                     "Title: a 1 b 1 c 1 d -> e 1 f 1 g 1 h", id="written anew"),
    ],
)
def test_changed_words_are_marked_and_no_others(
    renderer: Renderer, correct: ItemMaker, field: str, old: object, new: object, html: tuple[str, str], text: str
) -> None:
    item = correct(1, field, old, new)
    [view] = correction_view([item], phrases=ENGLISH, timezone="UTC").fields
    told = tuple("".join(f"[{one.text}]" if one.changed else one.text for one in side) for side in (view.was, view.now))
    assert told == html
    assert text in " ".join(renderer.render(3, "weekly", [item], NOW).text.split())


def test_an_issue_of_corrections_alone(renderer: Renderer, correct: ItemMaker) -> None:
    items = [correct(1, "impact", 4, 5), correct(3, "title", "H4", "H4: Longitude in a Pocket")]

    variant = renderer.render(3, "weekly", items, NOW)

    assert variant.subject == "Correction: H4: Longitude in a Pocket, and one more"
    assert "NEW ON THE TIMELINE" not in variant.text
    assert variant.text.count("CORRECTED SINCE WE WROTE") == 1
    assert "2 corrections" in variant.text
    levels = [int(e.tag[1]) for e in lxml_html.document_fromstring(variant.html).iter("h1", "h2", "h3")]
    assert levels == [1, 2, 3, 3]
    assert found(renderer, variant, items) == []


def test_news_comes_first_and_the_box_once(renderer: Renderer, correct: ItemMaker, make_item: ItemMaker) -> None:
    items = [correct(3, "impact", 4, 5), make_item(2), make_item(1)]

    text = renderer.render(3, "weekly", items, NOW).text

    assert text.index("NEW ON THE TIMELINE") < text.index("ALSO NEW") < text.index("CORRECTED SINCE WE WROTE")
    assert "2 new milestones, 1 correction" in text


def test_corrections_of_one_milestone_come_to_one(correct: ItemMaker) -> None:
    first, second = correct(1, "impact", 3, 4, change_id=7), correct(1, "impact", 4, 5, change_id=9)

    assert net([first, second]) == (FieldChange("impact", "corrected", 3, 5),)
    assert compose([second, first]).subject == "Correction: The Pendulum Clock"
    back = correct(1, "impact", 4, 3, change_id=9)
    assert worth_telling([first, back]) == []
    assert worth_telling([first, second]) == [first, second]


def test_typography_is_no_correction(correct: ItemMaker) -> None:
    assert net([correct(1, "title", 'A "Clock"', "A “Clock”", kind="cosmetic")]) == ()


def test_a_correction_goes_to_those_who_were_told_whatever_their_topics(
    make_item: ItemMaker, correct: ItemMaker
) -> None:
    news, wrong = make_item(1), correct(3, "impact", 4, 5)
    items = [news, wrong]
    told_wrong = Standing(wrong=frozenset({wrong.change_id}))

    assert offered(items, ()) == (news,)
    assert offered(items, (), told_wrong) == (news, wrong)
    assert offered(items, ("knitting",), told_wrong) == (wrong,)
    assert offered(items, ("navigation",)) == ()


def test_every_reader_is_placed_where_their_corrections_are(make_item: ItemMaker, correct: ItemMaker) -> None:
    items = [make_item(1), correct(3, "impact", 4, 5), correct(5, "impact", 3, 4)]
    readers: list[tuple[tuple[str, ...], frozenset[int]]] = [
        ((), frozenset()), ((), frozenset({103})), ((), frozenset({103, 105})), (("knitting",), frozenset({105})),
        (("knitting",), frozenset()),
    ]
    named = variants(items, [(topics, Standing(wrong=wrong)) for topics, wrong in readers])

    def placed(topics: tuple[str, ...], owed: frozenset[int], rendered: Any = named) -> tuple[str | None, str | None]:
        reader = Subscriber(id=1, address="r@example.org", normalized="r@example.org", state="active",
                            cadence="weekly", topics=topics, created_at=NOW)
        found = place(reader, False, cadence="weekly", items=items, rendered=rendered, drafted_at=NOW,
                      standing=Standing(wrong=owed))
        return found.variant, found.exclusion

    told = [[item.change_id for item in named[placed(*reader)[0] or ""]] for reader in readers[:4]]
    assert told == [[1], [1, 103], [1, 103, 105], [105]]
    assert placed(*readers[4]) == (None, "no_match")
    # what was not foreseen: the news goes out alone, and without any they are owed it
    alone = placed((), frozenset({105}))[0]
    assert [item.change_id for item in named[alone or ""]] == [1]
    assert placed(("knitting",), frozenset({103})) == (None, "owed")


def test_too_many_corrections_are_cut_and_counted(renderer: Renderer, correct: ItemMaker) -> None:
    items = [
        replace(correct(n, "what_happened", f"wrong {n} " * 80, f"right {n} " * 80), milestone_id=n)
        for n in range(1, 201)
    ]

    variant = renderer.render(3, "weekly", items, NOW)

    assert len(variant.html) <= HTML_LIMIT
    shown = variant.html.count("<del>")
    assert 10 < shown < 200
    assert f"{200 - shown} more milestones are on the page" in " ".join(variant.text.split())
    assert found(renderer, variant, items) == []


def test_a_text_that_says_the_same_again_and_again_counts_as_written_anew() -> None:
    """Comparing it word by word would take minutes, at each mail that shows it."""
    old, new = "Once " + "wave and rise " * 90, "Then " + "wave and fall " * 90

    assert [len(side) for side in _marked(old, new, " ", around=None)] == [1, 1]
    assert [len(side) for side in _marked(old[:200], new[:200], " ", around=None)] == [29, 29]


def found(renderer: Renderer, variant: Variant, items: list[IssueItem], intro: str = "") -> list[str]:
    return lint(
        variant, newsletter=renderer.newsletter, mail=renderer.mail, web=renderer.web, items=items, intro=intro
    )


texts = st.text(max_size=50)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from(["title", "what_happened", "category"]), old=texts, new=texts, subject=texts, intro=texts)
def test_any_text_in_a_correction_or_an_edit_is_shown_and_harmless(
    renderer: Renderer, correct: ItemMaker, make_item: ItemMaker, field: str, old: str, new: str, subject: str,
    intro: str,
) -> None:
    items = [make_item(1), correct(3, field, old, new)]

    variant = renderer.render(12, "weekly", items, NOW, edit=Edit(subject=subject, intro=intro))

    document = lxml_html.document_fromstring(variant.html)
    assert variant.html.isascii()
    allowed = {"html", "head", "title", "meta", "style", "body", "div", "table", "tbody", "tr", "td", "p", "h1", "h2",
               "h3", "a", "span", "br", "del", "ins", "strong", "em"}
    assert {element.tag for element in document.iter() if isinstance(element.tag, str)} <= allowed
    assert all(re.match(r"https?://", href) for href in links_of(variant))
    assert "\n" not in variant.subject
    if old != new and field != "category":
        words = "".join(text_of(document).split())
        for text in (old, new):
            assert "".join(one_line(text).split()) in words
            assert "".join(one_line(text).split()).replace("*", "") in "".join(variant.text.split()).replace("*", "")
