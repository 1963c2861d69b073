"""Editing and taking back an issue, and who is owed which correction, on either engine."""

import datetime as dt
from dataclasses import replace

import pytest

from milepost.errors import ConflictError
from milepost.records import Change, Edit, FieldChange, Placement, Reply
from store.issues.editions import Editions
from tests.hand_over import begin, settle
from tests.store.conftest import NOW, VARIANT, World, make_milestone

LATER = NOW + dt.timedelta(days=1)
KEPT = {"settings": {"web": {"base_url": "https://a.example"}}, "templates": "t" * 64}


@pytest.fixture
def drafted(world: World) -> World:
    """Issue 1 is a draft of two milestones, for three readers."""
    world.baseline()
    world.look(make_milestone("one"), make_milestone("two"))
    for index in range(3):
        world.subscribers.add(f"reader{index}@example.org", topics=[f"topic-{index}"], now=NOW)
    items = world.items()
    variant = replace(VARIANT, change_ids=tuple(item.change_id for item in items))
    world.issues.draft("instant", "c2", items, [variant], subject="News", content_hash="c0ffee", now=NOW,
                       rendered_with=KEPT)
    return world


def correct(world: World, key: str, title: str) -> int:
    """Correct a title; the change's id."""
    look_id = world.looks.start("site", LATER)
    change = Change(source="site", key=key, kind="corrected", fields=(FieldChange("title", "corrected", "", title),))
    record = replace(make_milestone(key), title=title)
    world.milestones.apply(look_id, "site", [(change, record, None)], announce=True, now=LATER)
    world.looks.finish(look_id, state="complete", now=LATER, milestones=3)
    return world.milestones.changes(key=key)[0].id


def test_a_revision_replaces_all_and_voids_the_approval(drafted: World) -> None:
    editions = Editions(drafted.database)
    drafted.issues.approve(1, "c0ffee", NOW)
    second = drafted.issues.get(1).items[1:]
    variant = replace(VARIANT, text="Edited @@LINK@@", change_ids=(second[0].change_id,))

    issue = editions.revise(1, replaces="c0ffee", items=second, variants=[variant], subject="Edited",
                            edit=Edit(intro="*Hi*"), content_hash="decaf", rendered_with=KEPT)

    assert (issue.subject, issue.edit.intro, issue.approved_at, issue.items) == ("Edited", "*Hi*", None, second)
    assert list(drafted.issues.variants(1)) == [variant]
    assert [item.milestone.key for item in drafted.items()] == ["one"]
    assert editions.rendered_with(1).templates == "t" * 64
    with pytest.raises(ConflictError, match="its content is decaf"):
        editions.revise(1, replaces="c0ffee", items=second, variants=[variant], subject="x", edit=Edit(),
                        content_hash="x", rendered_with=KEPT)
    with pytest.raises(ConflictError, match="adds nothing"):
        editions.revise(1, replaces="decaf", items=drafted.items(), variants=[variant], subject="x", edit=Edit(),
                        content_hash="x", rendered_with=KEPT)


def test_what_was_not_begun_is_taken_back_and_what_was_is_not(drafted: World) -> None:
    number = 1
    editions = Editions(drafted.database)

    def everybody_gets_it(*_: object) -> Placement:
        return Placement(variant="all")

    drafted.ledger.freeze(number, content_hash="c0ffee", place=everybody_gets_it, now=NOW)
    assert editions.take_back(number, "a word is missing")
    issue = drafted.issues.get(number)
    assert (issue.state, issue.candidates, issue.pause_reason) == ("draft", None, "a word is missing")
    drafted.ledger.freeze(number, content_hash="c0ffee", place=everybody_gets_it, now=NOW)
    assert drafted.issues.get(number).pause_reason is None
    drafted.ledger.claim(number, limit=1, lease_seconds=60)
    assert not editions.take_back(number, "too late")
    assert drafted.issues.get(number).state == "sending"


def test_who_was_told_the_mistake_is_owed_its_correction_once(drafted: World) -> None:
    editions = Editions(drafted.database)
    drafted.ledger.freeze(
        1, content_hash="c0ffee", now=NOW,
        place=lambda who, *_: (
            Placement(exclusion="no_match") if who.topics == ("topic-2",) else Placement(variant="all")
        ),
    )
    send_one(drafted, 1)
    early = correct(drafted, "one", "Better")
    [told] = drafted.ledger.rows(1, "sent")
    assert editions.owed([]) == {}
    first = editions.owed([early])
    assert list(first.values()) == [frozenset({early})]
    send_one(drafted, 1)
    assert len(editions.owed([early])) == 2
    assert told.address in {who.address for who in drafted.subscribers.list() if who.id in first}
    drafted.ledger.finish(1)

    ((change, stored),) = drafted.issues.corrections("instant")
    item = replace(drafted.issues.get(1).items[0], change_id=change.id, version_id=stored.version_id,
                   role="correction")
    drafted.issues.draft("instant", "c9", [item], [replace(VARIANT, change_ids=(change.id,))], subject="Wrong",
                         content_hash="decaf", now=LATER)
    assert drafted.issues.get(2).items[0].fields == change.change.fields
    assert drafted.issues.get(2).items[0].corrected_at == LATER
    theirs = {who.topics for who in drafted.subscribers.list() if who.id in first}
    drafted.ledger.freeze(
        2, content_hash="decaf", now=LATER,
        place=lambda who, *_: Placement(variant="all") if who.topics in theirs else Placement(exclusion="no_match"),
    )
    send_one(drafted, 2)
    assert set(editions.owed([early])) == {1, 2} - set(first)


def send_one(world: World, number: int) -> None:
    """One delivery of an issue is sent."""
    [claim] = world.ledger.claim(number, limit=1, lease_seconds=60)
    assert begin(world.ledger, claim)
    settle(world.ledger, claim, "sent", Reply(code=250, text="ok", phase="dot"), message_id="<1@example.org>")
