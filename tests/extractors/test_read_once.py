"""What is read once where it stands twice: cards within cards, and the text of a JSON-LD block."""

import pytest
from lxml import html

from extractors import jsonld, outline
from extractors.addresses import Addresses
from extractors.cards import linked_cards
from extractors.pictures import Pictures

PLAN = outline.Plan(sections={}, milestones=Addresses(("/story/",)))


@pytest.mark.parametrize(("listing", "told"), [
    ("<li><a href='/story/lamp'><h3>A lamp</h3></a><p>It shone.</p></li>", [("lamp", "It shone.")]),
    ("<a href='/story/lamp'><img src='/a.jpg'></a><a href='/story/lamp'><h3>A lamp</h3><p>It shone.</p></a>",
     [("lamp", "It shone.")]),
    ("<li><a href='/story/lamp'><h3>A lamp</h3></a><p>It shone.</p></li><a href='/story/door'><h3>A door</h3></a>",
     [("lamp", "It shone."), ("door", "")]),
])
def test_the_link_within_a_card_is_no_second_one(listing, told):
    cards = linked_cards(html.fromstring(f"<div>{listing}</div>"), PLAN, Pictures("https://x.example/"))
    assert [(card.key, card.summary) for card in cards] == told


@pytest.mark.parametrize(("text", "names", "problem"), [
    ('{"name": "a"}', ["a"], ""),
    (' \n<!-- {"name": "a"} -->\n', ["a"], ""),
    ('[{"name": "a"}, {"name": "b"}]', ["a", "b"], ""),
    ('{"name": "a"} {"name": "b"}', [], "not readable: Extra data"),
    ('{"name": "a"};', [], "not readable: Extra data"),
    ('{"name": "a"', [], "not readable: Expecting"),
    ("", [], "not readable: Expecting value"),
])
def test_a_block_is_json_as_a_whole_or_nothing(text, names, problem):
    blocks = jsonld.read_blocks((text,))
    assert [node["name"] for node in blocks.nodes] == names
    assert [said.startswith(problem) for _, said in blocks.problems] == ([True] if problem else [])
