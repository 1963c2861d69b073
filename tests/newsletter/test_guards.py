"""When a look waits for an operator, and the sentence that says why."""

from dataclasses import replace

import pytest

from newsletter.news.guards import Counted, hold, incomplete, removal, shrunken, surge, unread

QUIET = Counted(known=80, asked=100, listed=80, listed_before=80)


@pytest.mark.parametrize(
    ("added", "known", "held"),
    [
        pytest.param(1, 80, False, id="one"),
        pytest.param(9, 5, False, id="below the minimum, whatever the share"),
        pytest.param(10, 5, False, id="the minimum exactly"),
        pytest.param(11, 5, True, id="above the minimum and above the share"),
        pytest.param(16, 80, False, id="the share exactly"),
        pytest.param(17, 80, True, id="above the share"),
        pytest.param(200, 10_000, False, id="many beside very many"),
        pytest.param(10_000, 80, True, id="ten thousand at once"),
        pytest.param(11, 0, True, id="none were known"),
    ],
)
def test_surge(added: int, known: int, held: bool) -> None:
    reason = surge(added, known, minimum=10, share=0.2)

    assert (reason is not None) == held
    if reason:
        assert str(added) in reason
        assert "\n" not in reason


@pytest.mark.parametrize(("missing", "held"), [(0, False), (16, False), (17, True)])
def test_removal(missing: int, held: bool) -> None:
    reason = removal(missing, 80, minimum=10, share=0.2)
    assert (reason is not None) == held
    if reason:
        assert "17 of 80 milestones are gone at once" in reason


@pytest.mark.parametrize(
    ("listed", "before", "held"),
    [
        pytest.param(80, 80, False, id="as before"),
        pytest.param(120, 80, False, id="more"),
        pytest.param(64, 80, False, id="a fifth fewer"),
        pytest.param(63, 80, True, id="more than a fifth fewer"),
        pytest.param(2, 12, False, id="few of few"),
        pytest.param(0, 80, True, id="none"),
        pytest.param(None, 80, False, id="not all read"),
        pytest.param(80, None, False, id="never before"),
    ],
)
def test_shrunken(listed: int | None, before: int | None, held: bool) -> None:
    assert (shrunken(listed, before, minimum=10, share=0.2) is not None) == held


@pytest.mark.parametrize(
    ("seen", "guard"),
    [
        pytest.param({}, None, id="all is well"),
        pytest.param({"added": 17}, "surge", id="surge"),
        pytest.param({"missing": 17}, "removal", id="removal"),
        pytest.param({"listed": 20}, "shrunken", id="shrunken"),
        pytest.param({"known": 10, "missing": 4}, "removal", id="removal from a small site"),
        pytest.param({"known": 10, "missing": 3}, None, id="three may go"),
        pytest.param({"listed": 6, "listed_before": 10}, "shrunken", id="a small site shrinks"),
        pytest.param({"failed": 21}, "incomplete", id="many pages failed"),
        pytest.param({"failed": 20}, None, id="a fifth of the pages failed"),
        pytest.param({"broken": "/: answered 500"}, None, id="a listing is broken and nothing changed"),
        pytest.param({"broken": "/: answered 500", "telling": 1}, "incomplete", id="a listing is broken"),
        pytest.param({"drifted": "titles are all the same"}, "drift", id="drift"),
        pytest.param({"drifted": "no", "failed": 50, "missing": 70, "added": 99}, "drift", id="everything at once"),
        pytest.param({"failed": 50, "missing": 70, "added": 99}, "incomplete", id="what can't be trusted comes first"),
        pytest.param({"asked": 0, "known": 0, "listed": None, "listed_before": None}, None, id="nothing at all"),
    ],
)
def test_the_first_guard_that_has_a_reason_holds(seen: dict[str, object], guard: str | None) -> None:
    stopped = hold(replace(QUIET, **seen))  # type: ignore[arg-type]
    assert (stopped.guard if stopped else None) == guard
    if stopped:
        assert "\n" not in stopped.reason
        assert len(stopped.reason) > 1


def test_each_guard_says_how_much_it_saw_and_how_much_it_lets_pass() -> None:
    assert surge(17, 80, minimum=10, share=0.2) == (
        "17 new milestones at once beside 80 known ones: more than 10, and more than 20%"
    )
    assert surge(11, 0, minimum=10, share=0.2) == (
        "11 new milestones at once where none were known: more than 10, and more than 20%"
    )
    assert removal(17, 80, minimum=3, share=0.2) == (
        "17 of 80 milestones are gone at once: more than 3, and more than 20%; none is withdrawn"
    )
    assert shrunken(60, 80, minimum=3, share=0.2) == (
        "sitemap and listings name 60 milestones, 20 fewer than before: more than 3, and more than 20%"
    )


@pytest.mark.parametrize(
    ("asked", "failed", "reason"),
    [
        pytest.param(0, 0, None, id="nothing was asked for"),
        pytest.param(1, 0, None, id="the only one answered"),
        pytest.param(5, 1, None, id="the share exactly"),
        pytest.param(4, 1, "1 pages failed, 25% of those asked for: more than 20%", id="above the share"),
        pytest.param(1, 1, "1 pages failed, 100% of those asked for: more than 20%", id="all of one"),
    ],
)
def test_failed_pages_are_measured_by_those_asked_for(asked: int, failed: int, reason: str | None) -> None:
    assert incomplete(replace(QUIET, asked=asked, failed=failed)) == reason


@pytest.mark.parametrize(("astray", "failed", "held"), [(20, 0, False), (21, 0, True), (15, 6, True), (0, 20, False)])
def test_pages_that_lead_elsewhere_count_as_failed_ones(astray: int, failed: int, held: bool) -> None:
    stopped = hold(replace(QUIET, astray=astray, astray_to="https://site.example/login", failed=failed))
    assert (stopped is not None) == held
    if stopped is not None:
        assert stopped.guard == "incomplete"
        assert stopped.reason.startswith(f"{astray} pages redirect to https://site.example/login")


@pytest.mark.parametrize(("counted", "reason"), [
    (Counted(known=48, unread=72, entries=120, newest_read="0.13.8"),
     "72 of 120 entries could not be read; the newest read is 0.13.8"),
    (Counted(known=90, unread=10, entries=100, newest_read="2.0"),
     "10 of 100 entries could not be read; the newest read is 2.0"),
    (Counted(known=91, unread=9, entries=100, newest_read="2.0"), None),
    (Counted(known=99, unread=1, entries=100, newest_read="2.0", unread_newest="Kettle 2.1"),
     "1 of 100 entries could not be read, among them “Kettle 2.1” where the newest stands; the newest read is 2.0"),
    (Counted(known=0, unread=0, entries=0), None),
    (Counted(known=0, unread=3, entries=3), "3 of 3 entries could not be read; none was read"),
])
def test_what_can_not_be_read(counted: Counted, reason: str | None) -> None:
    assert unread(counted) == reason
    found = hold(counted)
    assert (found and (found.guard, found.reason)) == (reason and ("unread", reason))


@pytest.mark.parametrize(("astray", "failed", "told"), [
    (21, 0, "21 pages redirect to https://site.example/login, 21% of those asked for: more than 20%"),
    (15, 6, "15 pages redirect to https://site.example/login, 6 failed, 21% of those asked for: more than 20%"),
])
def test_pages_that_lead_elsewhere_are_told_beside_those_that_failed(astray: int, failed: int, told: str) -> None:
    assert incomplete(replace(QUIET, astray=astray, astray_to="https://site.example/login", failed=failed)) == told


def test_what_was_let_go_counts_for_no_failure_and_is_told_beside_those() -> None:
    assert incomplete(replace(QUIET, failed=25, let_go=10)) is None
    assert incomplete(replace(QUIET, failed=35, let_go=10)) == (
        "35 pages failed, 25% of those asked for beside 10 that were let go: more than 20%"
    )
