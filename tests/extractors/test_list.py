"""Timelines on one page, in every build that people write them in: what is read, what is counted, what makes a key."""

import pytest

from extractors import registry
from milepost.errors import ExtractError, SettingsError
from milepost.records import Page

LENS, KEEPER, OIL = "The lens is set.", "A keeper moves in.", "The oil runs out."
DATES, TITLES = ("12 March 1931", "May 1931", "1932"), (LENS, KEEPER, OIL)
HEAD = "<table><tr><th>When</th><th>What</th></tr>"
LAST = f"<tr><td>1932</td><td>{OIL}</td></tr></table>"
WANTED = [("1931-03-12", LENS), ("1931-05", KEEPER), ("1932", OIL)]


def page(body, url="https://rock.example/history"):
    return Page(url=url, text=f"<html lang='en'><body><main><h1>Gull Rock</h1>{body}</main></body></html>")


def read(body):
    site = registry.get("list", {"path": "/history"})
    return site.read_many(page(body), source="rock"), site.unread(page(body))


def told(body):
    return [(one.date.value, one.title) for one in read(body)[0]]


@pytest.mark.parametrize("body", [
    f"<ul><li><b>12 March 1931</b> {LENS}</li><li><b>May 1931</b>: {KEEPER}</li><li><b>1932</b> – {OIL}</li></ul>",
    f"<ul><li>12 March 1931: {LENS}</li><li>May 1931 – {KEEPER}</li><li>1932 {OIL}</li></ul>",
    f"<ul><li>1931-03-12 {LENS}</li><li>May 1931 {KEEPER}</li><li>(1932) {OIL}</li></ul>",
    f"<h2>1931</h2><ul><li>12 March: {LENS}</li><li>May: {KEEPER}</li></ul><h2>1932</h2><ul><li>{OIL}</li></ul>",
    f"<dl><dt>12 March 1931</dt><dd>{LENS}</dd><dt>May 1931</dt><dd>{KEEPER}</dd><dt>1932</dt><dd>{OIL}</dd></dl>",
    f"{HEAD}<tr><td>12 March 1931</td><td>{LENS}</td></tr><tr><td>May 1931</td><td>{KEEPER}</td></tr>{LAST}",
    "".join(f"<div class=e><i>{date}</i><h3>{title}</h3></div>" for date, title in zip(DATES, TITLES, strict=True)),
    f"<h4>12 March 1931</h4><p>{LENS}</p><h4>May 1931</h4><p>{KEEPER}</p><h4>1932</h4><p>{OIL}</p>",
    f"<h4>1931-03-12 {LENS}</h4><h4>1931-05 {KEEPER}</h4><h4>1932: {OIL}</h4>",
    f"<ul><li>1931<ul><li>12 March: {LENS}</li><li>May: {KEEPER}</li></ul><li>1932<ul><li>1932: {OIL}</li></ul></ul>",
    f"<div><b>12 March 1931</b><p>{LENS}</p><b>May 1931</b><p>{KEEPER}</p><b>1932</b><p>{OIL}</p></div>",
], ids=["bold", "parted", "unparted", "years", "dl", "table", "blocks", "headings", "in headings", "nested", "runs"])
def test_every_build(body):
    assert told(body) == [(date, title) for date, title in WANTED]


def test_the_text_keeps_what_is_not_the_title():
    body = ("<ul><li id=l><time datetime='1931-03-12'>x</time><h3>The lens</h3><p>It was set by two.</p>"
            "<ul><li>one</li><li>two</li></ul></li>"
            "<li><b>May 1931</b> <strong>A keeper</strong> moves in. She stays.</li>"
            f"<li><b>1932</b> {OIL} Nobody had thought of it. <a rel=tag href='/tag/oil'>oil</a></li></ul>")
    records, _ = read(body)
    assert [(one.key, one.title) for one in records] == [
        ("l", "The lens"), ("a-keeper", "A keeper"), ("the-oil-runs-out", OIL),
    ]
    assert records[0].what_happened == "It was set by two.\n- one\n- two\n"
    assert records[1].what_happened == "moves in. She stays."
    assert records[2].tags == ("oil",)


def test_one_bad_entry_costs_itself_and_is_counted():
    body = (f"<ul><li>12 March 1931: {LENS}</li><li>Some time later: a boat comes.</li><li>May 1931: {KEEPER}</li>"
            f"<li>31 June 1931: the moon falls.</li><li>1932: {OIL}</li><li>1933:</li></ul>")
    records, unread = read(body)
    assert [one.date.value for one in records] == ["1931-03-12", "1931-05", "1932"]
    assert [(one.says, one.why) for one in unread] == [
        ("Some time later: a boat comes.", "no date"), ("31 June 1931: the moon falls.", "no date"),
    ]


def test_what_stands_in_the_menu_is_no_entry_and_a_page_without_dates_is_refused():
    links = "".join(f"<li>{year} <a href='/{year}'>all of that year</a></li>" for year in range(1931, 1940))
    with pytest.raises(ExtractError, match="no milestone"):
        read(f"<nav><ul>{links}</ul></nav><p>Nothing yet.</p>")


def test_words_on_either_side_of_their_dates_are_nobodys():
    body = f"<div><p>12 March 1931</p><p>May 1931</p><h3>{LENS}</h3><h3>{KEEPER}</h3><p>1932</p><h3>{OIL}</h3></div>"
    with pytest.raises(ExtractError, match="no milestone"):
        read(body)


class TestKeys:
    ENTRIES = (
        "<li id=lens><b>12 March 1931</b> {}</li>", "<li><b>May 1931</b> <a href='/keeper.html'>{}</a></li>",
        "<li><b>1932</b> {}</li>", "<li><b>1933</b> {}</li>", "<li><b>1934</b> {}</li>",
    )

    def keys(self, titles, order=slice(None)):
        items = [entry.format(title) for entry, title in zip(self.ENTRIES, titles, strict=False)]
        return {one.date.value: one.key for one in read(f"<ul>{''.join(items[order])}</ul>")[0]}

    def test_they_stay_when_entries_are_turned_round_put_better_and_joined_by_others(self):
        first = self.keys((LENS, KEEPER, OIL, "Маяк горит снова."))
        assert first["1931-03-12"], first["1931-05"] == ("lens", "keeper")
        assert self.keys((LENS, KEEPER, OIL, "Маяк горит снова."), slice(None, None, -1)) == first
        later = self.keys(("The lens was set.", "Her first night", OIL, "Маяк горит снова.", "A storm."))
        assert later.items() >= first.items()

    def test_one_title_of_several_dates(self):
        assert self.keys((LENS, KEEPER, "Meeting", "Meeting"))["1933"] == "meeting-1933"

    def test_the_same_anchor_for_all_is_none(self):
        events = ((1931, "a"), (1932, "b"), (1933, "c"))
        body = "".join(f"<li><a name=top></a>{year}: event {word}</li>" for year, word in events)
        assert [one.key for one in read(f"<ul>{body}</ul>")[0]] == ["event-a", "event-b", "event-c"]


def test_an_entry_keeps_its_key_when_another_of_the_same_title_appears():
    before = "<li><b>12 March 1931</b> Annual meeting</li><li><b>3 May 1931</b> The lens is set</li>"
    before += "<li><b>9 June 1931</b> A boat is bought</li>"
    after = "<li><b>12 March 1932</b> Annual meeting</li>"

    def keys(*items):
        text = f"<html lang='en'><body><ul>{''.join(items)}</ul></body></html>"
        site = registry.get("list", {"path": "/history"})
        records = site.read_many(Page(url="https://rock.example/history", text=text), source="rock")
        return {one.date and one.date.value: one.key for one in records}

    alone = keys(before)
    assert alone["1931-03-12"] == "annual-meeting"
    assert keys(after, before) == keys(before, after) == alone | {"1932-03-12": "annual-meeting-1932-03-12"}


def test_a_date_at_the_end_in_brackets_is_one_and_stays_in_the_words():
    body = ("<ul><li>The lens is set (12 March 1931)</li><li>A keeper [1931] moves in (May 1931).</li>"
            "<li>Oil (1932)</li></ul>")
    assert told(body) == [("1931-03-12", "The lens is set (12 March 1931)"),
                          ("1931-05", "A keeper [1931] moves in (May 1931)."),
                          ("1932", "Oil (1932)")]


def test_a_title_does_not_end_behind_an_abbreviation():
    body = ("<ul><li>1931: Joined by Prof. Ada B. Invented. They set the lens.</li><li>1932: Sgt. Oil runs out.</li>"
            "<li>1933: No. 4 is lit. At last.</li></ul>")
    assert [title for _, title in told(body)] == [
        "Joined by Prof. Ada B. Invented.", "Sgt. Oil runs out.", "No. 4 is lit."]


def test_a_date_of_figures_needs_no_space_before_a_script_that_has_none():
    body = "<ul><li>1931/3/12燈塔點亮了</li><li>1931/5/2守護者來了</li><li>1932/1/4油用完了</li></ul>"
    assert [date for date, _ in told(body)] == ["1931-03-12", "1931-05-02", "1932-01-04"]


def test_a_page_may_end_without_its_tag_where_the_settings_say_so():
    ends = page("<ul><li>1931: a lens</li><li>1932: a keeper</li><li>1933: oil</li></ul>")
    open_ = Page(url=ends.url, text=ends.text.removesuffix("</body></html>"))
    with pytest.raises(ExtractError, match="ends early"):
        registry.get("list", {"path": "/history"}).read_many(open_, source="rock")
    assert len(registry.get("list", {"path": "/history", "ends_in_html": False}).read_many(open_, source="rock")) == 3


LIVES = (("A. Keeper", "1856–1924"), ("B. Keeper", "1868–1918"), ("C. Keeper", "1841–1929"))


def test_the_years_that_people_lived_are_no_dates():
    with pytest.raises(ExtractError, match="no date"):
        read("<ul>" + "".join(f"<li><b>{years}</b> {name} kept the light</li>" for name, years in LIVES) + "</ul>")
    epochs = (("Oil", "1760–1820"), ("Gas", "1820–1890"), ("Current", "1890–1960"))
    follow = "".join(f"<li><b>{years}</b> {name} burns in the lamp</li>" for name, years in epochs)
    assert [date for date, _ in told(f"<ul>{follow}</ul>")] == ["1760", "1820", "1890"]


def test_words_that_stand_now_left_now_right_of_the_line_go_with_the_date_in_their_row():
    date, words, point = "<div class=c><i>{}</i></div>", "<div class=c><h3>{}</h3></div>", "<div class=p><b></b></div>"
    rows = [(date, words), (words, date), (date, words)]
    body = "".join(
        left.format(when if left is date else what) + point + right.format(what if left is date else when)
        for (left, right), when, what in zip(rows, DATES, TITLES, strict=True))
    assert told(f"<div>{body}</div>") == WANTED
    with pytest.raises(ExtractError, match="no milestone"):  # a row with two dates: nobody says which is whose
        read(f"<div>{body}{date.format('1933')}{point}{date.format('1934')}</div>")


def test_a_list_whose_entries_mostly_have_no_date_says_what_to_set_and_then_is_read():
    items = "".join(f"<li class=prize>The prize of hall {number} goes to kite {number}</li>" for number in range(9))
    body = f"<ul>{items}<li class=prize>1931: {LENS}</li></ul>"
    with pytest.raises(ExtractError, match="undated = true"):
        read(body)
    site = registry.get("list", {"path": "/history", "select": {"entry": "li.prize"}, "undated": True})
    found = site.read_many(page(body), source="rock")
    assert [one.date and one.date.value for one in found] == [None] * 9 + ["1931"]
    assert ("date" in found[0].unknown, site.unread(page(body))) == (True, ())
    with pytest.raises(SettingsError, match="wants to know what the entries are"):
        registry.get("list", {"path": "/history", "undated": True})
