"""Names that were run together: told apart by what is known, by prose, by shape; the doubt is told too."""

import pytest

from extractors.names import looks_like_names, split, tell_apart
from milepost.records import KnownNames


@pytest.mark.parametrize(("raw", "people", "organizations"), [
    ("Volodymyr MnihDemis HassabisDeepMind", ["Volodymyr Mnih", "Demis Hassabis"], ["DeepMind"]),
    ("Yann LeCunAT&T Bell Labs", ["Yann LeCun"], ["AT&T Bell Labs"]),
    ("Kaiming HeXiangyu ZhangMicrosoft Research", ["Kaiming He", "Xiangyu Zhang"], ["Microsoft Research"]),
    ("Tomas MikolovGoogle", ["Tomas Mikolov"], ["Google"]),
    ("Geoffrey HintonSimon OsinderoUniversity of Toronto", ["Geoffrey Hinton", "Simon Osindero"],
     ["University of Toronto"]),
    ("John McCarthyMITStanford University", ["John McCarthy"], ["MIT", "Stanford University"]),
    ("Ada LovelaceCharles Babbage", ["Ada Lovelace", "Charles Babbage"], []),
    ("Tsuneya Nakamura", ["Tsuneya Nakamura"], []),
    ("OpenAI", [], ["OpenAI"]),
    ("Ludwig van Beethoven", ["Ludwig van Beethoven"], []),
    ("Sean O'MalleyPort Authority", ["Sean O'Malley"], ["Port Authority"]),
    ("", [], []),
], ids=lambda value: value if isinstance(value, str) else "")
def test_shapes_alone_tell_names_apart(raw, people, organizations):
    told = split(raw)
    assert (list(told.people), list(told.organizations)) == (people, organizations)


def test_known_names_settle_what_shapes_can_not():
    raw = "Colin AngleHelen GreineriRobot"
    known = KnownNames(people=frozenset({"Colin Angle", "Helen Greiner"}), organizations=frozenset({"iRobot"}))
    assert split(raw).confidence < 0.5
    told = split(raw, known)
    assert (told.people, told.organizations, told.confidence) == (("Colin Angle", "Helen Greiner"), ("iRobot",), 1.0)


def test_a_known_name_inside_a_longer_one_does_not_cut_it():
    known = KnownNames(organizations=frozenset({"Google", "Google DeepMind", "DeepMind"}))
    assert split("Demis HassabisGoogle DeepMind", known).organizations == ("Google DeepMind",)


def test_words_of_the_prose_settle_a_brand():
    raw = "AnthropicCursor"
    assert split(raw, prose="Anthropic and Cursor both sold agents.").organizations == ("Anthropic", "Cursor")


def test_organizations_follow_people():
    told = tell_apart(["Ada Lovelace", "Grace Hopper", "Navy Department"])
    assert (told.people, told.organizations) == (("Ada Lovelace", "Grace Hopper"), ("Navy Department",))
    known = KnownNames(people=frozenset({"Prince"}), organizations=frozenset({"Ada Lovelace"}))
    assert tell_apart(["Prince", "Ada Lovelace"], known).organizations == ("Ada Lovelace",)


@pytest.mark.parametrize(("line", "names"), [
    ("Kaiming HeXiangyu ZhangMicrosoft Research", True),
    ("University of Toronto", True),
    ("Residual network skip connection block diagram", False),
    ("Get the latest milestones as they happen", False),
    ("It was the first.", False),
    ("", False),
])
def test_lines_of_names_are_told_from_descriptions(line, names):
    assert looks_like_names(line) is names


def test_a_long_line_of_capitals_ends_soon():
    told = split("Ab" * 5_000)
    assert told.people or told.organizations


@pytest.mark.captured
def test_all_names_of_the_captured_site(captured):
    """By shape alone at least nine of ten; with the names known, all."""
    known = KnownNames(
        people=frozenset(name for one in captured.truth.values() for name in one["people"]),
        organizations=frozenset(name for one in captured.truth.values() for name in one["organizations"]),
    )
    right = total = 0
    for one in captured.truth.values():
        people, organizations = tuple(one["people"][:2]), tuple(one["organizations"][:2])
        if people or organizations:
            raw = "".join((*people, *organizations))
            told = split(raw, known)
            assert (told.people, told.organizations) == (people, organizations)
            by_shape = split(raw)
            right += (by_shape.people, by_shape.organizations) == (people, organizations)
            total += 1
    assert right >= 0.9 * total


def test_an_empty_label_is_no_name():
    """A page may leave a label empty; found by the fuzzer."""
    told = tell_apart(["", "Ada Lovelace", " ", "Navy Department"])
    assert (told.people, told.organizations) == (("Ada Lovelace",), ("Navy Department",))
    assert tell_apart([""]).people == ()
