"""Which image of a page is the milestone's picture: what is there to be looked at, wherever its address stands."""

import pytest

from extractors import dom, pictures, registry
from extractors.dom import base_of
from milepost.records import Page

URL = "https://dams.example/timeline/dam"
REAL = '<img src="/img/dam.jpg" alt="The dam from the east">'
DAM = "https://dams.example/img/dam.jpg"
GIF = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


def page(inside, head=""):
    return (
        f'<!doctype html><html lang="en"><head><title>x</title>{head}</head><body><main><article>'
        f"<header><h1>The dam</h1><time>1932</time></header>{inside}"
        "<h2>What happened</h2><p>It was built.</p></article></main></body></html>"
    )


def image(inside, head=""):
    found = registry.get("generic", {}).read(Page(url=URL, text=page(inside, head)), source="dams")
    return found.image and found.image.url


@pytest.mark.parametrize("junk", [
    '<img src="https://count.example/i.gif?page=dam" width="1" height="1">',
    '<img src="/x.png" width=1 height=1 alt="x">',
    '<img src="https://count.example/i?page=dam" alt="">', '<img src="/line.gif" width="600" height="1">',
    '<img src="/x.png" style="width:1px; height:1px">', '<img src="/x.png" style="display: none" alt="Hidden">',
    '<img src="/x.png" hidden alt="Hidden">', '<div hidden><img src="/x.png" alt="Hidden"></div>',
    '<div style="visibility:hidden"><p><img src="/x.png" alt="Hidden"></p></div>',
    '<img src="/spacer.gif" alt="x">',
    '<img src="/img/1x1.png">',
    '<img src="/blank.gif?v=2">',
    '<img src="/a/pixel.gif">',
    '<img src="https://www.facebook.com/tr?id=1&amp;ev=PageView&amp;noscript=1">',
    '<img src="//stats.example/matomo.php?idsite=1">',
    '<img class="emoji" alt="🎉" src="https://s.example/72x72/1f389.png">', '<img alt="👍🏽" src="/1f44d.png">',
    '<img class="wp-smiley" src="/smile.png" alt=":-)">', '<img src="/i/star.png" width="16" height="16" alt="star">',
    '<img class="avatar" src="/people/ann.jpg" alt="Ann">', f'<img src="{GIF}">', '<img src="">', "<img>",
    '<svg><image href="/x.png"/></svg>',
])
def test_what_is_no_picture_is_never_taken(junk):
    assert image(junk + REAL) == DAM
    assert image(f"<p>{junk}</p>") is None


def test_decoration_waits_for_a_picture_with_words():
    assert image('<img src="/i/wave.png" alt="">' + REAL) == DAM
    assert image('<img src="/img/dam.jpg" alt="">') == DAM  # there is no other
    assert image('<figure><img src="/img/dam.jpg" alt=""></figure><img src="/ann.jpg" alt="Ann">') == DAM
    assert image('<img src="/img/dam.jpg" alt="" width="800" height="500"><img src="/ann.jpg" alt="Ann">') == DAM


@pytest.mark.parametrize("markup", [
    REAL, '<img src="img/dam.jpg" alt="x">'.replace("img/dam", "/img/dam"), '<img src="../img/dam.jpg" alt="x">',
    '<img src="//dams.example/img/dam.jpg" alt="x">', f'<img src="{GIF}" data-src="/img/dam.jpg" alt="x">',
    '<img src="/placeholder.png" data-lazy-src="/img/dam.jpg" alt="x">', '<img data-original="/img/dam.jpg" alt="x">',
    '<img src="/low.jpg" data-src="/img/dam.jpg" alt="x">', '<img data-src="12" src="/img/dam.jpg" alt="x">',
    '<img srcset="/img/dam.jpg" alt="x">',
    f'<img src="{GIF}" data-srcset="/s.jpg 300w, /img/dam.jpg 1200w, /l.jpg 5000w">',
    '<img srcset="/s.jpg 1x, /img/dam.jpg 2x, /l.jpg 4x" alt="x">',
    '<img srcset="/img/dam.jpg 4000w, /l.jpg 6000w" alt="x">',
    f'<picture><source type="image/webp" srcset="/a"><source srcset="/img/dam.jpg 8w, /s.jpg 2w"><img src="{GIF}">',
    '<img src="/img/dam.jpg" alt="x" style="opacity:0; transition: opacity 500ms">',
])
def test_a_picture_is_found_where_pages_keep_its_address(markup):
    assert image(markup) == DAM


def test_a_set_may_have_commas_in_its_addresses():
    markup = '<img srcset="https://cdn.example/w_300,h_200/dam.jpg 300w, https://cdn.example/w_900,h_600/dam.jpg 900w">'
    assert image(markup) == "https://cdn.example/w_900,h_600/dam.jpg"


@pytest.mark.parametrize("head", [
    '<meta property="og:image" content="https://dams.example/img/dam.jpg">',
    "<meta content=/img/dam.jpg property=og:image>",
    '<meta name="twitter:image" content="/img/dam.jpg">',
    "<meta property='og:image:url' content='//dams.example/img/dam.jpg'/>",
    '<meta property="og:image:width" content="/1200"><meta property="og:image" content="/img/dam.jpg">',
    '<!-- <meta property="og:image" content="/old.jpg"> --><meta property="og:image" content="/img/dam.jpg">',
    '<script>"<meta property=og:image content=/js.jpg>"</script><meta property="og:image" content="/img/dam.jpg">',
])
def test_a_page_without_a_picture_has_the_one_that_it_shares(head):
    assert image("", head) == DAM
    assert image('<img src="/x.png" width="1" height="1">', head) == DAM
    assert image('<img src="/other.jpg" alt="x">', head) == "https://dams.example/other.jpg"


@pytest.mark.parametrize("shared", ["/logo.png", "/img/default-share.jpg", "/favicon.ico", "/pixel.gif"])
def test_what_stands_for_the_whole_site_is_no_milestones_picture(shared):
    assert image("", f'<meta property="og:image" content="{shared}">') is None


@pytest.mark.parametrize("base", [
    '<base href="/img/">',
    "<base href=/img/>",
    "<base target='_blank' href='https://dams.example/img/'>",
    "<BASE HREF='../img/'>",
    '<base href="/img/"><base href="/second/">',
])
def test_relative_addresses_start_from_the_base_that_the_page_names(base):
    assert image('<img src="dam.jpg" alt="x">', base) == DAM
    assert image(f'<img src="{GIF}" srcset="dam.jpg 2x">', base) == DAM


def test_a_base_is_the_same_however_the_page_is_parsed():
    text = page(REAL, '<base href="https://other.example/a/b">')
    for parts in (dom.cut(text), dom.whole(text)):
        assert parts is not None
        assert base_of(next(parts.root.iter("img")), URL) == "https://other.example/a/b"
    for trick in ("javascript:1", "", "https://u@evil.example/"):
        assert base_of(dom.whole(page(REAL, f'<base href="{trick}">')).root, URL) == URL


def test_an_address_that_only_a_script_knows_is_unknown_and_not_empty():
    assert not pictures.pick(dom.fragment('<img src="/spacer.gif">').iter("img"), URL).hidden
    assert pictures.pick(dom.fragment(f'<img src="{GIF}" data-key="dam">').iter("img"), URL).hidden


def test_cards_and_timelines_skip_the_same_images():
    listing = (
        '<html lang="en"><body><main><ul><li id="dam"><img src="/spacer.gif" alt="">'
        '<img src="https://c.example/t?x=1" alt=""><img data-src="/img/dam.jpg" alt="The dam"><time>3 May 1932</time>'
        "<h3>The dam</h3><p>Built.</p></li></ul></main></body></html>"
    )
    home = "https://dams.example/"
    [record] = registry.get("timelinelist", {}).read_many(Page(url=home, text=listing), source="dams")
    assert record.image is not None
    assert record.date is not None
    assert (record.image.url, record.date.value) == (DAM, "1932-05-03")
    linked = listing.replace("<h3>The dam</h3>", '<h3><a href="/timeline/dam">The dam</a></h3>')
    [card] = registry.get("generic", {}).cards(Page(url=home, text=linked))
    assert card.image is not None
    assert card.date is not None
    assert (card.image.url, card.date.value) == (DAM, "1932-05-03")


def test_structured_data_never_tells_a_pixel_either():
    ld = (
        '<script type="application/ld+json">{"@type": "Article", "headline": "The dam", "image": '
        '["https://www.facebook.com/tr?id=1", "//dams.example/img/dam.jpg"]}</script>'
    )
    assert image(ld) == DAM
    pixel = '<img itemprop="image" src="/p.gif" width="1" height="1">'
    assert image(f'<div itemscope itemtype="https://schema.org/Article">{pixel}</div>') is None


@pytest.mark.parametrize("markup", [
    "<img srcset='" + "a " * 50_000 + "'>",
    "<img srcset='" + "," * 100_000 + "'>",
    "<img srcset='" + "x" * 100_000 + " b'>",
    "<img style='" + "width:" * 50_000 + "'>",
    '<img src="/' + "blank." * 20_000 + '">',
    "<img alt='" + "🎉" * 50_000 + "'>",
], ids=["words", "commas", "one", "style", "spacer", "emoji"])
def test_nothing_written_in_an_image_keeps_a_look_busy(markup):
    assert pictures.pick(dom.fragment(markup * 5).iter("img"), URL) is not None


@pytest.mark.parametrize("behind", ["", "?v=2#of-another-build-of-the-site"])
def test_the_longest_name_of_a_placeholder_is_known(behind: str) -> None:
    assert pictures.address(f"https://site.example/way/down/transparent-1600x1200.jpeg{behind}", URL) is None
