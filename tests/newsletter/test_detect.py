"""What a difference between two looks means, from single fields to the shape of a real site's history."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.dates import PartialDate
from milepost.fields import CONTENT_FIELDS
from milepost.fingerprint import fingerprint
from milepost.records import Card, Image, Milestone, Witness
from newsletter.news.detect import Detection, detect
from newsletter.news.rules import RULES

BASE = Milestone(
    source="timekeeping", key="pendulum-clock", url="https://old.example.org/timeline/pendulum-clock",
    title="The Pendulum Clock", date=PartialDate(value="1656"), category="mechanisms", era="precision", impact=4,
    what_happened="Huygens hung a weight — “a pendulum” — in a clock...", why_it_mattered="It kept time.",
    people=("Christiaan Huygens", "Salomon Coster"), organizations=("Workshop",), tags=("pendulum", "physics"),
    image=Image(url="http://pics.example.org/thumb/a/ab/P.png/500px-P.png", alt="A clock"),
    evidence={"people": (Witness(witness="headings", where="h2 Key People"),)},
)
BARE = Milestone(source="timekeeping", key="pendulum-clock", url=BASE.url, title="The Pendulum Clock")


def look(old: Milestone, new: Milestone) -> Detection:
    return detect({old.key: old}, {new.key: new})


def test_what_another_extractor_reads_otherwise_of_the_page_as_it_was_is_no_correction() -> None:
    """What the page tells otherwise than it did is one still."""
    of_then = replace(BASE, title="A Clock with a Pendulum", what_happened="Huygens hung a weight.")
    now = replace(of_then, what_happened="Coster hung a weight.", impact=5)
    found = detect({BASE.key: BASE}, {BASE.key: now}, reread={BASE.key: of_then})
    [change] = found.changes
    assert change.kind == "corrected"
    assert {part.field: part.kind for part in change.fields} == {
        "title": "cosmetic", "what_happened": "cosmetic", "impact": "corrected",
    }
    assert (found.read_otherwise, found.merged[BASE.key].title) == ((BASE.key,), of_then.title)
    same = detect({BASE.key: BASE}, {BASE.key: replace(BASE, impact=5)}, reread={BASE.key: BASE})
    assert ([one.kind for one in same.changes], same.read_otherwise) == (["corrected"], ())


@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"url": "https://new.example.org/timeline/pendulum-clock"}, {}, id="the site's domain"),
        pytest.param({"related": (Card(key="x", title="Another"),)}, {}, id="only Related"),
        pytest.param({"extractor": "site/2"}, {}, id="only the extractor's version"),
        pytest.param({"title": "The  Pendulum\u00a0Clock"}, {"title": "cosmetic"}, id="whitespace"),
        pytest.param({"title": "The pendulum clock"}, {"title": "cosmetic"}, id="case"),
        pytest.param({"title": "The Pendulum Watch"}, {"title": "corrected"}, id="another word"),
        pytest.param(
            {"what_happened": "Huygens hung a weight - \"a pendulum\" - in a clock…"}, {"what_happened": "cosmetic"},
            id="quotes dashes and ellipsis",
        ),
        pytest.param({"what_happened": "Coster hung a weight in a clock"}, {"what_happened": "corrected"}, id="words"),
        pytest.param({"why_it_mattered": ""}, {"why_it_mattered": "corrected"}, id="words taken back"),
        pytest.param({"date": PartialDate(value="1656-12")}, {"date": "enriched"}, id="month learnt"),
        pytest.param(
            {"date": PartialDate(value="1656-12", confirmed=False)}, {"date": "enriched"}, id="unsettled month learnt"
        ),
        pytest.param({"date": PartialDate(value="1657")}, {"date": "corrected"}, id="another year"),
        pytest.param({"date": PartialDate(value="1656", confirmed=False)}, {}, id="same year less sure"),
        pytest.param({"date": None}, {"date": "corrected"}, id="date taken back"),
        pytest.param({"impact": 5}, {"impact": "corrected"}, id="impact"),
        pytest.param({"impact": None}, {"impact": "corrected"}, id="impact taken back"),
        pytest.param({"category": "Mechanisms"}, {"category": "cosmetic"}, id="category's case"),
        pytest.param({"category": "science"}, {"category": "corrected"}, id="another category"),
        pytest.param({"tags": ("physics", "pendulum")}, {"tags": "cosmetic"}, id="order of tags"),
        pytest.param({"tags": ("Pendulum", "Physics")}, {"tags": "cosmetic"}, id="case of tags"),
        pytest.param({"tags": ("pendulum", "physics", "horology")}, {"tags": "enriched"}, id="a tag more"),
        pytest.param({"tags": ("pendulum",)}, {"tags": "corrected"}, id="a tag less"),
        pytest.param(
            {"people": ("Salomon Coster", "Christiaan Huygens")}, {"people": "cosmetic"}, id="order of people"
        ),
        pytest.param({"people": ("Christiaan Huygens", "S. Koster")}, {"people": "corrected"}, id="another person"),
        pytest.param({"people": ()}, {"people": "corrected"}, id="people taken back"),
        pytest.param(
            {"image": Image(url="http://pics.example.org/thumb/a/ab/P.png/250px-P.png", alt="A clock")},
            {"image": "cosmetic"}, id="thumbnail size",
        ),
        pytest.param(
            {"image": Image(url="https://pics.example.org/thumb/a/ab/P.png/500px-P.png", alt="A clock")},
            {"image": "cosmetic"}, id="image over https",
        ),
        pytest.param(
            {"image": Image(url="https://pics.example.org/thumb/a/ab/Q.png/500px-Q.png", alt="A clock")},
            {"image": "corrected"}, id="another image",
        ),
        pytest.param({"image": None}, {"image": "corrected"}, id="image taken back"),
        pytest.param({"image": Image(url=None, alt="A clock")}, {}, id="image only described"),
        pytest.param(
            {"title": "The  Pendulum Clock", "date": PartialDate(value="1656-12"), "impact": 5},
            {"title": "cosmetic", "date": "enriched", "impact": "corrected"}, id="of each kind",
        ),
    ],
)  # fmt: skip
def test_a_difference_is_judged_by_its_field(fields: dict[str, object], kinds: dict[str, str]) -> None:
    found = look(BASE, replace(BASE, **fields))  # type: ignore[arg-type]

    assert {field.field: field.kind for change in found.changes for field in change.fields} == kinds
    order = ("corrected", "enriched", "cosmetic")
    strongest = next((kind for kind in order if kind in kinds.values()), None)
    assert [change.kind for change in found.changes] == ([strongest] if strongest else [])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("date", PartialDate(value="1656"), id="date"),
        pytest.param("category", "mechanisms", id="category"),
        pytest.param("impact", 3, id="impact"),
        pytest.param("what_happened", "A clock.", id="what happened"),
        pytest.param("people", ("Christiaan Huygens",), id="people"),
        pytest.param("tags", ("pendulum",), id="tags"),
        pytest.param("image", Image(url="https://pics.example.org/p.png"), id="image"),
    ],
)
def test_what_was_empty_and_is_filled_is_enriched(field: str, value: object) -> None:
    found = look(BARE, replace(BARE, **{field: value}))  # type: ignore[arg-type]

    told = [(change.kind, [part.field for part in change.fields]) for change in found.changes]
    assert told == [("enriched", [field])]


@pytest.mark.parametrize(
    ("old", "new", "kind", "kept"),
    [
        pytest.param("2012?", "2012", "enriched", "2012", id="year settled"),
        pytest.param("2012?", "2012-09", "enriched", "2012-09", id="a card tells the month"),
        pytest.param("2012", "2012-09-30", "enriched", "2012-09-30", id="day learnt"),
        pytest.param("2012-09", "2012?", None, "2012-09", id="padded reading says less"),
        pytest.param("2012-09-30", "2012-09?", None, "2012-09-30", id="unsettled month says less than the day"),
        pytest.param("2012", "2012?", None, "2012", id="settled stays settled"),
        pytest.param("2012-09", "2012", None, "2012-09", id="a settled year holds the month"),
        pytest.param("2012-09-30", "2012-09", None, "2012-09-30", id="a settled month holds the day"),
        pytest.param("2012-09-30", "2012-10", "corrected", "2012-10", id="a month that does not hold the day"),
        pytest.param("2012-09", "2012-10", "corrected", "2012-10", id="another month"),
        pytest.param("2012?", "2013?", "corrected", "2013?", id="another year, both unsettled"),
        pytest.param("2012-09", "2013?", "corrected", "2013?", id="another year, unsettled"),
    ],
)
def test_dates(old: str, new: str, kind: str | None, kept: str) -> None:
    def date(text: str) -> PartialDate:
        return PartialDate(value=text.rstrip("?"), confirmed=not text.endswith("?"))

    found = look(replace(BASE, date=date(old)), replace(BASE, date=date(new)))

    assert [change.kind for change in found.changes] == ([kind] if kind else [])
    assert found.merged[BASE.key].date == date(kept)


def test_unknown_never_overwrites_what_is_known_and_keeps_its_evidence() -> None:
    read = replace(
        BASE, people=(), date=None, related=(), image=None, unknown=frozenset({"people", "date", "related", "image"}),
        evidence={"title": (Witness(witness="text", where="line 1"),)},
    )
    known = replace(BASE, related=(Card(key="x", title="Another"),))

    found = look(known, read)

    assert found.changes == ()
    kept = found.merged[BASE.key]
    assert (kept.people, kept.date, kept.image, kept.related) == (
        known.people, known.date, known.image, known.related,
    )
    assert kept.unknown == frozenset()
    assert kept.evidence == {"people": BASE.evidence["people"], "title": read.evidence["title"]}


def test_what_was_unknown_and_is_told_is_enriched_even_when_it_is_empty() -> None:
    known = replace(BARE, unknown=frozenset({"people", "tags"}))

    found = look(known, replace(BARE, people=("Christiaan Huygens",)))

    assert [(part.field, part.kind, part.old, part.new) for part in found.changes[0].fields] == [
        ("people", "enriched", None, ["Christiaan Huygens"]), ("tags", "enriched", None, []),
    ]


def test_what_stays_unknown_stays_so_in_silence() -> None:
    known = replace(BARE, unknown=frozenset({"people"}))

    found = look(known, known)

    assert found == Detection(changes=(), merged={BARE.key: known})


def test_an_image_that_is_only_described_keeps_its_address() -> None:
    found = look(BASE, replace(BASE, image=Image(url=None, alt="A clock with a pendulum")))

    assert BASE.image is not None
    assert found.merged[BASE.key].image == Image(url=BASE.image.url, alt="A clock with a pendulum")
    assert [change.kind for change in found.changes] == ["corrected"]


def test_an_image_on_the_sites_own_host_moves_with_it_unchanged() -> None:
    old = replace(BASE, image=Image(url="https://old.example.org/img/p.png"))
    new = replace(old, url="https://new.example.org/timeline/pendulum-clock",
                  image=Image(url="https://new.example.org/img/p.png"))  # fmt: skip

    assert [change.kind for change in look(old, new).changes] == ["cosmetic"]


def test_only_what_was_read_is_judged() -> None:
    assert detect({BASE.key: BASE}, {}) == Detection(changes=(), merged={})


def test_every_content_field_has_a_rule_and_related_has_none() -> None:
    assert tuple(RULES) == CONTENT_FIELDS
    assert "related" not in RULES


def timeline(count: int) -> dict[str, Milestone]:
    return {
        f"m{n}": Milestone(
            source="timekeeping", key=f"m{n}", url=f"https://a.example.org/timeline/m{n}", title=f"Milestone {n}",
            date=PartialDate(value=str(1600 + n)), what_happened=f"Thing {n} happened.",
            why_it_mattered=f"It mattered {n} times.", tags=("clocks",),
            related=(Card(key=f"m{n - 1}", title=f"Milestone {n - 1}"),),
        )
        for n in range(count)
    }


def tally(found: Detection) -> dict[str, int]:
    kinds = [change.kind for change in found.changes]
    return {kind: kinds.count(kind) for kind in kinds}


def test_a_sites_history_raises_one_piece_of_news_and_no_false_alarm() -> None:
    """Images come, images are resized, one milestone is added while its neighbours' cards change, the domain moves."""
    thumb = "https://pics.example.org/thumb/a/ab/{n}.png/{size}px-{n}.png"

    def pictured(known: dict[str, Milestone], count: int, size: int) -> dict[str, Milestone]:
        return known | {
            f"m{n}": replace(known[f"m{n}"], image=Image(url=thumb.format(n=n, size=size), alt="A clock"))
            for n in range(count)
        }

    first = timeline(80)
    second = pictured(first, 66, 300)
    third = pictured(second, 64, 250)
    fourth = third | {
        f"m{n}": replace(third[f"m{n}"], why_it_mattered=f"It mattered {n} times, and more.") for n in range(23)
    }
    fourth |= {f"m{n}": replace(third[f"m{n}"], related=(Card(key="new", title="New"),)) for n in range(23, 44)}
    fourth |= {"new": replace(first["m1"], key="new", title="New", url="https://a.example.org/timeline/new")}
    fifth = {key: replace(record, url=record.url.replace("a.example", "b.example")) for key, record in fourth.items()}

    assert tally(detect(first, second)) == {"enriched": 66}
    assert tally(detect(second, third)) == {"cosmetic": 64}
    assert tally(detect(third, fourth)) == {"corrected": 23, "added": 1}
    assert tally(detect(fourth, fifth)) == {}
    assert list(detect(third, fourth).merged) == list(fourth)


words = st.text(alphabet="ab —\"'”", max_size=6)
dates = st.sampled_from(["1656", "1656-12", "1657"]).flatmap(
    lambda value: st.booleans().map(lambda confirmed: PartialDate(value=value, confirmed=confirmed))
)
records = st.builds(
    lambda **fields: replace(BARE, **fields),
    title=words, date=st.none() | dates, what_happened=words, people=st.lists(words, max_size=3).map(tuple),
    impact=st.none() | st.integers(1, 5), unknown=st.frozensets(st.sampled_from(["date", "people", "impact"])),
    image=st.none() | st.builds(Image, url=st.sampled_from([None, "https://p.example.org/a.png"]), alt=words),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(old=records, new=records)
def test_a_change_is_told_exactly_when_the_record_to_keep_differs(old: Milestone, new: Milestone) -> None:
    found = look(old, new)
    kept = found.merged[new.key]

    assert bool(found.changes) == (fingerprint(kept) != fingerprint(old))
    again = look(kept, new)  # reading the same page twice is no news
    assert again.changes == ()
    assert fingerprint(again.merged[new.key]) == fingerprint(kept)


def test_a_change_names_its_source() -> None:
    assert [change.source for change in look(BASE, replace(BASE, title="The Pendulum Watch")).changes] == [BASE.source]


def test_a_field_that_is_ignored_stays_unknown_too() -> None:
    known = replace(BASE, impact=None, unknown=frozenset(["impact"]))

    found = detect({known.key: known}, {BASE.key: BASE}, classes={"impact": "ignore"})

    assert found.merged[BASE.key].impact is None
    assert found.merged[BASE.key].unknown == {"impact"}
    assert found.changes == ()
