"""What a page of HTML holds, in types: the stubs of lxml know neither an element's text nor what a path finds."""

from lxml import etree


def elements(page: etree._Element, path: str) -> list[etree._Element]:
    """The elements that an XPath finds, in the order of the page."""
    found = page.xpath(path)
    assert isinstance(found, list)
    return [element for element in found if isinstance(element, etree._Element)]


def strings(page: etree._Element, path: str) -> list[str]:
    """The attributes or texts that an XPath finds."""
    found = page.xpath(path)
    assert isinstance(found, list)
    return [str(text) for text in found]


def text_of(element: etree._Element | None) -> str:
    """All text within an element, as a reader sees it: comments and tags left out."""
    assert element is not None
    return str(element.xpath("string()"))
