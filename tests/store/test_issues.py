"""Drafting: each milestone once per cadence, nothing that may not be announced, and free again when discarded."""

import datetime as dt
from dataclasses import replace

import pytest
import sqlalchemy as sa

from milepost.errors import ConflictError, NotFoundError
from milepost.records import Change, FieldChange, Issue, IssueItem
from store.database import check
from store.schema import tables
from tests.store.conftest import NOW, VARIANT, World, make_milestone

LATER = NOW + dt.timedelta(days=1)


def draft(world: World, items: list[IssueItem], period: str = "c2", cadence: str = "instant", **more: object) -> Issue:
    return world.issues.draft(
        cadence, period, items, [VARIANT], subject="News", content_hash="c0ffee", now=NOW, **more  # type: ignore[arg-type]
    )


@pytest.fixture
def ready(world: World) -> World:
    world.baseline()
    world.look(make_milestone("one"), make_milestone("two"))
    return world


def test_a_draft_comes_back_whole(ready: World) -> None:
    items = ready.items()
    issue = draft(ready, items)
    assert issue == ready.issues.get(1)
    assert (issue.number, issue.state, issue.items) == (1, "draft", tuple(items))
    assert list(ready.issues.variants(1)) == [VARIANT]
    assert ready.issues.find("instant", "c2") == issue
    assert ready.issues.find("weekly", "c2") is None
    assert ready.issues.list() == [replace(issue, items=())]
    assert ready.issues.last_period("instant") == "c2"
    assert ready.issues.last_period("weekly") is None


def test_an_issue_keeps_the_version_it_was_drafted_with(ready: World) -> None:
    draft(ready, ready.items("one"))
    better = replace(make_milestone("one"), title="Better")
    look_id = ready.looks.start("site", LATER)
    change = Change(source="site", key="one", kind="corrected", fields=(FieldChange("title", "corrected", "a", "b"),))
    ready.milestones.apply(look_id, "site", [(change, better, None)], announce=True, now=LATER)
    assert ready.issues.get(1).items[0].milestone.title == "Title of one"
    # A piece of news that has not been published yet goes out as it is today.
    assert ready.issues.unannounced("weekly")[0][1].milestone.title == "Better"


def test_what_is_drafted_is_announced_no_more_in_that_cadence(ready: World) -> None:
    draft(ready, ready.items("one"))
    assert [item.milestone.key for item in ready.items()] == ["two"]
    assert [item.milestone.key for item in ready.items(cadence="weekly")] == ["one", "two"]


def test_bounds_of_what_is_unannounced(ready: World) -> None:
    assert ready.issues.unannounced("instant", before=NOW) == []
    assert ready.issues.unannounced("instant", since=LATER) == []
    assert len(ready.issues.unannounced("instant", since=NOW, before=LATER)) == 2


def test_a_withdrawn_milestone_is_not_announced(ready: World) -> None:
    look_id = ready.looks.start("site", LATER)
    gone = Change(source="site", key="one", kind="withdrawn")
    ready.milestones.apply(look_id, "site", [(gone, make_milestone("one"), None)], announce=True, now=LATER)
    assert [item.milestone.key for item in ready.items()] == ["two"]


def test_one_issue_per_period(ready: World) -> None:
    draft(ready, ready.items("one"))
    with pytest.raises(ConflictError, match="issue 1 is the instant issue of c2 already"):
        draft(ready, ready.items("two"))


def test_a_milestone_is_news_once_per_cadence(ready: World) -> None:
    items = ready.items("one")
    draft(ready, items)
    with pytest.raises(ConflictError, match="one: it is in the instant issue 1 already"):
        draft(ready, items, period="c3")
    assert draft(ready, items, cadence="weekly", period="2026-W47").number == 2


def test_the_database_itself_refuses_news_twice(ready: World) -> None:
    draft(ready, ready.items("one"))
    draft(ready, [], period="c3")
    with pytest.raises(ConflictError), ready.database.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO issue_item (issue, position, role, change_id, milestone_id, version_id, cadence) "
                "SELECT 2, 9, role, change_id + 1, milestone_id, version_id, cadence FROM issue_item"
            )
        )


def test_nothing_silent_gets_into_an_issue(ready: World) -> None:
    ready.look(make_milestone("silent"), announce=False)
    (change,) = ready.milestones.changes(key="silent")
    stored = ready.milestones.get("site", "silent")
    item = replace(ready.items("one")[0], change_id=change.id, milestone_id=stored.id, version_id=stored.version_id)
    with pytest.raises(ConflictError, match="never announced"):
        draft(ready, [item])
    with pytest.raises(NotFoundError):
        draft(ready, [replace(item, change_id=999)])
    assert ready.issues.list() == []


def test_nothing_held_gets_into_an_issue(ready: World) -> None:
    items = ready.items("one")
    ready.looks.hold(2, "wait")
    with pytest.raises(ConflictError, match="waits for an operator"):
        draft(ready, items)


def test_the_number_it_was_rendered_with(ready: World) -> None:
    assert ready.issues.next_number() == 1
    assert draft(ready, [], number=1).number == 1
    with pytest.raises(ConflictError, match="drafted by somebody else"):
        draft(ready, [], period="c3", number=1)


def test_a_discarded_draft_frees_everything(ready: World) -> None:
    draft(ready, ready.items())
    ready.issues.discard(1)
    assert draft(ready, ready.items()).number == 1
    with pytest.raises(NotFoundError, match="issue 7: there is no such issue"):
        ready.issues.discard(7)


def test_only_a_draft_is_discarded(ready: World) -> None:
    draft(ready, ready.items())
    ready.ledger.freeze(1, content_hash="c0ffee", place=lambda *_: pytest.fail("nobody is here"), now=NOW)
    with pytest.raises(ConflictError, match="it is frozen"):
        ready.issues.discard(1)


def test_approving_names_the_content(ready: World) -> None:
    draft(ready, ready.items())
    assert ready.issues.get(1).approved_at is None
    with pytest.raises(ConflictError, match="its content is c0ffee"):
        ready.issues.approve(1, "decaf", NOW)
    ready.issues.approve(1, "c0ffee", NOW)
    ready.issues.approve(1, "c0ffee", LATER)
    assert ready.issues.get(1).approved_at == NOW


def test_corrections_to_what_was_published(ready: World) -> None:
    def correct(key: str, title: str) -> None:
        look_id = ready.looks.start("site", LATER)
        field = FieldChange("title", "corrected", "", title)
        change = Change(source="site", key=key, kind="corrected", fields=(field,))
        record = replace(make_milestone(key), title=title)
        ready.milestones.apply(look_id, "site", [(change, record, None)], announce=True, now=LATER)

    issue = draft(ready, ready.items("one"))
    correct("two", "was never published")
    correct("one", "was published")
    assert ready.issues.corrections("instant") == []  # a draft is not published
    ready.ledger.freeze(issue.number, content_hash="c0ffee", place=lambda *_: pytest.fail("nobody"), now=NOW)
    assert ready.issues.corrections("instant") == []  # nor is one that is on its way
    ready.ledger.finish(issue.number)
    ((change, stored),) = ready.issues.corrections("instant")
    assert (change.change.key, stored.milestone.title) == ("one", "was published")
    item = IssueItem(
        change_id=change.id, milestone_id=stored.id, version_id=stored.version_id, role="correction",
        milestone=stored.milestone, first_seen_at=stored.first_seen_at,
    )
    draft(ready, [item], period="c9")
    assert ready.issues.corrections("instant") == []


def test_lists_by_state_and_cadence(ready: World) -> None:
    draft(ready, [], period="a")
    draft(ready, [], period="b", cadence="weekly")
    assert [issue.number for issue in ready.issues.list()] == [2, 1]
    assert [issue.number for issue in ready.issues.list(cadence="instant")] == [1]
    assert ready.issues.list(states=["frozen"]) == []
    assert len(ready.issues.list(limit=1)) == 1


def test_a_variant_that_was_tampered_with(ready: World) -> None:
    draft(ready, ready.items())
    ready.ledger.freeze(1, content_hash="c0ffee", place=lambda *_: pytest.fail("nobody"), now=NOW)
    with ready.database.begin() as connection:
        connection.execute(sa.update(tables.issue_variant).values(html="<p>Buy this</p>"))
    with pytest.raises(ConflictError, match="not what was rendered"):
        list(ready.issues.variants(1))
    assert len(check(ready.database)) == 1
