"""Which of the milestones that appeared are known ones under another address."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.dates import PartialDate
from milepost.fields import FIELD
from milepost.records import Image, Milestone
from newsletter.news.rarity import Shared
from newsletter.news.renames import SURE, UNLIKE, Candidate, Match, Standing, match, same, score

CLOCK = Milestone(
    source="timekeeping", key="pendulum-clock", url="https://time.example/m/pendulum-clock",
    title="The Pendulum Clock", date=PartialDate(value="1656-12"),
    what_happened="A weight on a rod swung beneath a train of wheels, and the train let it swing on.",
    why_it_mattered="Clocks that had lost a quarter of an hour a day lost fifteen seconds.",
    people=("Christiaan Huygens", "Salomon Coster"), organizations=("Workshop",), tags=("pendulum", "physics"),
)
QUARTZ = Milestone(
    source="timekeeping", key="quartz-clock", url="https://time.example/m/quartz-clock",
    title="A Crystal Keeps Time", date=PartialDate(value="1927"),
    what_happened="Somebody made a slice of quartz ring a hundred thousand times a second and counted.",
    why_it_mattered="Observatories threw their pendulums out within twenty years.",
    people=("Warren Marrison",), organizations=("Bell Laboratories",), tags=("quartz", "electronics"),
)


def moved(record: Milestone, key: str = "moved", **fields: Any) -> Milestone:
    """The same milestone at another address."""
    return replace(record, key=key, url=f"https://time.example/m/{key}", **fields)


def known(standing: Standing = "gone", *records: Milestone) -> dict[str, Candidate]:
    return {record.key: Candidate(record, standing) for record in records or (CLOCK,)}


def found(
    candidates: Mapping[str, Candidate], *appeared: Milestone, redirects: Mapping[str, str] | None = None
) -> list[tuple[str, str, str, bool]]:
    return [(one.old, one.new, one.proof, one.sure)
            for one in match(candidates, {record.key: record for record in appeared}, moved=redirects)]


def test_the_weights_are_a_whole() -> None:
    assert sum(field.likeness for field in FIELD.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("fields", "at_least"),
    [
        pytest.param({}, 1.0, id="nothing"),
        pytest.param({"title": "Pendulum Clock, The"}, 0.97, id="the order of words"),
        pytest.param({"title": "The  pendulum clock"}, 1.0, id="typography"),
        pytest.param({"title": "Huygens' Clock"}, SURE, id="the title"),
        pytest.param({"why_it_mattered": CLOCK.why_it_mattered + " Ships could not use them."}, SURE, id="a gain"),
        pytest.param({"date": PartialDate(value="1657")}, SURE, id="the year"),
        pytest.param({"people": (), "tags": (), "organizations": ()}, SURE, id="all lists taken back"),
        pytest.param({"image": Image(url="https://pics.example/p.png")}, 1.0, id="what does not count"),
    ],
)
def test_an_edit_leaves_a_milestone_what_it_was(fields: dict[str, Any], at_least: float) -> None:
    assert score(CLOCK, moved(CLOCK, **fields)) >= at_least - 1e-9


def test_two_milestones_are_unlike() -> None:
    assert score(CLOCK, QUARTZ) < UNLIKE


def test_what_is_empty_on_both_sides_or_unknown_on_one_is_left_out() -> None:
    bare = replace(CLOCK, people=(), organizations=(), tags=())
    assert score(bare, moved(bare)) == 1.0
    vague = moved(CLOCK, people=("?",), date=None, unknown=frozenset({"people", "date"}))
    assert score(CLOCK, vague) == 1.0
    assert score(replace(CLOCK, unknown=frozenset(["what_happened"])), moved(CLOCK, what_happened="?")) == 1.0


def test_gone_and_alike_is_a_rename() -> None:
    assert found(known(), moved(CLOCK), QUARTZ) == [("pendulum-clock", "moved", "score", True)]


def test_what_is_not_alike_is_another_whatever_rare_words_they_share() -> None:
    shared = Shared(share=1.0, weight=9.0, titled=True)
    assert same(CLOCK, moved(CLOCK), UNLIKE, shared) is False
    assert same(CLOCK, moved(CLOCK), SURE, shared) is True


def test_nothing_gone_and_nothing_like_it_is_none() -> None:
    assert found({}, QUARTZ) == []
    assert found(known(), QUARTZ) == []


def test_a_redirect_is_proof_whatever_the_page_says() -> None:
    assert found(known("doubtful"), moved(QUARTZ), redirects={"pendulum-clock": "moved"}) == [
        ("pendulum-clock", "moved", "redirect", True)
    ]


def test_a_redirect_to_what_did_not_appear_is_none() -> None:
    assert found(known(), QUARTZ, redirects={"pendulum-clock": "somewhere"}) == []


def test_of_several_redirects_to_one_page_the_most_alike_is_the_rename() -> None:
    both = known("gone", CLOCK, QUARTZ)
    assert found(both, moved(CLOCK), redirects={"pendulum-clock": "moved", "quartz-clock": "moved"}) == [
        ("pendulum-clock", "moved", "redirect", True)
    ]
    news = Milestone(source="timekeeping", key="moved", url="https://time.example/m/moved", title="All our clocks",
                     what_happened="We gathered them.")
    assert found(both, news, redirects={"pendulum-clock": "moved", "quartz-clock": "moved"}) == []


GREY = moved(CLOCK, title="Time, Told Anew", date=PartialDate(value="1657"))


def test_between_the_two_an_operator_is_asked() -> None:
    assert UNLIKE < score(CLOCK, GREY) < SURE
    assert found(known(), GREY) == [("pendulum-clock", "moved", "score", False)]


@pytest.mark.parametrize(
    ("standing", "record", "asked"),
    [
        pytest.param("doubtful", moved(CLOCK), True, id="not surely gone and the same"),
        pytest.param("doubtful", GREY, True, id="not surely gone and alike"),
        pytest.param("present", moved(CLOCK), True, id="there and the same"),
        pytest.param("present", GREY, False, id="there and alike"),
        pytest.param("present", moved(CLOCK, date=PartialDate(value="1657")), False, id="there and of another day"),
    ],
)
def test_what_is_not_gone_is_never_renamed_unasked(standing: Standing, record: Milestone, asked: bool) -> None:
    assert [one[3] for one in found(known(standing), record)] == ([False] if asked else [])


def test_each_takes_the_one_that_is_most_like_it() -> None:
    other = replace(CLOCK, key="other", title="The Turret Clock", what_happened=CLOCK.what_happened + " Bells rang.")
    pairs = found(known("gone", CLOCK, other), moved(other, "b"), moved(CLOCK, "a"))
    assert sorted(pairs) == [("other", "b", "score", True), ("pendulum-clock", "a", "score", True)]


def test_one_old_and_two_new_make_one_rename() -> None:
    assert [one[1] for one in found(known(), moved(CLOCK, "a", title="The Clock"), moved(CLOCK, "b"))] == ["b"]


def test_too_little_told_proves_nothing() -> None:
    thin = Milestone(source="timekeeping", key="thin", url="https://time.example/m/thin", title="A clock")
    assert found(known("gone", thin), moved(thin)) == []


def test_a_thousand_moved_at_once_are_all_found() -> None:
    records = [replace(CLOCK, key=f"k{n}", title=f"Clock {n}", what_happened=f"The clock of tower {n} struck {n}. " * 3)
               for n in range(1000)]
    matches = match(known("gone", *records), {f"n{n}": moved(one, f"n{n}") for n, one in enumerate(records)})
    assert {(one.old, one.new) for one in matches if one.sure} == {(f"k{n}", f"n{n}") for n in range(1000)}


words = st.text(alphabet="ab c", max_size=12)
records = st.builds(
    lambda **fields: replace(CLOCK, **fields), title=words, what_happened=words, why_it_mattered=words,
    tags=st.lists(words, max_size=2).map(tuple),
    unknown=st.frozensets(st.sampled_from(["title", "what_happened", "tags", "date"])),
)


@given(one=records, other=records)
def test_a_score_is_a_share_and_the_same_both_ways(one: Milestone, other: Milestone) -> None:
    assert 0.0 <= score(one, other) <= 1.0 + 1e-9
    assert score(one, other) == pytest.approx(score(other, one))


def test_a_match_says_how_sure() -> None:
    assert match(known(), {"moved": moved(CLOCK)}) == (
        Match(old="pendulum-clock", new="moved", proof="score", score=1.0, sure=True),
    )


# --- what is rare in a source -----------------------------------------------------------------------------------------

TOLL = "The toll is a penny."


def gate(number: int, name: str, text: str = TOLL, **fields: Any) -> Milestone:
    return replace(
        Milestone(source="tolls", key=f"gate-{name}", url=f"https://tolls.example/{name}", title=f"{name} Gate is let",
                  date=PartialDate(value=f"18{number:02d}"), what_happened=text), **fields,  # type: ignore[arg-type]
    )


GATES = [gate(number, name) for number, name in enumerate(["North", "South", "East", "West", "Hill", "Ford"])]


def judged(old: Milestone, new: Milestone, *others: Milestone) -> list[bool]:
    matches = match({old.key: Candidate(old, "gone")}, {new.key: new}, others=others)
    return [one.sure for one in matches]


def test_what_the_others_say_too_is_no_likeness() -> None:
    old, new = GATES[0], gate(0, "Mill")
    assert score(old, new) > SURE
    assert judged(old, new, *GATES) == []
    assert judged(old, replace(new, title=old.title), *GATES) == [True]  # a title of its own, and the same year
    assert judged(old, replace(new, title=old.title), *GATES, replace(GATES[1], key="third", title=old.title)) == []


def test_a_template_with_other_words_in_it_is_no_likeness() -> None:
    def line(key: str, colour: str, end: str) -> Milestone:
        text = f"The {colour} line of the tramway now runs as far as {end}, every ten minutes, until midnight."
        return gate(0, key, text, title=f"{colour} line to {end}")

    lines = [line(f"l{n}", colour, end) for n, (colour, end) in enumerate(
        [("Red", "Mill"), ("Blue", "Quay"), ("Green", "Abbey"), ("White", "Depot"), ("Red", "Fair")]
    )]
    assert score(lines[0], lines[4]) > UNLIKE
    assert judged(lines[0], lines[4], *lines) == []


def test_a_record_counts_once_though_it_is_among_the_others() -> None:
    text = "A keeper who could not read let the bishop through, and was let keep the gate."
    old, new = gate(0, "Dyke", text), gate(0, "Dike", text)
    assert judged(old, new, *GATES) == judged(old, new, *GATES, old, new) == [True]


@pytest.mark.parametrize(
    ("old", "new", "never"),
    [
        pytest.param("2.0.0-rc.1", "2.0.0", True, id="a candidate and its release"),
        pytest.param("2.0.0-rc.1", "2.0.0-rc.2", True, id="two candidates"),
        pytest.param("2.0.0", "2.0.1", True, id="two releases"),
        pytest.param("Lantern 2.0 beta 3", "Lantern 2.0", True, id="in words"),
        pytest.param("v2.0.0+build.7", "v2.0.0+build.8", True, id="two builds"),
        pytest.param("2.0", "2.0.0", False, id="one version"),
        pytest.param("2.0.0rc1", "v2.0.0-rc.1", False, id="one candidate"),
        pytest.param("The 1.5 million lamps", "The 1.6 million lamps", False, id="a number in a title"),
    ],
)
def test_another_version_is_never_the_same_milestone(old: str, new: str, never: bool) -> None:
    text = "A diary of every train that passed is kept in the signal box, and printed at midnight."
    one, other = (
        gate(0, "x", text, title=title, key=title.lower().replace(" ", "-").replace(".", "-").replace("+", "-"))
        for title in (old, new)
    )
    assert one.key != other.key
    assert bool(judged(one, other)) is not never
    assert bool(match({one.key: Candidate(one, "gone")}, {other.key: other}, moved={one.key: other.key})) is not never


def test_a_title_can_not_make_us_slow() -> None:
    one = gate(0, "x", title="1.1" + "-a" * 5_000 + "!")
    assert judged(one, replace(one, key="y"), *GATES) == [True]
