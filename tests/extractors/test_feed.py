"""Feeds of every kind: what stands in them is read, and nothing else."""

import json
from random import Random

import pytest

from extractors.charset import decode
from extractors.feed import Feed, FeedOptions, entry_key
from extractors.feed_document import is_feed, read_feed, read_feed_date, untracked
from milepost.errors import ExtractError, SettingsError
from milepost.records import Milestone, Page

URL = "https://kiln.example/feed.xml"


def read(text: str, **options: object) -> dict[str, Milestone]:
    site = Feed(FeedOptions(**options))  # type: ignore[arg-type]
    return {one.key: one for one in site.read_many(Page(url=URL, text=text), source="kiln")}


def rss(*items: str, head: str = "", root: str = 'version="2.0"') -> str:
    told = "".join(f"<item>{one}</item>" for one in items)
    return f"<rss {root}><channel><title>Kiln</title>{head}{told}</channel></rss>"


@pytest.mark.parametrize(("written", "right"), [
    ("Tue, 15 Apr 2031 23:30:00 -0500", "2031-04-15"),  # the day that it was there
    ("Tue, 15 Apr 31 23:30 GMT", "2031-04-15"), ("Fri, 15 Apr 94 10:00:00 GMT", "1994-04-15"),
    ("15 Apr 2031", "2031-04-15"), ("2031-04-15T23:30:00.000000000-05:00", "2031-04-15"), ("2031-04", "2031-04"),
    ("2031", "2031"), ("20310415T101112Z", "2031-04-15"), ("Tues, 15 April 2031 10:00:00 Europe/Paris", "2031-04-15"),
    ("Tue Apr 15 2031 10:00:00 GMT+0200 (CEST)", "2031-04-15"), ("Di, 15 Apr 2031 10:00:00 +0200", "2031-04-15"),
    ("Wed, 15 Apr 2031 10:00:00 GMT", None),  # that was a Tuesday
    ("31 Feb 2031 10:00:00 GMT", None), ("04/05/2031", None), ("1934012345", None), ("soon", None),
    ("0001-01-01T00:00:00Z", None), ("Sat, 17 Jan 1970 23:08:42 Z", None),
    ("17 Jan 1970", "1970-01-17"), ("1970-01-01T00:00:00Z", None), ("Thu, 01 Jan 1970 00:00:00 +0000", None),
    ("0000-00-00 00:00:00", None), ("-0001-11-30T00:00:00+00:00", None), ("2031-W16", None),
])
def test_dates_are_read_as_far_as_they_are_certain(written: str, right: str | None) -> None:
    read = read_feed_date(written)
    assert (read.date.value if read.date else None) == right
    assert bool(read.why) == (right is None)


def test_an_update_is_no_publication() -> None:
    atom = ('<feed xmlns="http://www.w3.org/2005/Atom"><title>K</title><entry><title>One</title><id>urn:1</id>'
            "<updated>2031-04-15T10:00:00Z</updated></entry></feed>")
    assert read(atom)["urn:1"].date is None
    assert "date" in read(atom)["urn:1"].unknown
    dated = read(atom, date="updated")["urn:1"].date
    assert dated is not None
    assert dated.value == "2031-04-15"


@pytest.mark.parametrize(("identity", "key"), [
    ("https://kiln.example/2031/first/", "2031:first"), ("http://www.kiln.example/2031/first", "2031:first"),
    ("https://kiln.example/2031/first?utm_source=feed&a=1", "2031:first?a=1"), ("http://kiln.example/?p=7", "p=7"),
    ("https://other.example/2031/first", "other.example:2031:first"), ("41", "41"), ("יומן 7", "יומן:7"),
    ("tag:kiln.example,2031:A/7", "tag:kiln.example,2031:A:7"), ("https://kiln.example/log#v1.2", "log:v1.2"),
    ("https://kiln.example/", "kiln.example"),
])
def test_what_an_entry_is_known_by(identity: str, key: str) -> None:
    assert entry_key(identity, URL) == key


def test_ids_that_differ_in_a_sign_stay_apart() -> None:
    keys = [entry_key(f"tag:forge.example,2031:Repository/7/{version}", URL)
            for version in ("v1.1.0-beta", "v1.1.0+beta", "v1.10", "v1.1.0", "V1.10")]
    assert len(set(keys)) == 5
    long = [entry_key("x" * 400 + str(number), URL) for number in range(3)]
    assert len(set(long)) == 3
    assert max(map(len, long)) <= 200


def test_entries_stay_who_they_are_when_a_feed_is_reordered_retitled_and_grown() -> None:
    items = [f"<title>Brick {n}</title><guid>b-{n}</guid><pubDate>{n:02} Mar 2031 10:00:00 GMT</pubDate>"
             f"<description>Brick number {n} is laid.</description>" for n in range(1, 9)]
    first = read(rss(*items))
    shuffled = items[:]
    Random(7).shuffle(shuffled)  # noqa: S311
    assert read(rss(*shuffled)) == first
    assert read(rss("<title>New</title><guid>b-9</guid>", *items)).items() >= first.items()
    retitled = read(rss(*(one.replace("<title>Brick", "<title>Stone") for one in items)))
    assert retitled.keys() == first.keys()
    assert {one.date for one in retitled.values()} == {one.date for one in first.values()}


def test_a_text_holds_no_markup_and_an_author_no_address() -> None:
    found = read(rss(
        "<guid>1</guid><title>&lt;b&gt;A&lt;/b&gt; &amp;amp; B &amp;lt; C</title>"
        "<author>ida@kiln.example (Ida Clay)</author>"
        "<description><![CDATA[<p onclick=x>One <script>two()</script><a href='javascript:three()'>four</a></p>"
        "<style>five</style>]]></description>",
        "<guid>2</guid><title>5 < 6</title><author>boss@kiln.museum</author><link>javascript:alert(1)</link>",
    ))
    assert (found["1"].title, found["1"].what_happened, found["1"].people) == ("A & B < C", "One four", ("Ida Clay",))
    assert (found["2"].title, found["2"].people) == ("5 < 6", ())
    assert found["2"].url == f"{URL}#2"


@pytest.mark.parametrize("text", [
    '\ufeff\n\n<?xml version="1.0" encoding="utf-16"?>'
    + rss("<guid>1</guid><title>Ofen &nbsp;&uuml;ber &copy; Q&A</title>"),
    'Notice: undefined index in /srv/feed.php<br>\n<?xml version="1.0"?>'
    + rss("<guid>1</guid><title>Ofen &#160;&#252;ber &#169; Q&A</title>"),
    rss("<guid>1</guid><title>Ofen über © Q&amp;A</title><description>a\x0bb & c<br></description>"),
    rss("<guid>1</guid><title>Ofen &amp;uuml;ber &amp;copy; Q&amp;amp;A</title><undeclared:x>1</undeclared:x>"),
])
def test_broken_markup_is_read_as_readers_take_it(text: str) -> None:
    assert [one.title for one in read(text).values()] == ["Ofen über © Q&A"]


NEW = "<guid>1</guid><title>Öfen – neu</title>"


@pytest.mark.parametrize(("body", "content_type"), [
    ('<?xml version="1.0" encoding="windows-1252"?>' + rss(NEW), "text/xml"),
    ('<?xml version="1.0"?>' + rss(NEW), "text/xml; charset=us-ascii"),
    (rss(f"{NEW}<description><![CDATA[<meta charset=iso-8859-1>]]></description>"), ""),
])
def test_the_encoding_is_the_document_s_own(body: str, content_type: str) -> None:
    data = body.encode("windows-1252" if "windows" in body[:60] else "utf-8")
    assert read(decode(data, content_type))["1"].title == "Öfen – neu"


def test_one_flaw_costs_its_entry() -> None:
    site = Feed()
    page = Page(url=URL, text=rss("<guid>1</guid><title>One</title>", "<pubDate>15 Apr 2031</pubDate>",
                                  "<guid>1</guid><title>Another</title>", "<guid>2</guid><title>Two</title>"))
    assert [one.key for one in site.read_many(page, source="kiln")] == ["1", "2"]
    assert [one.why for one in site.unread(page)] == [
        "no id, no link and no title", "an entry before it has the same key"]


def test_a_feed_that_is_cut_off_keeps_what_is_whole() -> None:
    whole = rss("<guid>1</guid><title>One</title>",
                "<guid>2</guid><title>Two</title><description>It is all</description>")
    page = Page(url=URL, text=whole[: whole.index("is all")])
    assert [one.key for one in Feed().read_many(page, source="kiln")] == ["1"]
    assert [one.why for one in Feed().unread(page)] == ["the feed ends in it: it may be cut off"]


@pytest.mark.parametrize("declared", [
    '<!ENTITY a "&b;"><!ENTITY b "c">', '<!ENTITY a SYSTEM "file:///etc/passwd">', '<!ENTITY % a "b">',
    '<!ENTITY a "' + "x" * 5_000 + '">', "".join(f'<!ENTITY a{n} "x">' for n in range(400)),
])
def test_entities_that_stand_for_more_than_a_sign_are_refused(declared: str) -> None:
    with pytest.raises(ExtractError, match="declares entities"):
        read(f'<?xml version="1.0"?><!DOCTYPE rss [{declared}]>' + rss("<guid>1</guid><title>&a;</title>"))


def test_names_of_signs_may_be_declared() -> None:
    text = f'<!DOCTYPE rss [<!ENTITY eacute "&#233;">]>{rss("<guid>1</guid><title>Caf&eacute;</title>")}'
    assert read(text)["1"].title == "Café"


def test_settings_choose_what_an_entry_is_known_by_and_which_are_taken() -> None:
    text = rss("<guid>x</guid><title>One</title><link>/a/1</link><category>Works</category>",
               "<guid>x</guid><title>Two</title><link>/a/2</link><category>Talk</category>")
    assert set(read(text)) == {"x"}
    assert set(read(text, key="link")) == {"a:1", "a:2"}
    assert set(read(text, key="title", tags=("talk",))) == {"two"}
    with pytest.raises(SettingsError, match="'key'"):
        Feed.configured({"key": "guess"})


def test_json_feeds() -> None:
    feed = {"version": "https://jsonfeed.org/version/1", "items": [
        {"id": "https://kiln.example/a", "title": "A", "content_text": "x < y", "author": {"name": "Ida"}},
        "junk", {"id": None, "title": ["b"]}, {"id": 7.5, "content_html": "<p>Seven</p>", "tags": "no list"},
    ]}
    assert is_feed(json.dumps(feed))
    found = read(json.dumps(feed))
    assert (found["a"].people, found["a"].what_happened, found["7.5"].title) == (("Ida",), "x < y", "Seven")
    assert len(Feed().unread(Page(url=URL, text=json.dumps(feed)))) == 2
    for broken in ('"items": {}}', ""):
        with pytest.raises(ExtractError):
            read_feed(f'{{"version": "https://jsonfeed.org/version/1", {broken}', URL)


def test_tracking_is_left_out_of_links() -> None:
    assert untracked("https://k.example/a?utm_source=x&id=3&fbclid=1#b") == "https://k.example/a?id=3#b"
    assert untracked("https://k.example/a?id=%20x") == "https://k.example/a?id=%20x"


def test_nothing_is_invented_when_a_feed_is_damaged() -> None:
    """Every text and date of a damaged feed stands in the whole one."""
    items = [f"<title>Brick {n} laid</title><guid>b-{n}</guid><pubDate>{n:02} Mar 2031 10:00:00 GMT</pubDate>"
             f"<description>Course {n} of the wall.</description><category>Wall</category>" for n in range(1, 5)]
    text = rss(*items)
    right = read(text).values()
    dates = {one.date for one in right} | {None}
    dice = Random(11)  # noqa: S311
    for _ in range(80):
        at, size = dice.randrange(len(text)), dice.choice((1, 3, 40))
        damaged = text[:at] + text[at:at + size] * dice.choice((0, 2)) + text[at + size * dice.choice((1, 1, 1_000)):]
        try:
            found = read(damaged).values()
        except ExtractError:
            continue
        for one in found:
            assert one.date in dates or str(one.date and one.date.year) in damaged
            assert all(word in damaged for word in one.title.split()), one.title
