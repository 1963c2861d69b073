"""Whatever a page or a text holds: a record or an ExtractError, never anything else."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extractors import names, registry
from extractors.clean import TEXT_CAP, TITLE_CAP
from milepost.codec import milestone_from_json, milestone_to_json
from milepost.errors import ExtractError
from milepost.records import Page

SITES = {"aitimeline": "https://timeline.example/timeline/x", "sample": "https://clockwork.example/story/x"}
FAST = settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

words = st.text(max_size=40) | st.sampled_from([
    "What Happened", "Why It Mattered", "Key People", "Impact level 5 of 5", "★★★", "2012-09", "2012", "Part of",
    "#tag", "undefined", "4 / 5", "Frequently asked questions", "Ada LovelaceIBM",
])
tags = st.sampled_from([
    "main", "article", "header", "h1", "h2", "h3", "p", "ul", "li", "a", "time", "dl", "dt", "dd", "div", "span", "img",
    "section", "nav", "script", "svg", "b", "br", "table",
])
attributes = st.dictionaries(
    st.sampled_from(["href", "datetime", "aria-label", "class", "src", "alt", "id"]),
    st.sampled_from(["/timeline/y", "/story/y", "/category/research", "/theme/a", "/tag/b", "Impact level 3 of 5",
                     "2012", "border", "x-details", "javascript:x", "https://a.example/b.png", "", "\x00",
                     "Breadcrumb"]),
    max_size=3,
)
markup = st.recursive(
    words,
    lambda inner: st.builds(
        lambda tag, attrs, children, closed: (
            "<" + tag + "".join(f' {name}="{value}"' for name, value in attrs.items()) + ">"
            + "".join(children) + (f"</{tag}>" if closed else "")
        ),
        tags, attributes, st.lists(inner, max_size=5), st.booleans(),
    ),
    max_leaves=30,
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["@type", "@graph", "headline", "description", "about", "author", "name", "organizer",
                         "image", "url", "keywords", "datePublished", "mentions", "itemListElement", "item"]),
        inner, max_size=5,
    ),
    max_leaves=15,
)
blocks = st.builds(
    lambda data, kind: '<script type="application/ld+json">' + json.dumps(
        {"@type": kind, **data} if isinstance(data, dict) else data) + "</script>",
    values, st.sampled_from(["Article", "BreadcrumbList", "FAQPage", "Person"]),
)


def check(milestone):
    assert milestone.title == " ".join(milestone.title.split())
    assert 0 < len(milestone.title) <= TITLE_CAP
    assert max(len(milestone.what_happened), len(milestone.why_it_mattered)) <= TEXT_CAP
    assert milestone.image is None or milestone.image.url is None or milestone.image.url.startswith("http")
    assert all(milestone.evidence.get(name) for name in ("title", "people", "tags") if name not in milestone.unknown)
    assert milestone_from_json(milestone_to_json(milestone)) == milestone


@FAST
@given(pieces=st.lists(markup, max_size=6), ld=st.lists(blocks, max_size=3), main=st.booleans(),
       skeleton=st.booleans(), source=st.sampled_from(list(SITES)))
def test_pages(pieces, ld, main, skeleton, source):
    site = registry.get(source)
    body = "".join(pieces)
    if skeleton:  # else hardly any page would be a milestone
        body = f"<article><h1>A title</h1>{body}<h2>What Happened</h2><p>Something did.</p>{body}</article>"
    text = f"<html><body>{''.join(ld)}{f'<main>{body}</main>' if main else body}</body></html>"
    page = Page(url=SITES[source], text=text)
    try:
        cards = site.cards(page)
        milestone = site.read(page, source=source, cards=[("https://a.example/", card) for card in cards])
    except ExtractError:
        return
    check(milestone)


@FAST
@given(lines=st.lists(words | st.sampled_from(["", "", "Related Milestones", "Tags", "Organizations", "Research"]),
                      max_size=40), source=st.sampled_from(list(SITES)))
def test_texts(lines, source):
    try:
        milestone = registry.get(source).read_text("\n".join(lines), source=source, url="x")
    except ExtractError:
        return
    check(milestone)


@FAST
@given(st.text(max_size=300))
def test_any_text_at_all(text):
    site = registry.get("aitimeline")
    for read in (lambda: site.read(Page(url=SITES["aitimeline"], text=text + "</html>"), source="a"),
                 lambda: site.read_text(text, source="a", url="x")):
        try:
            check(read())
        except ExtractError:
            continue


@FAST
@given(st.text(alphabet="AaBb &'.,é-1", max_size=80), st.text(max_size=40))
def test_names(raw, prose):
    told = names.split(raw, prose=prose)
    assert 0 <= told.confidence <= 1
    letters = "".join("".join((*told.people, *told.organizations)).split())
    assert set(letters) <= set("".join(raw.split()))
