"""JSON and CSV by settings: what they name is read by its field's type, and what isn't there is unknown."""

import json
from random import Random
from typing import Any

import pytest

from extractors import registry
from milepost.errors import ExtractError, SettingsError
from milepost.records import Milestone, Page, Unread

URL = "https://kites.example/data"


def read(name: str, text: str, **options: Any) -> tuple[dict[str, Milestone], tuple[Unread, ...]]:
    site, page = registry.get(name, options), Page(url=URL, text=text)
    return {one.key: one for one in site.read_many(page, source="kites")}, site.unread(page)


def test_what_is_null_absent_or_of_another_kind_is_unknown() -> None:
    fields = {"title": "t", "date": "d", "tags": "g", "impact": "i", "image": "m", "what_happened": "w"}
    entries = [{"t": "One"}, {"t": "Two", "d": None, "g": None, "i": 7, "m": "javascript:x", "w": {"a": 1}},
               {"t": "Three", "d": True, "g": {}, "i": "no", "m": 3, "w": "undefined"}]
    found, unread = read("json", json.dumps(entries), fields=fields)
    assert unread == ()
    for one in found.values():
        assert {"date", "tags", "impact", "image", "what_happened"} <= one.unknown, one


def test_order_and_growth_change_no_key() -> None:
    fields = {"key": "id", "title": "t"}
    entries = [{"id": number, "t": f"Kite {number}"} for number in range(6)]
    first, _ = read("json", json.dumps(entries), fields=fields)
    later, _ = read("json", json.dumps([{"id": 9, "t": "New"}, *reversed(entries)]), fields=fields)
    assert later.items() >= first.items()
    retitled, _ = read("json", json.dumps([one | {"t": f"x{one['t']}"} for one in entries]), fields=fields)
    assert retitled.keys() == first.keys()


def test_dates_may_be_seconds_where_settings_say_so() -> None:
    entries = json.dumps([{"t": "A", "d": 1927929600}, {"t": "B", "d": "1927929600000"}, {"t": "C", "d": 0}])
    fields = {"title": "t", "date": "d"}
    dates = [one.date and one.date.value for one in read("json", entries, fields=fields, unix_dates=True)[0].values()]
    assert dates == ["2031-02-04", "2031-02-04", None]
    assert [one.date for one in read("json", entries, fields=fields)[0].values()] == [None, None, None]


def test_lines_of_json_and_objects_by_key() -> None:
    lines, unread = read("json", '{"title": "A"}\n{"title": "B"}\n7\n')
    assert (list(lines), [one.why for one in unread]) == (["a", "b"], ["no object"])
    assert list(read("json", '{"x": {"title": "A"}, "y": {"title": "B"}}')[0]) == ["a", "b"]


@pytest.mark.parametrize(("name", "text", "options", "why"), [
    ("json", "<html>", {}, "it is no JSON"), ("json", "[" * 100_000, {}, "it is no JSON"),
    ("json", '{"a": 1}', {"entries": "b"}, "no list at 'b'"), ("json", "[1]", {}, "no milestone on this page"),
    ("csv", "<html>\n", {}, "markup"), ("csv", "title\n", {}, "no rows"), ("csv", 'title\n"x\n', {}, "no CSV"),
    ("csv", "name,date\nA,2031\n", {}, "there is no column 'title'. There are 'name', 'date'"),
])
def test_what_is_of_another_build_is_refused(name: str, text: str, options: dict[str, Any], why: str) -> None:
    with pytest.raises(ExtractError) as refused:
        read(name, text, **options)
    assert why in str(refused.value)


@pytest.mark.parametrize(("name", "options", "why"), [
    ("json", {"entries": "a["}, "is no JMESPath"), ("json", {"fields": {"title": "a[?"}}, "is no JMESPath"),
    ("json", {"fields": {"title": "a", "colour": "b"}}, "no field 'colour'"), ("json", {"pages": 1_000}, "pages"),
    ("csv", {"fields": {"title": "a", "related": "b"}}, "no field 'related'"),
    ("csv", {"fields": {"date": "d"}}, "title"),
])
def test_settings_that_can_t_be_meant_are_refused(name: str, options: dict[str, Any], why: str) -> None:
    with pytest.raises(SettingsError, match="option") as refused:
        registry.get(name, options)
    assert why in str(refused.value)


def test_nothing_is_invented_when_a_file_is_damaged() -> None:
    """Every word and date of a damaged file stands in it."""
    entries = [{"id": n, "t": f"Kite {n} flies", "d": f"2031-02-0{n}", "w": f"It rose {n} fathoms."}
               for n in range(1, 6)]
    text = json.dumps(entries)
    table = "id;t;d;w\n" + "".join(";".join(map(str, one.values())) + "\n" for one in entries)
    fields = {"key": "id", "title": "t", "date": "d", "what_happened": "w"}
    dice = Random(5)  # noqa: S311
    read_at_all = 0
    for name, whole in (("json", text), ("csv", table)):
        for _ in range(120):
            at, size = dice.randrange(len(whole)), dice.choice((1, 2, 30))
            damaged = whole[:at] + whole[at: at + size] * dice.choice((0, 2)) + whole[at + size:]
            try:
                found = read(name, damaged, fields=fields)[0].values()
            except ExtractError:
                continue
            read_at_all += 1
            for one in found:
                assert all(word in damaged for word in f"{one.title} {one.what_happened}".rstrip("…").split())
                assert one.date is None or one.date.value in whole + damaged
    assert read_at_all > 60
