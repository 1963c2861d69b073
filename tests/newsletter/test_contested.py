"""What becomes of a change that not every witness of a field tells: a page of the sample site, edited in places."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from console.demo.site import pages
from extractors import registry
from extractors.labels import Labels
from milepost.dates import PartialDate
from milepost.records import Card, Flap, LabelPair, Milestone, Page, Witness
from newsletter.news.contested import contests, fallen_silent
from newsletter.news.detect import Detection, detect, merge
from newsletter.news.flapping import STAYS

PATH = "/story/su-song-clock-tower"
URL = f"https://clockwork.example{PATH}"
SERVED = pages.build(pages.load(), build_id="one")[PATH].decode()
TITLE = "Su Song's clock tower runs by water"
NEW_TITLE = "Su Song’s tower falls silent"
LISTING = "https://clockwork.example/"
SITE = registry.get("sample")

Edit = Callable[[str], str]


def swap(old: str, new: str) -> Edit:
    """Replace what stands once in the page."""

    def edit(text: str) -> str:
        assert text.count(old) == 1, (text.count(old), old)
        return text.replace(old, new)

    return edit


def linked_data(change: Callable[[dict[str, object]], object]) -> Edit:
    """Change the page's JSON-LD article."""

    def edit(text: str) -> str:
        start = text.index("ld+json\">") + len("ld+json\">")
        end = text.index("</script>", start)
        data = json.loads(text[start:end])
        change(data["@graph"][0])
        return text[:start] + json.dumps(data) + text[end:]

    return edit


H1 = swap("<h1>Su Song&#39;s clock tower runs by water</h1>", f"<h1>{NEW_TITLE}</h1>")
TITLE_TAG = swap("<title>Su Song&#39;s clock tower runs by water |", f"<title>{NEW_TITLE} |")
NO_LINKED_DATA: Edit = partial(re.sub, r'(?s)<script type="application/ld\+json">.*?</script>', "")
HEADLINE = linked_data(lambda article: article.update(headline=NEW_TITLE))


def card(title: str = TITLE, date: str = "1094") -> Card:
    return Card(key="su-song-clock-tower", title=title, date=PartialDate(value=date), category="mechanism")


def read(*edits: Edit, cards: tuple[Card, ...] = ()) -> Milestone:
    text = SERVED
    for edit in edits:
        text = edit(text)
    return SITE.read(Page(url=URL, text=text), source="clockwork", cards=[(LISTING, one) for one in cards])


def look(known: Milestone, now: Milestone, **options: list[str]) -> Detection:
    return detect({known.key: known}, {now.key: now}, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("edits", "cards", "told"),
    [
        pytest.param([H1], [card()], [], id="h1 alone"),
        pytest.param([H1], [], [], id="h1 alone against one witness"),
        pytest.param([H1, TITLE_TAG], [card()], [], id="h1 and title tag"),
        pytest.param([H1], [card(NEW_TITLE)], [("title", "corrected")], id="h1 and card against one"),
        pytest.param([H1, HEADLINE], [card()], [("title", "corrected")], id="h1 and json-ld against an old card"),
        pytest.param([H1, HEADLINE], [card(NEW_TITLE)], [("title", "corrected")], id="all"),
        pytest.param([HEADLINE], [card()], [], id="json-ld alone"),
    ],
)
def test_a_title_is_corrected_by_more_witnesses_than_still_tell_the_old_one(
    edits: list[Edit], cards: list[Card], told: list[tuple[str, str]]
) -> None:
    known, now = read(cards=(card(),)), read(*edits, cards=tuple(cards))

    found = look(known, now)

    assert [(part.field, part.kind) for change in found.changes for part in change.fields] == told
    assert found.merged[known.key].title == (NEW_TITLE if told else TITLE)


@pytest.mark.parametrize(
    ("field", "edits"),
    [
        pytest.param("date", [swap('<time datetime="1094">1094</time>', '<time datetime="1096">1096</time>')],
                     id="date"),
        pytest.param("category", [swap('<dd><a href="/theme/mechanism">', '<dd><a href="/theme/x">'),
                                  swap('› <a href="/theme/mechanism">', '› <a href="/theme/x">')], id="category"),
        pytest.param("what_happened", [swap("<p>In Kaifeng, the", "<p>In Luoyang, the")], id="what happened"),
        pytest.param("why_it_mattered", [swap("<p>It joined", "<p>It never joined")], id="why it mattered"),
        pytest.param("people", [swap("<dd>Su Song</dd>", "<dd>Shen Kuo</dd>")], id="people"),
        pytest.param("people", [swap("<dd>Su Song</dd>", "")], id="a person less"),
        pytest.param("people", [swap("<dd>Su Song</dd>", "<dd>Su Song</dd><dd>Shen Kuo</dd>")], id="a person more"),
        pytest.param("tags", [swap("<li>#china</li>", "<li>#japan</li>")], id="tags"),
        pytest.param("image", [linked_data(lambda a: a["image"].update(url="https://ads.example/1.png"))],  # type: ignore[attr-defined]
                     id="image"),
        pytest.param("image", [linked_data(lambda a: a["image"].update(caption="An advertisement"))],  # type: ignore[attr-defined]
                     id="an image's words"),
    ],
)  # fmt: skip
def test_no_field_follows_one_witness_against_the_other(field: str, edits: list[Edit]) -> None:
    known, now = read(), read(*edits)
    assert getattr(now, field) != getattr(known, field)  # the extractor follows its first witness

    found = look(known, now)

    assert found.changes == ()
    assert getattr(found.merged[known.key], field) == getattr(known, field)
    assert [one.field for one in found.contests] == [field]


def test_a_heading_and_the_microdata_inside_it_are_one_witness() -> None:
    inside = Witness(witness="microdata", where="itemprop name")
    known, now = read(), read(H1)
    now = replace(now, evidence=dict(now.evidence) | {"title": (*now.evidence["title"], inside)})

    assert [one.field for one in look(known, now).contests] == ["title"]


def test_a_field_with_one_witness_is_corrected_by_it() -> None:
    known, now = read(), read(swap("<dd>4 / 5</dd>", "<dd>2 / 5</dd>"))

    found = look(known, now)

    assert [(part.field, part.kind) for part in found.changes[0].fields] == [("impact", "corrected")]
    assert found.contests == ()


def test_a_year_that_fits_both_dates_speaks_for_neither() -> None:
    day = swap('<time datetime="1094">1094</time>', '<time datetime="1094">1094</time>')
    first = linked_data(lambda article: article.update(temporalCoverage="1094-03"))
    later = linked_data(lambda article: article.update(temporalCoverage="1094-09"))
    known, now = read(day, first, cards=(card(date="1094-03"),)), read(day, later, cards=(card(date="1094-03"),))
    assert (known.date, now.date) == (PartialDate(value="1094-03"), PartialDate(value="1094-09"))

    assert look(known, now).changes == ()
    moved = read(day, later, cards=(card(date="1094-09"),))
    assert [part.kind for part in look(known, moved).changes[0].fields] == ["corrected"]


def test_the_dispute_is_told_in_a_sentence_and_stands_in_the_evidence() -> None:
    known, now = read(cards=(card(),)), read(H1, cards=(card(),))

    found = look(known, now)

    [contest] = found.contests
    assert str(contest) == (
        f"{URL}: title stays “{TITLE}”, as json-ld (Article.headline) and card (title) still say; "
        f"only headings (h1) says “{NEW_TITLE}”"
    )
    told = found.merged[known.key].evidence["title"]
    assert [(one.witness, one.says) for one in told] == [
        ("headings", None), ("json-ld", None), ("card", None), ("headings", NEW_TITLE),
    ]


def test_what_is_contested_stays_so_at_every_look_until_they_agree() -> None:
    known, now = read(), read(H1)
    for _ in range(3):
        found = look(known, now)
        known = found.merged[known.key]
        assert (found.changes, known.title, len(found.contests)) == ((), TITLE, 1)

    found = look(known, read(H1, HEADLINE))

    assert [part.kind for part in found.changes[0].fields] == ["corrected"]
    told = found.merged[known.key].evidence["title"]
    assert [(one.witness, one.says) for one in told] == [("headings", None), ("json-ld", None)]


def test_other_fields_of_the_page_change_beside_a_contested_one() -> None:
    found = look(read(), read(H1, swap("<dd>4 / 5</dd>", "<dd>2 / 5</dd>")))

    assert [part.field for part in found.changes[0].fields] == ["impact"]
    assert found.merged["su-song-clock-tower"].title == TITLE


def test_a_source_may_say_that_a_fields_first_witness_is_believed() -> None:
    found = look(read(), read(H1), believed=["title"])

    assert [part.kind for part in found.changes[0].fields] == ["corrected"]
    assert found.contests == ()


def test_a_first_sight_with_a_disagreement_is_news_as_its_first_witness_tells_it() -> None:
    now = read(H1)

    found = detect({}, {now.key: now})

    assert [change.kind for change in found.changes] == ["added"]
    assert (found.merged[now.key].title, found.contests) == (NEW_TITLE, ())


def test_a_witness_that_never_agreed_speaks_for_no_known_value() -> None:
    """JSON-LD that has always told another title doesn't keep the h1 from being edited."""
    other = linked_data(lambda article: article.update(headline="Clockwork: a story"))

    found = look(read(other), read(other, H1))

    assert [part.kind for part in found.changes[0].fields] == ["corrected"]


class TestANewExtractor:
    """Read again by a later version, a record may differ though its page does not."""

    def test_that_believes_another_witness_is_followed(self) -> None:
        """Both witnesses told what they tell now; only who is kept is new."""
        known, told = read(HEADLINE), read()
        evidence = dict(known.evidence) | {"title": (
            replace(told.evidence["title"][1], says=None), replace(told.evidence["title"][0], says=TITLE),
        )}
        now = replace(known, title=NEW_TITLE, evidence=evidence, extractor="sample/99")
        assert (known.title, contests(known, now)) == (TITLE, ())

    def test_that_reads_the_same_page_otherwise_is_followed(self) -> None:
        known, now = read(), replace(read(H1), extractor="sample/99")
        assert contests(known, now, same_page=True) == ()

    def test_does_not_settle_what_was_contested(self) -> None:
        contested = look(read(), read(H1)).merged["su-song-clock-tower"]
        now = replace(read(H1), extractor="sample/99")
        [one] = contests(contested, now, same_page=True)
        assert merge(contested, now, [one]).title == TITLE

    def test_at_a_page_that_changed_is_held_to_the_same_rule(self) -> None:
        now = replace(read(H1), extractor="sample/99")
        assert [one.field for one in contests(read(), now)] == ["title"]


class TestAWitnessThatFellSilent:
    """It is no vote for what those that are left say: one damage can take the one and change the others."""

    def test_waits_and_is_told_once(self) -> None:
        known = read()
        found = look(known, read(NO_LINKED_DATA, H1))

        assert (found.changes, found.contests) == ((), ())
        assert found.merged[known.key].title == TITLE
        assert found.merged[known.key].evidence["title"] == known.evidence["title"]
        [flapping] = found.flapping
        assert str(flapping) == (
            f"{URL}: title stays “{TITLE}”, as json-ld (Article.headline) fell silent when the page began to say "
            f"“{NEW_TITLE}”; that is taken when it has said so for {STAYS} looks in a row"
        )

    def test_what_stays_is_taken(self) -> None:
        known, flaps, told = read(), dict[str, Flap](), []
        for _ in range(STAYS):
            found = detect(
                {known.key: known}, {known.key: read(NO_LINKED_DATA, H1)}, flaps={known.key: flaps} if flaps else {},
            )
            known = found.merged[known.key]
            flaps = {flap.field: flap for flap in found.flaps[known.key]}
            told += [change.kind for change in found.changes]
        assert (told, known.title, flaps) == (["corrected"], NEW_TITLE, {})
        assert [one.witness for one in known.evidence["title"]] == ["headings"]

    def test_that_comes_back_with_the_known_value_changes_nothing(self) -> None:
        known = read()
        flap = look(known, read(NO_LINKED_DATA, H1)).flaps[known.key]
        flaps = {one.field: one for one in flap}
        for _ in range(STAYS):
            found = detect({known.key: known}, {known.key: read()}, flaps={known.key: flaps})
            flaps = {one.field: one for one in found.flaps[known.key]}
            assert (found.changes, found.flapping) == ((), ())
        assert flaps == {}

    @pytest.mark.parametrize(
        "edits",
        [
            pytest.param([H1, HEADLINE], id="both tell it"),
            pytest.param([H1, HEADLINE, swap("<dd>4 / 5</dd>", "<dd></dd>")], id="a witness of another field is gone"),
        ],
    )
    def test_has_no_part_in_an_edit_that_all_tell(self, edits: list[Edit]) -> None:
        found = look(read(), read(*edits))
        assert ("title", "corrected") in [(part.field, part.kind) for part in found.changes[0].fields]
        assert found.flapping == ()

    def test_before_the_edit_is_no_witness_any_more(self) -> None:
        known = read()
        found = look(known, read(NO_LINKED_DATA))
        assert (found.changes, found.flapping) == ((), ())

        found = look(found.merged[known.key], read(NO_LINKED_DATA, H1))

        assert [(part.field, part.kind) for part in found.changes[0].fields] == [("title", "corrected")]

    def test_is_outvoted_by_more_than_it_and_those_who_deny(self) -> None:
        known = read(cards=(card(),))
        silent = fallen_silent(known, read(NO_LINKED_DATA, H1, cards=(card(NEW_TITLE),)))
        assert "title" not in silent  # heading and card against the JSON-LD that is gone
        assert "title" in fallen_silent(known, read(NO_LINKED_DATA, H1, cards=(card(),)))

    def test_is_no_card_for_those_come_with_listings(self) -> None:
        known = read(cards=(card(),))
        assert look(known, read(H1, HEADLINE)).flapping == ()
        only = replace(known, evidence=dict(known.evidence) | {"title": known.evidence["title"][-1:]})
        assert only.evidence["title"][0].witness == "card"
        assert "title" not in fallen_silent(only, read(NO_LINKED_DATA, H1))

    def test_is_not_waited_for_where_a_fields_first_witness_is_believed(self) -> None:
        found = look(read(), read(NO_LINKED_DATA, H1), believed=["title"])
        assert [part.field for part in found.changes[0].fields] == ["title"]

    def test_and_a_gain_is_followed_at_once(self) -> None:
        known, now = read(), read(NO_LINKED_DATA)
        now = replace(now, tags=(*now.tags, "tides"))
        assert "tags" in fallen_silent(known, now)
        assert [(part.field, part.kind) for part in look(known, now).changes[0].fields] == [("tags", "enriched")]

    def test_is_nothing_where_another_extractor_asks_others(self) -> None:
        assert fallen_silent(read(), replace(read(NO_LINKED_DATA, H1), extractor="sample/99")) == {}


def told_two_ways(category: str) -> Milestone:
    """A record whose headings tell one category, and whose JSON-LD still tells the known one."""
    return replace(KNOWN_CATEGORY, category=category, evidence={"category": (
        Witness(witness="headings", where="dt Theme"), Witness(witness="json-ld", where="x", says="research"),
    )})


KNOWN_CATEGORY = Milestone(
    source="s", key="k", url="https://site.example/k", title="T", category="research",
    evidence={"category": (Witness(witness="headings", where="dt Theme"), Witness(witness="json-ld", where="x"))},
)


def test_a_label_of_the_known_slug_is_no_contest() -> None:
    labels = Labels([LabelPair("category", "great-finds", "research")])

    def found(labels: Labels) -> Detection:
        return detect({"k": KNOWN_CATEGORY}, {"k": told_two_ways("great-finds")}, labels=labels)

    assert [one.field for one in found(Labels()).contests] == ["category"]
    assert found(labels).contests == ()


def test_a_known_slug_told_by_its_label_is_no_correction() -> None:
    told = replace(KNOWN_CATEGORY, category="great-finds")

    def found(labels: Labels) -> list[str]:
        return [one.kind for one in detect({"k": KNOWN_CATEGORY}, {"k": told}, labels=labels).changes]

    assert found(Labels([LabelPair("category", "great-finds", "research")])) == ["cosmetic"]
    assert found(Labels()) == ["corrected"]


def test_a_label_that_no_link_explains_takes_no_known_slug_s_place() -> None:
    unlinked = replace(KNOWN_CATEGORY, category="great-finds", labels=(LabelPair("category", "great-finds", None),))

    def kept(labels: Labels) -> str | None:
        return detect({"k": KNOWN_CATEGORY}, {"k": unlinked}, labels=labels).merged["k"].category

    assert kept(Labels([LabelPair("category", "finds", "research")])) == "research"  # a slug, as the source links
    assert kept(Labels()) == "great-finds"


def test_a_look_that_is_contested_counts_neither_way_for_what_alternates() -> None:
    open_ = Flap(field="category", value="industry", looks=2)

    found = detect({"k": KNOWN_CATEGORY}, {"k": told_two_ways("industry")}, flaps={"k": {"category": open_}})

    assert [one.field for one in found.contests] == ["category"]
    assert found.flaps == {"k": (open_,)}
