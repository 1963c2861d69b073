"""Changelogs as people write them: which headings are releases, what belongs to them, and what is said of the rest."""

import random
import re

import pytest

from extractors import changelog, registry
from extractors.release_headings import NotOut, Release, Unclear, read_heading
from extractors.written_dates import NOTHING
from milepost.errors import ExtractError
from milepost.records import Milestone, Page
from milepost.text_shape import blocks_of

URL = "https://kiln.example/CHANGELOG.md"


def read(text: str, **options: object) -> dict[str, Milestone]:
    site = registry.get("changelog", options)
    return {one.key: one for one in site.read_many(Page(url=URL, text=text), source="kiln")}


def unread(text: str) -> list[tuple[str, str]]:
    return [(one.says, one.why) for one in registry.get("changelog").unread(Page(url=URL, text=text))]


def told(text: str) -> list[tuple[str, str | None]]:
    return [(one.title, one.date.value if one.date else None) for one in read(text).values()]


@pytest.mark.parametrize(("heading", "version", "date"), [
    ("[1.2.0] - 2031-03-04", "1.2.0", "2031-03-04"), ("v1.2", "1.2", None), ("Version 1.2", "1.2", None),
    ("Release 3.3.0", "3.3.0", None), ("1.2.0 (6th December, 2031)", "1.2.0", "2031-12-06"),
    ("1.2.0 (27 Apr 2031)", "1.2.0", "2031-04-27"), ("1.2.0 (August 24, 2031)", "1.2.0", "2031-08-24"),
    ("1.2.0 2031/1/2", "1.2.0", "2031-01-02"), ("1.2.0 - 2031-12-1", "1.2.0", "2031-12-01"),
    ("8.0.2 / 2031-05-27", "8.0.2", "2031-05-27"), ("1.2.0 — 2031—05—27", "1.2.0", "2031-05-27"),
    ("0.7.5 (24. March, 2031)", "0.7.5", "2031-03-24"), ("[2.6.12 [LEGACY] - 2031.11.26]", "2.6.12", "2031-11-26"),
    ("[1.45.0/0.67.0] - 2031-08-03", "1.45.0/0.67.0", "2031-08-03"), ("2031.09.01", "2031.09.01", None),
    ("2031-09-01", "2031-09-01", "2031-09-01"), ("2.0.0.dev5 - 2031-01-03", "2.0.0.dev5", "2031-01-03"),
    ("5.0.0.BETA4", "5.0.0.BETA4", None), ("1!1.0", "1!1.0", None), ("12.0.0-beta-9.6 (2031-06-10)", "12.0.0-beta-9.6",
     "2031-06-10"), ("17 - 2031-01-02", "17", "2031-01-02"), ("4.3.4/4.3.5 and 3.12.5 / 2031-05-22",
     "4.3.4/4.3.5, 3.12.5", "2031-05-22"), ("1.2.0 - 2031-13-45", "1.2.0", None), ("2.4.2. / 2031-07-06", "2.4.2",
     "2031-07-06"), ("1.2.0 (2031)", "1.2.0", "2031"), ("1.1.0 － 2031年1月2日", "1.1.0", "2031-01-02"),
    ("1.2.0 - 2031-01-02T10:00:00Z", "1.2.0", "2031-01-02"), ("1.3.6 (backport) / 2031-03-15", "1.3.6", "2031-03-15"),
])
def test_a_heading_that_names_a_release(heading: str, version: str, date: str | None) -> None:
    said = read_heading(heading)
    assert isinstance(said, Release)
    assert (said.version, said.date.date and said.date.date.value, said.product) == (version, date, "")


@pytest.mark.parametrize(("heading", "product", "version"), [
    ("Kiln 1.98", "Kiln", "1.98"), ("@kiln/door@1.2.0", "@kiln/door", "1.2.0"),
    ("Changes in Kiln v0.32.0", "Kiln", "0.32.0"),
    ("[Experimental Flue v0.22.0] - 2031-07-19", "Experimental Flue", "0.22.0"), ("灯窯 1.2.0", "灯窯", "1.2.0"),
])
def test_a_heading_that_names_a_product_too(heading: str, product: str, version: str) -> None:
    said = read_heading(heading)
    assert isinstance(said, Release)
    assert (said.product, said.version) == (product, version)


@pytest.mark.parametrize(("heading", "name"), [
    ("1.1.0 - 2031-01-02 - Red clay", "Red clay"), ("1.0.0: First", "First"), ("9.8.0 \"New Brick\"", "\"New Brick\""),
    ("2.0.0-alpha (2031-05-18) ⚡ All of it anew", "⚡ All of it anew"),
])
def test_a_name_stands_behind(heading: str, name: str) -> None:
    said = read_heading(heading)
    assert isinstance(said, Release)
    assert said.name == name


@pytest.mark.parametrize("heading", [
    "Unreleased", "[Unreleased] - 2031-01-02", "1.1.0 - TBD", "0.9.0 (unreleased)", "3.15.0 (2031-XX-XX)",
    "v3.15.0-dev", "1.2.0 - not yet released", "1.2.0 - coming soon",
])
def test_what_is_not_out_is_no_release(heading: str) -> None:
    assert isinstance(read_heading(heading), NotOut)


@pytest.mark.parametrize("heading", [
    "Added", "Kilns 5.x", "1.2.x", "Upgrading from 1.2", "Migrating to Kiln 2.0", "Support for Python 3.10",
    "Faster by 12.5%", "Fix for Flue 0.49+ fires", "1. The first step", "2. Bricks", "Python 3.10 support",
    "2.0.0 - Migration guide", "", "Kiln 2", "Changes since 1.0.0", "Requires Brick 1.2",
])
def test_what_is_none(heading: str) -> None:
    assert not isinstance(read_heading(heading), (Release, NotOut))


@pytest.mark.parametrize("heading", ["[1.1.0] - 2031-01-02 - YANKED", "[1.1.0] [YANKED] - 2031-01-02", "[YANKED] 1.1.0",
                                     "1.1.0 (yanked)", "[0.4.3] - 2031-12-09 - *yanked!*"])
def test_yanked(heading: str) -> None:
    said = read_heading(heading)
    assert isinstance(said, Release)
    assert said.yanked


def test_what_can_not_be_read_as_a_date_is_told_and_no_date() -> None:
    said = read_heading("4.6.0 (12/02/2031)")
    assert isinstance(said, Release)
    assert said.date.date is None
    assert said.date is not NOTHING
    assert "may be" in said.date.why
    assert said.name == ""


def test_a_sentence_is_unclear() -> None:
    assert isinstance(read_heading("Version 3.2 consists of many bricks:"), Unclear)


class TestADocument:
    def test_fences_and_comments_hold_no_releases(self) -> None:
        hidden = "```sh\n## 0.9.9\n```\n\n<!--\n## 1.0.5\n-->\n\n~~~\n## 0.9.8\n~~~\n"
        text = f"## 1.1.0\n\n{hidden}\n## 1.0.0\n- a\n\n> ## 0.5.0\n"
        assert [title for title, _ in told(text)] == ["1.1.0", "1.0.0"]

    @pytest.mark.parametrize("text", [
        "\ufeff## 1.1.0\n- a\n", "# Log\r\n## 1.1.0\r\n- a\r\n", "# Log\r## 1.1.0\r- a\r", "   ## 1.1.0 ##\n- a\n",
        "1.1.0\n=====\n- a\n", "<h1 align=center>Kiln</h1>\n\n## 1.1.0\n- a\n", "<!-- sorted -->\n## 1.1.0\n- a\n",
        "##\t1.1.0\n-\ta\n", "## <a name=\"x\"></a>1.1.0\n- a\n", "## <small>1.1.0</small>\n- a\n",
        "<h2>1.1.0</h2>\n<ul><li>a</li></ul>\n", "##### 1.1.0\n- a\n",
    ])
    def test_however_it_is_written(self, text: str) -> None:
        [record] = read(text).values()
        assert (record.key, record.what_happened) == ("1-1-0", "- a\n")

    def test_a_heading_of_the_same_level_belongs_to_the_release_above(self) -> None:
        text = "## v1.1.0\n\n## What's Changed\n* a\n\n## Odd words\n* b\n\n## v1.0.0\n\n## What's Changed\n* c\n"
        records = read(text)
        assert records["1-1-0"].what_happened == "What's Changed:\n- a\n"
        assert records["1-0-0"].what_happened == "What's Changed:\n- c\n"

    def test_what_is_not_out_gives_nothing_to_its_neighbours(self) -> None:
        text = "## 1.1.0\n- a\n\n## [Unreleased]\n### Added\n- b\n\n## 1.0.0\n- c\n"
        assert [one.what_happened for one in read(text).values()] == ["- a\n", "- c\n"]

    def test_a_series_gathers_and_is_none(self) -> None:
        text = "## Version 19\n\n#### 19.1.0\n- a\n\n#### 19.0.0\n- b\n\n## Version 18\n\n#### 18.0.0\n- c\n"
        assert [title for title, _ in told(text)] == ["19.1.0", "19.0.0", "18.0.0"]

    def test_a_part_that_speaks_of_a_version_stays_a_part(self) -> None:
        text = (
            "## 2.0.0 (2031-01-02)\n### Python 3.10\n- a\n### 2.0.0 Changes\n- b\n### 0.6 regressions\n- c\n\n"
            "## 1.9.0 (2031-01-01)\n- d\n\n### 1.8.1 (2030-12-01)\n- e\n"
        )
        assert [title for title, _ in told(text)] == ["2.0.0", "1.9.0", "1.8.1"]

    @pytest.mark.parametrize(("under", "date"), [
        ("_2031-06-08_", "2031-06-08"), ("Released on 2031-06-08. All of it is on the shelf.", "2031-06-08"),
        ("Release date: 8 June 2031", "2031-06-08"), ("* Release Jun 8, 2031", "2031-06-08"),
        ("We began on 2031-06-08.", None), ("Released with Flue 2031.6", None),
    ])
    def test_the_day_may_stand_below(self, under: str, date: str | None) -> None:
        assert told(f"## 1.1.0\n\n{under}\n\n- a\n") == [("1.1.0", date)]

    def test_a_document_whose_releases_are_no_headings(self) -> None:
        assert told("v2.1.0 - August 21, 2031\n\n* a\n\nv2.0.0 - August 1, 2031\n\n* b\n") == [
            ("2.1.0", "2031-08-21"), ("2.0.0", "2031-08-01"),
        ]
        records = read("# Log\n- **1.1.0** (2031-01-02): a\n- **1.0.0** (2030-01-02): b\n")
        assert [(one.key, one.what_happened) for one in records.values()] == [("1-1-0", "a"), ("1-0-0", "b")]

    def test_what_looks_like_one_and_is_not_read_is_told(self) -> None:
        strange = ("##1.0.9 (2031-01-02)", "v1.0.8 (2031-01-01)", "## 1.0.7 burns better")
        text = "\n\n".join(("## 1.1.0\n- a", *strange, "- b", "## 1.0.0\n- c\n"))
        assert [title for title, _ in told(text)] == ["1.1.0", "1.0.0"]
        assert [says for says, _ in unread(text)] == [*strange[:2], "1.0.7 burns better"]

    def test_a_second_heading_of_a_release_costs_itself(self) -> None:
        text = "## 1.1.0\n- a\n\n## 1.0.0\n- b\n\n## v1.0.0\n- c\n\n## 0.9.0\n- d\n"
        assert {key: one.what_happened for key, one in read(text).items()} == {
            "1-1-0": "- a\n", "1-0-0": "- b\n", "0-9-0": "- d\n",
        }
        assert unread(text) == [("1-0-0", "an entry before it has the same key")]

    def test_a_bracket_left_open_makes_no_other_version(self) -> None:
        assert unread("## 1.1.0\n- a\n\n## [1.0\n- b\n") == [("[1.0", "a bracket that is not closed")]

    def test_markup_cut_short_is_refused(self) -> None:
        with pytest.raises(ExtractError, match="ends early"):
            read("<!doctype html><html><h2>1.0.0</h2>")

    def test_a_heading_that_the_text_breaks_off_in_is_none(self) -> None:
        assert list(read("## 1.1.0\n- a\n\n## 1.0")) == ["1-1-0"]
        assert unread("## 1.1.0\n- a\n\n## 1.0")[0][1].startswith("the page ends in it")


class TestKeys:
    def test_a_version_is_an_identity(self) -> None:
        versions = [
            "1.1.0", "1.1.0-beta", "1.1.0+beta", "1.1.0-1", "1.1.0.1", "1.1.0+1", "1.1", "11.0", "1!1.0", "1.1/1.0",
        ]
        assert len(read("".join(f"## {version}\n- a\n\n" for version in versions))) == len(versions)

    def test_it_is_what_keepachangelog_has(self) -> None:
        text = "## [1.1.0] - 2031-01-02\n- a\n\n## 1.0.0-rc.1\n- b\n\n## v0.9.0rc1\n- c\n"
        old = registry.get("keepachangelog").read_many(Page(url=URL, text=text), source="kiln")
        assert list(read(text)) == [one.key for one in old] == ["1-1-0", "1-0-0-rc-1", "0-9-0rc1"]

    def test_two_products_on_one_page(self) -> None:
        text = "## Kiln 1.0.0\n- a\n\n## Tongs 1.0.0\n- b\n\n## 灯窯 1.0.0\n- c\n\n## 火箸 1.0.0\n- d\n"
        assert list(read(text)) == ["kiln-1-0-0", "tongs-1-0-0", "灯窯-1-0-0", "火箸-1-0-0"]
        assert list(read(text, project="Kiln"))[:2] == ["1-0-0", "tongs-1-0-0"]

    def test_links_go_to_the_headings_own_ids(self) -> None:
        text = "## [1.1.0] - 2031-01-02 🚀\n- a\n\n## <a id=\"old\"></a>1.0.0\n- b\n\n## Kiln 0.9 {#nine}\n- c\n"
        assert [one.url.partition("#")[2] for one in read(text).values()] == ["110---2031-01-02-", "old", "nine"]
        body = "<h2 id='a b'>1.1.0</h2><p>x</p><section id=s><h2>1.0.0</h2></section>"
        html = f"<!doctype html><html><body>{body}</body></html>"
        assert [one.url.partition("#")[2] for one in read(html).values()] == ["a%20b", "s"]

    def test_one_is_read_by_its_link_and_by_its_key(self) -> None:
        site, text = registry.get("changelog"), "## [1.1.0] - 2031-01-02\n- a\n\n## 1.0.0\n- b\n"
        for fragment in ("110---2031-01-02", "1-1-0"):
            assert site.read(Page(url=f"{URL}#{fragment}", text=text), source="kiln").key == "1-1-0"


RELEASES = [
    f"## [0.{number}.0] - 2031-{1 + number // 20:02}-{1 + number % 20:02}\n\n### Added\n- Brick {number} of `clay`.\n"
    for number in range(30)
]
HEAD = "# Changelog\n\nAll that is baked.\n\n"


class TestContract:
    """What every extractor promises."""

    def test_order_growth_and_new_names_change_no_other_record(self) -> None:
        whole = read(HEAD + "\n".join(reversed(RELEASES)))
        assert read(HEAD + "\n".join(RELEASES)) == whole
        fewer = read(HEAD + "\n".join(reversed(RELEASES[:-1])))
        assert {key: whole[key] for key in fewer} == fewer
        renamed = read(HEAD + "\n".join(RELEASES).replace("## [0.7.0] -", "## Version 0.7.0, the red one —"))
        assert renamed.keys() == whole.keys()

    def test_nothing_is_invented_however_the_text_is_damaged(self) -> None:
        text = HEAD + "\n".join(reversed(RELEASES))
        whole = read(text)
        chance = random.Random(31)  # noqa: S311
        for _ in range(25):
            lines = text.split("\n")
            for _ in range(chance.randint(1, 4)):
                at = chance.randrange(len(lines))
                match chance.randrange(4):
                    case 0:
                        del lines[at]
                    case 1:
                        lines.insert(at, lines[at])
                    case 2 if not lines[at].startswith("## ["):
                        lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)] + "\x00`<!" * chance.randrange(2)
                    case _:
                        lines[at] = re.sub(r"\W", "", lines[at])
            try:
                after = read("\n".join(lines))
            except ExtractError:
                continue
            for key, record in after.items():
                assert key in whole
                assert record.date in (None, whole[key].date), key


def test_text_keeps_its_shape() -> None:
    text = (
        "## 1.1.0\n\nFirst *words* of [it](https://kiln.example/a_(b)), with `code`.\n\nMore.\n\n"
        "### Added\n- one\n  - two\n\n    three\n\n1. four\n\n```\nfive  <six>\n```\n"
    )
    [record] = read(text).values()
    assert [(block.kind, block.text, block.depth, block.mark) for block in blocks_of(record.what_happened)] == [
        ("paragraph", "First words of it, with `code`.", 0, "-"), ("paragraph", "More.", 0, "-"),
        ("paragraph", "Added:", 0, "-"), ("item", "one", 0, "-"), ("item", "two three", 1, "-"),
        ("item", "four", 0, "1."), ("code", "five  <six>", 0, "-"),
    ]


def test_a_page_is_parted_once_for_its_records_and_what_is_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    site, asked = registry.get("changelog"), list[str]()
    whole = site.entries  # type: ignore[attr-defined]

    def entries(page: Page) -> object:
        asked.append(page.text)
        return whole(page)

    monkeypatch.setattr(site, "entries", entries)
    pages = [Page(url=URL, text=f"## 1.{number}.0\n- a\n") for number in range(2)]
    for page in pages:
        [record] = site.read_many(page, source="kiln")
        assert site.unread(page) == ()
        assert record.key == f"1-{page.text[5]}-0"
    assert asked == [page.text for page in pages]


@pytest.mark.parametrize("unit", ["![", "[", "[a](", "word "])
def test_a_paragraph_is_read_as_far_as_a_reader_would(unit: str) -> None:
    """Brackets that are never closed take the parser the square of their number."""
    [record] = read(f"## 1.0.0\n\n{unit * (150_000 // len(unit))}\n").values()
    assert 200 < len(record.what_happened) <= 6_000


def test_figures_that_are_no_date_are_no_name_of_the_release() -> None:
    broken, named = read("## [1.4.0] - 2031-01}-11\n\n- A lamp\n\n## [1.3.0] - 2031 lamps\n\n- B\n").values()
    assert (broken.title, broken.date) == ("1.4.0", None)
    assert "2031-01}-11" in str(broken.evidence["unread"][0].says)
    assert named.title == "1.3.0 – 2031 lamps"


def test_a_page_of_endless_releases_is_read_in_part_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changelog, "_RELEASES_CAP", 2)
    text = "".join(f"## 1.{number}.0\n\n- A lamp\n\n" for number in range(5))
    assert len(read(text)) == 2
    assert "3 further headings" in str(unread(text)[-1])


def test_the_title_of_a_document_of_one_series_is_no_release_of_its_own():
    text = "# Changes in Kiln 13.4\n\nAll of them.\n\n## [13.4.0] - 2031-02-03\n\n### Added\n\n- A door of brick.\n"
    records = registry.get("changelog", {"path": "/C.md", "project": "Kiln"}).read_many(
        Page(url="https://kiln.example/C.md", text=text), source="kiln")
    assert [record.title for record in records] == ["Kiln 13.4.0"]
