"""What a reader sees of a rendered issue, and that nothing in it acts."""

import re

from lxml import html as lxml_html

from milepost.records import IssueItem, Variant
from newsletter.issue.lint import lint
from newsletter.issue.render import Renderer
from tests.html_page import strings


def shown(variant: Variant) -> tuple[str, str]:
    """The words of the HTML and of the text part, single-spaced."""
    words = strings(lxml_html.document_fromstring(variant.html), "//body//text()")
    return " ".join(" ".join(words).split()), " ".join(variant.text.split())


def squeezed(text: str) -> str:
    """Without any space, so that a line break in one part and a tag in the other make no difference."""
    return "".join(text.split())


def findings(renderer: Renderer, variant: Variant, items: list[IssueItem]) -> list[str]:
    return lint(variant, newsletter=renderer.newsletter, mail=renderer.mail, web=renderer.web, items=items)


def links_of(variant: Variant) -> set[str]:
    """Where the HTML links to, without the recipient's own links."""
    linked = {str(element.get("href", "")) for element in lxml_html.document_fromstring(variant.html).iter("a")}
    return linked - {variant.placeholder, f"{variant.placeholder}/preferences"}


def assert_tame(variant: Variant) -> None:
    """Nothing in the HTML acts: no script, frame, handler, foreign scheme or include, and nothing but ASCII."""
    assert variant.html.isascii()
    assert "\x00" not in variant.html
    document = lxml_html.document_fromstring(variant.html)
    allowed = {
        "html", "head", "title", "meta", "style", "body", "div", "table", "tbody", "tr", "td", "p", "h1", "h2", "h3",
        "a", "span", "br", "img", "del", "ins", "strong", "em",
    }  # fmt: skip
    assert {element.tag for element in document.iter() if isinstance(element.tag, str)} <= allowed
    for element in document.iter(*allowed):
        assert not [name for name in element.attrib if str(name).lower().startswith("on")]
    assert "position:fixed" not in " ".join(element.get("style", "") for element in document.iter(*allowed))
    assert all(link.startswith("https://") for link in links_of(variant))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", variant.text)
    variant.text.encode("utf-8")
