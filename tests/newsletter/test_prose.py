"""A text with a shape is shown in it: lists are lists and code is code, in mails, on pages and in feeds, and safely."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from lxml import html as lxml_html

from milepost.records import IssueItem, Milestone
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from milepost.text_shape import in_plain
from newsletter.issue.design import LINES, TODAY
from newsletter.issue.prose import prose
from newsletter.issue.render import Renderer
from pipeline.export import lines, to_jsonld
from web.pages import Pages

ItemMaker = Callable[..., IssueItem]
TEXT = """Kettle 1.2 says `done`.

Added:
- A lamp for `kettle --dusk`
  - of brass
- A whistle
3. Fill it
```
if lid < 1:
    print("<b>{{ 7*7 }}</b>")
```
"""


def drawn(element: Any) -> object:
    """An element as (its tag, its words and elements), attributes left out."""
    within = (part for child in element for part in (drawn(child), child.tail))
    return (element.tag, *(one for one in (element.text, *within) if one))


SHAPE = [
    ("p", "Kettle 1.2 says ", ("code", "done"), "."), ("p", "Added:"),
    ("ul", ("li", "A lamp for ", ("code", "kettle --dusk"), ("ul", ("li", "of brass"))), ("li", "A whistle")),
    ("ol", ("li", "Fill it")),
]
CODE = 'if lid < 1:\n    print("<b>{{ 7*7 }}</b>")'


def parts_of(markup: str, start: str) -> list[object]:
    """The elements from the first that holds those words, five of them."""
    first = next(one for one in lxml_html.fromstring(markup).iter("p") if (one.text or "").startswith(start))
    return [drawn(one) for one in (first, *first.itersiblings())][:5]


@pytest.fixture
def shaped(make_item: ItemMaker) -> IssueItem:
    item = make_item(1)
    return replace(item, milestone=replace(item.milestone, what_happened=TEXT, why_it_mattered="- One `x`\n"))


@pytest.fixture
def mails(newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings) -> Callable[..., Any]:
    def render(item: IssueItem, design: int = TODAY) -> Any:
        return Renderer(newsletter, mail, web, design=design).render(3, "weekly", [item])

    return render


def test_a_mail_has_real_lists_and_code(mails: Callable[..., Any], shaped: IssueItem) -> None:
    variant = mails(shaped)
    assert parts_of(variant.html, "Kettle 1.2") == [*SHAPE, ("pre", CODE)]
    assert '<ol class="b" dir="ltr" start="3"' in variant.html
    assert "<b>" not in variant.html, "what a site writes is never markup"
    assert "`" not in variant.html
    assert "{{" not in variant.html
    assert (
        "Added:\n\n• A lamp for kettle --dusk\n  ◦ of brass\n• A whistle\n\n3. Fill it\n\n    if lid < 1:\n"
        '        print("<b>{{ 7*7 }}</b>")\n\n  ' in variant.text
    )
    assert "  • One x\n" in variant.text


def test_an_issue_of_an_earlier_design_stays_lines(mails: Callable[..., Any], shaped: IssueItem) -> None:
    variant = mails(shaped, LINES)
    assert not re.search("<(?:ul|ol|li|pre|code)[ >]", variant.html)
    assert "A lamp for kettle -&#45;dusk</p>" in variant.html


def test_long_items_hang_behind_their_marks(mails: Callable[..., Any], shaped: IssueItem) -> None:
    long = replace(shaped.milestone, what_happened=f"- {'word ' * 20}\n  10. {'inner ' * 20}\n")
    text = mails(replace(shaped, milestone=long)).text
    assert re.search(r"\n• word .*\n  word .*\n  10\. inner .*\n {6}inner", text)


@pytest.mark.parametrize("text", ["", "One line.", "one\ntwo", "- no item", "`no code`"])
def test_a_text_without_shape_is_paragraphs(text: str) -> None:
    told = [(part.kind, part.text) for part in prose(text)]
    assert told == [("paragraph", line) for line in text.split("\n") if line]
    assert in_plain(text) == text


def test_numbers_and_bullets_are_lists_of_their_own() -> None:
    told = prose("  - deep\n- a\n1. b\n2. c\n- d\n")
    assert [(part.start, [item.mark for item in part.items]) for part in told] == [
        (None, ["•", "•"]), (1, ["1.", "2."]), (None, ["•"])]
    assert prose("- a\n\u202e  - b\x00\n```\nx\u2028y\n\nz\n```\n")[-1].text == "x y\n\nz"


def test_pages_and_feeds_have_the_shape(newsletter: NewsletterSettings, web: WebSettings) -> None:
    shown = Pages(newsletter, web).html(
        "milestone_entry.html.j2", facts_line="", what=prose(TEXT), why=prose("- one\n"), language="en",
        story_url="/t/k", url=None, host="",
    )
    assert parts_of(f"<div>{shown}</div>", "Kettle 1.2") == [*SHAPE, ("pre", ("code", CODE))]
    assert "&lt;b&gt;" in shown


def test_exports_carry_plain_words(shaped: IssueItem) -> None:
    record: Milestone = shaped.milestone
    plain = ("Kettle 1.2 says done.\n\nAdded:\n• A lamp for kettle --dusk\n  • of brass\n• A whistle\n3. Fill it\n"
             '    if lid < 1:\n        print("<b>{{ 7*7 }}</b>")')
    assert in_plain(TEXT) == plain
    assert to_jsonld(record)["description"] == plain
    (_, row) = lines("csv", [record])
    assert "A lamp for kettle --dusk" in row
    assert "`" not in row
    (whole,) = lines("jsonl", [record])
    assert "`done`" in whole, "a whole record is taken in again as it was"


def test_an_item_of_the_other_direction_keeps_its_mark_in_line(
    mails: Callable[..., Any], shaped: IssueItem, newsletter: NewsletterSettings, web: WebSettings
) -> None:
    """A direction on <li> itself takes its mark to the other side of the list."""
    text = "- לבנה חדשה בקיר\n- דלת ברזל\n- A damper of clay\n"
    mail = mails(replace(shaped, milestone=replace(shaped.milestone, what_happened=text))).html
    page = Pages(newsletter, web).html(
        "milestone_entry.html.j2", facts_line="", what=prose(text), why=(), language="he", story_url="/t/k", url=None,
        host="",
    )
    for html in (mail, f"<div>{page}</div>"):
        lists = lxml_html.fromstring(html).iter("ul")
        [items] = [one for one in lists if "A damper" in " ".join(map(str, one.itertext()))]
        assert items.get("dir") == "rtl"
        assert [one.get("dir") for one in items] == ["rtl", "rtl", None]
        assert [one.get("dir") for one in items[2]] == ["ltr"]
