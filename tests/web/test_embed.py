"""The form for other sites."""

from typing import Any

from lxml import html

from web.embed import form


def test_it_is_plain_and_posts_to_our_page(settings: Any) -> None:
    printed = form(settings.model_copy(update={
        "newsletter": settings.newsletter.model_copy(update={"name": '<b>"Looms" & Engines'})
    }))
    tree: Any = html.fromstring(printed)
    assert tree.tag == "form"
    assert (tree.get("method"), tree.get("action")) == ("post", "https://timeline.example/subscribe")
    assert not tree.xpath("//script|//img|//link|//iframe|//b")
    assert 'Subscribe to <b>"Looms" & Engines' in tree.text_content()
    assert "chosen on the next page. First comes one mail with a button" in tree.text_content()
    assert "one reminder" in tree.text_content()
    assert {one.get("name") for one in tree.xpath("//input")} == {"email", "website", "source"}


def test_the_field_that_no_reader_sees_sticks_out_of_no_page(settings: Any) -> None:
    """A page that is read from right to left would scroll to whatever is put away on its left."""
    tree: Any = html.fromstring(form(settings))
    [styled] = tree.xpath("//input[@name='website']/ancestor::p/@style")
    style = dict(one.split(":") for one in styled.split(";"))
    assert not {"left", "right", "inset-inline-start", "inset-inline-end"} & {*style}
    assert (style["position"], style["clip-path"], style["overflow"]) == ("absolute", "inset(50%)", "hidden")
