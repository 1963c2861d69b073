"""A page as plain text: what it tells, what it leaves unknown."""

import pytest

from extractors import registry
from milepost.errors import ExtractError
from milepost.records import KnownNames

TEXT = """A camera above a belt of apples

A Sorter Learns to See Apples

What Happened

In a packing shed, a camera sorted apples by blush.
It did 4,000 an hour.

Why It Mattered

Growers trusted a picture rather than a hand. Pomona grew.

Key People

Organizations

Tags

Related Milestones

A ship in fog
Research

The Pilot That Asks

A steering aid began to ask its pilots back. Pomona paid for it.

Ines de la CruzSean O'MalleyPomona
Open Source

The Almanac Opens Its Books

The makers of an almanac published all of its tables.

An open book
Product

A Lamp That Waits

A lamp was sold that waits for the dark.

Ada GrünwaldQuiet Machines Institute

Letters about new milestones

An invented form, nothing is sent.
"""


@pytest.fixture
def read():
    site = registry.get("aitimeline")

    def reader(text, url="orchard-sorter-1987.txt", **options):
        return site.read_text(text, source="text", url=url, **options)

    return reader


def test_what_the_text_tells(read):
    milestone = read(TEXT)
    assert milestone.key == "orchard-sorter-1987"
    assert milestone.title == "A Sorter Learns to See Apples"
    assert milestone.what_happened == "In a packing shed, a camera sorted apples by blush. It did 4,000 an hour."
    assert milestone.why_it_mattered == "Growers trusted a picture rather than a hand. Pomona grew."
    assert (milestone.image.url, milestone.image.alt) == (None, "A camera above a belt of apples")
    assert {witness.witness for witnesses in milestone.evidence.values() for witness in witnesses} == {"text"}
    assert milestone.evidence["what_happened"][0].where == "What Happened"


def test_a_heading_with_nothing_under_it_is_unknown(read):
    assert read(TEXT).unknown == {"people", "organizations", "tags", "date", "category", "era", "impact", "location"}


def test_related_cards(read):
    cards = read(TEXT).related
    assert [(card.title, card.category, card.image.alt if card.image else None) for card in cards] == [
        ("The Pilot That Asks", "research", "A ship in fog"),
        ("The Almanac Opens Its Books", "open-source", None),
        ("A Lamp That Waits", "product", "An open book"),
    ]
    assert [(card.people, card.organizations) for card in cards] == [
        (("Ines de la Cruz", "Sean O'Malley"), ("Pomona",)),
        ((), ()),
        (("Ada Grünwald",), ("Quiet Machines Institute",)),
    ]
    assert cards[0].raw_names == "Ines de la CruzSean O'MalleyPomona"
    assert 0 < cards[0].confidence <= 1
    assert cards[1].confidence is None
    assert cards[0].key is None


def test_known_names_settle_cards(read):
    known = KnownNames(people=frozenset({"Ines de la Cruz", "Sean O'Malley"}), organizations=frozenset({"Pomona"}))
    assert read(TEXT, known=known).related[0].confidence == 1.0


def test_lines_above_the_title(read):
    milestone = read(TEXT.replace(
        "A Sorter Learns", "September 2012\nA Sorter Learns", 1,
    ).replace("What Happened", "Product Launches\nThe Orchard Years\nImpact\n4 / 5\n\nWhat Happened", 1))
    assert milestone.title == "A Sorter Learns to See Apples"
    assert milestone.date.value == "2012-09"
    assert (milestone.category, milestone.impact) == ("product", 4)


def test_lists_with_entries(read):
    text = TEXT.replace("Key People\n", "Key People\n\nAda Grünwald\nTom McAllister\n")
    text = text.replace("Organizations\n", "Organizations\n\nPomona & Daughters\n")
    milestone = read(text.replace("Tags\n", "Tags\n\n#machine-vision\nFarming\n"))
    assert milestone.people == ("Ada Grünwald", "Tom McAllister")
    assert milestone.organizations == ("Pomona & Daughters",)
    assert milestone.tags == ("machine-vision", "farming")
    assert not milestone.unknown & {"people", "organizations", "tags"}


def test_names_run_together_in_a_list(read):
    assert read(TEXT.replace("Key People\n", "Key People\n\nAda GrünwaldTom McAllister\n")).people == (
        "Ada Grünwald", "Tom McAllister",
    )


@pytest.mark.parametrize(("url", "key", "address"), [
    ("https://timeline.example/timeline/a-b", "a-b", "https://timeline.example/timeline/a-b"),
    ("a-b", "a-b", "/timeline/a-b"),
    ("folder/A b.txt", "a-b", "/timeline/a-b"),
    ("https://mirror.example/saved/a-b.html", "a-b", "https://mirror.example/saved/a-b.html"),
])
def test_the_key_is_made_of_what_was_given(read, url, key, address):
    milestone = read(TEXT, url=url)
    assert (milestone.key, milestone.url) == (key, address)


@pytest.mark.parametrize("text", [
    "", "Hello", "What Happened\n\nSomething.", "undefined\n\nWhat Happened\n\nSomething.",
], ids=["empty", "no heading", "no title", "undefined"])
def test_a_text_that_is_no_milestone(read, text):
    with pytest.raises(ExtractError):
        read(text)


def test_windows_lines_and_unseen_signs(read):
    assert read("\ufeff" + TEXT.replace("\n", "\r\n")) == read(TEXT)


@pytest.mark.captured
def test_the_seed(read, seed_text):
    milestone = read(seed_text, url="alexnet-2012.txt")
    assert milestone.title == "AlexNet: The ImageNet Moment"
    assert milestone.what_happened.startswith("AlexNet, a deep convolutional neural network, won")
    assert milestone.why_it_mattered.endswith("went on to co-found OpenAI.")
    assert milestone.image.alt == "AlexNet deep neural network architecture diagram"
    assert milestone.unknown == {"people", "organizations", "tags", "date", "category", "era", "impact", "location"}
    assert [(card.title, card.category, card.people, card.organizations) for card in milestone.related] == [
        ("ResNet: Deeper Than Ever", "research", ("Kaiming He", "Xiangyu Zhang"), ("Microsoft Research",)),
        ("DeepMind's DQN Masters Atari Games", "research", ("Volodymyr Mnih", "Demis Hassabis"), ("DeepMind",)),
        ("LeNet: Convolutional Neural Networks", "research", ("Yann LeCun",), ("AT&T Bell Labs",)),
        ("Deep Belief Networks: Hinton Revives Deep Learning", "research", ("Geoffrey Hinton", "Simon Osindero"),
         ("University of Toronto",)),
        ("Word2Vec: Words as Vectors", "research", ("Tomas Mikolov",), ("Google",)),
    ]
    assert all(card.image and card.raw_names and card.confidence for card in milestone.related)


@pytest.mark.captured
def test_the_seed_tells_what_the_page_tells(read, seed_text, captured):
    text, page = read(seed_text), captured.site.read(captured.pages["alexnet-2012"], source="text")
    for name in ("title", "what_happened", "why_it_mattered"):
        assert getattr(text, name) == getattr(page, name)
    for said, meant in zip(text.related, page.related, strict=True):
        assert (said.title, said.category, said.summary, said.people, said.organizations, said.image.alt) == (
            meant.title, meant.category, meant.summary, meant.people, meant.organizations, meant.image.alt,
        )
