"""An editor's introduction: a little Markdown, shown in both parts, and nothing of it acts."""

import datetime as dt
from collections.abc import Callable

import pytest
from lxml import html as lxml_html

from milepost.records import Edit, IssueItem
from milepost.settings import MailSettings, NewsletterSettings, WebSettings
from newsletter.issue.intro import Block, Span, blocks
from newsletter.issue.lint import lint
from newsletter.issue.render import Renderer
from tests.newsletter.reading import links_of

ItemMaker = Callable[..., IssueItem]
NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)

MARKDOWN = """\
Dear **readers**,
*two* things today:

- one about [quartz](https://example.org/q "t")
- one about caesium

1. first
2. <https://example.org/x>
"""


def test_paragraphs_points_and_links() -> None:
    found = blocks(MARKDOWN)

    assert [(block.kind, block.mark, block.text) for block in found] == [
        ("paragraph", "", "Dear readers, two things today:"),
        ("point", "•", "• one about quartz"), ("point", "•", "• one about caesium"),
        ("point", "1.", "1. first"), ("point", "2.", "2. https://example.org/x"),
    ]
    assert found[0].spans[:2] == (Span(text="Dear "), Span(text="readers", strong=True))
    assert found[1].links == ("https://example.org/q",)


@pytest.mark.parametrize(
    "markdown",
    [
        "<script>alert(1)</script>", "<b onclick=x>bold</b>", "![pixel](https://p.example.org/p.gif)",
        "[x](javascript:alert(1))", "[x](data:text/html,x)", "{{ 7*7 }} {% include 'x' %}", "<!-- x --> <mj-raw>",
        "    code\n\n```\nmore\n```", "| a | b |\n|---|---|\n| c | d |",
    ],
)
def test_nothing_in_it_acts(
    newsletter: NewsletterSettings, mail: MailSettings, web: WebSettings, make_item: ItemMaker, markdown: str
) -> None:
    renderer = Renderer(newsletter, mail, web)
    items = [make_item()]

    variant = renderer.render(1, "weekly", items, NOW, edit=Edit(intro=markdown))

    document = lxml_html.document_fromstring(variant.html)
    assert not list(document.iter("script", "img", "iframe", "b"))
    assert document.xpath("//@onclick") == []
    assert all(href.startswith("https://") for href in links_of(variant))
    assert lint(variant, newsletter=newsletter, mail=mail, web=web, items=items, intro=markdown) == []


def test_no_words_are_no_blocks() -> None:
    assert blocks(" \n\n ") == blocks("") == ()
    assert blocks("a\\\nb") == (Block(kind="paragraph", spans=(Span(text="a"), Span(text="\n"), Span(text="b"))),)


@pytest.mark.parametrize("parting", ["\n\n", "\r\n\r\n", "\n \n", "\n\x07\n"], ids=["LF", "CRLF", "space", "control"])
def test_an_empty_line_parts_paragraphs(parting: str) -> None:
    assert [block.text for block in blocks(f"one{parting}two\nthree")] == ["one", "two three"]
