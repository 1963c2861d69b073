"""Operators, their sessions, wrong passwords, the log of acts and programs' tokens, on either database."""

import datetime as dt
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import pytest

from milepost.errors import ConflictError, NotFoundError
from store.database import Database
from store.operators.accounts import Operators
from store.operators.acts import LONGEST, Acts
from store.operators.guesses import WINDOW, Guesses, Limits
from store.operators.tokens import PREFIX, Tokens
from tests.store.conftest import NOW

HOUR = dt.timedelta(hours=1)
Done = TypeVar("Done")


def at_once(*things: Callable[[], Done]) -> Sequence[Done | ConflictError]:
    """What each came to, all of them begun at the same moment."""
    ready = Barrier(len(things))

    def do(one: Callable[[], Done]) -> Done | ConflictError:
        ready.wait()
        try:
            return one()
        except ConflictError as error:
            return error

    with ThreadPoolExecutor(len(things)) as threads:
        return list(threads.map(do, things))


def test_a_link_is_used_once_and_in_time(database: Database) -> None:
    operators = Operators(database)
    assert not operators.any()
    ada = operators.add("ada", "admin", "link", now=NOW, until=NOW + HOUR)
    assert operators.any()
    assert operators.linked("link", NOW) == ada
    assert operators.linked("link", NOW + HOUR) is None
    assert operators.use_link("link", "hashed", now=NOW + HOUR) is None
    used = at_once(*[lambda number=number: operators.use_link("link", f"hash {number}", now=NOW)
                     for number in range(3)])
    [made] = [one for one in used if one is not None]
    assert operators.get("ada") == made
    assert operators.use_link("link", "again", now=NOW) is None


def test_a_name_is_given_once_and_an_admin_is_left(database: Database) -> None:
    operators = Operators(database)

    def add(link: str) -> Callable[[], str]:
        return lambda: operators.add("ada", "admin", link, now=NOW, until=NOW + HOUR).name

    made = at_once(add("one"), add("two"))
    assert sorted(type(one).__name__ for one in made) == ["ConflictError", "str"]
    ada, bob = operators.get("ada"), operators.add("bob", "admin", "three", now=NOW, until=NOW + HOUR)
    gone = at_once(lambda: operators.disable(ada.id, now=NOW), lambda: operators.change_role(bob.id, "viewer"))
    assert sorted(type(one).__name__ for one in gone) == ["ConflictError", "NoneType"]
    assert [one.role for one in operators.list() if one.disabled_at is None and one.role == "admin"] == ["admin"]
    with pytest.raises(NotFoundError):
        operators.get("eve")


def test_a_session_ends_with_what_it_rests_on(database: Database) -> None:
    operators = Operators(database)
    operators.add("root", "admin", "of root", now=NOW, until=NOW + HOUR)

    def signed_in(*hashes: str) -> None:
        for hash_ in hashes:
            assert operators.begin_session(operators.get("ada"), hash_, now=NOW, until=NOW + 8 * HOUR)

    def there(hash_: str, after: dt.timedelta = HOUR) -> bool:
        return operators.session(hash_, now=NOW + after, idle=2 * HOUR) is not None

    ada = operators.add("ada", "editor", "link", now=NOW, until=NOW + HOUR)
    signed_in("a", "b", "c")
    assert [there("a"), there("a", 2 * HOUR), there("nobody's")] == [True, False, False]
    operators.seen("a", now=NOW + 7 * HOUR)
    assert [there("a", 7 * HOUR), there("a", 8 * HOUR)] == [True, False]
    operators.end_session("a")
    assert (there("a"), operators.sessions(ada.id, now=NOW, idle=HOUR)) == (False, 2)
    assert operators.end_sessions(ada.id, but="b") == 1
    assert [there("b"), there("c")] == [True, False]
    operators.begin_session(operators.get("ada"), "d", now=NOW, until=NOW + 8 * HOUR, instead_of="b")
    assert [there("b"), there("d")] == [False, True]
    operators.set_password(ada.id, "another", now=NOW)
    assert not there("d")
    assert not operators.begin_session(ada, "e", now=NOW, until=NOW + HOUR)  # who was read before that
    signed_in("f")
    operators.change_role(ada.id, "viewer")
    assert not there("f")
    signed_in("g")
    operators.disable(ada.id, now=NOW)
    operators.enable(ada.id)
    assert not there("g")
    signed_in("h")
    operators.reset(ada.id, "new link", now=NOW, until=NOW + HOUR)
    assert not there("h")
    assert operators.get("ada").password is None
    assert operators.linked("link", NOW) is None
    assert operators.linked("new link", NOW) is not None


def test_a_step_of_the_second_factor_counts_once(database: Database) -> None:
    operators = Operators(database)
    ada = operators.add("ada", "admin", "link", now=NOW, until=NOW + HOUR)
    operators.set_totp(ada.id, "secret", step=1)
    assert sorted(at_once(*[lambda: operators.use_step(ada.id, 2)] * 3)) == [False, False, True]  # type: ignore[type-var]
    assert [operators.use_step(ada.id, 1), operators.use_step(ada.id, 3)] == [False, True]


def test_wrong_passwords_are_counted_by_network_and_name_for_a_while(database: Database) -> None:
    guesses = Guesses(database, Limits(per_network=3, per_name=2))
    right = guesses.begin("ada", "home", now=NOW)
    assert isinstance(right, int)
    guesses.forgive(right)
    for _ in range(2):
        assert isinstance(guesses.begin("ada", "there", now=NOW), int)
    assert guesses.begin("ada", "there", now=NOW) == "name"
    assert isinstance(guesses.begin("ada", "home", now=NOW), int)
    assert isinstance(guesses.begin("bob", "there", now=NOW), int)
    assert guesses.begin("cyd", "there", now=NOW) == "network"
    assert isinstance(guesses.begin("ada", "there", now=NOW + WINDOW), int)


def test_no_more_are_let_by_because_they_come_at_once(database: Database) -> None:
    guesses = Guesses(database, Limits(per_network=3, per_name=2))
    found = at_once(*[lambda: guesses.begin("ada", "there", now=NOW)] * 4)
    assert sorted(map(str, found)) == ["1", "2", "name", "name"]


def test_an_act_is_begun_ended_once_and_found_again(database: Database) -> None:
    acts = Acts(database)
    one, two, three = (
        acts.begin(who=who, role=None, door="flows", what="issue.stop", about=about, why="a\ntypo", before={"a": 1},
                   now=NOW)
        for who, about in (("ada", "issue 1"), ("prefect", "issue 1"), ("ada", "issue 2"))
    )
    acts.end(one, "done", "it is paused", after={"a": [2]}, now=NOW + HOUR)
    acts.end(one, "refused", "too late", now=NOW + HOUR)
    acts.end(three, "refused", "x" * 2 * LONGEST, now=NOW + HOUR)
    refused, done = acts.list(who="ada")
    assert (refused.outcome, len(refused.said)) == ("refused", LONGEST)
    assert (done.outcome, done.said, done.why, done.before, done.after, done.ended_at) == (
        "done", "it is paused", "a typo", {"a": 1}, {"a": [2]}, NOW + HOUR)
    assert [found.id for found in acts.list(about="issue 1", limit=1)] == [two]
    assert [(found.id, found.outcome) for found in acts.list(before=three)] == [(two, "asked"), (one, "done")]


def test_a_token_is_known_by_what_is_shown_until_it_ends(database: Database) -> None:
    tokens = Tokens(database)
    shown, kept = tokens.add("watch", ["read", "decide"], by="ada", now=NOW, expires_at=NOW + HOUR)
    assert shown.startswith(PREFIX)
    assert tokens.find(shown) == kept
    assert (kept.scopes, kept.why_not(NOW)) == (("read", "decide"), None)
    assert "expired" in str(kept.why_not(NOW + HOUR))
    assert tokens.find(f"{shown}x") is None
    made = at_once(*[lambda: tokens.add("other", [], by="ada", now=NOW, expires_at=None)] * 2)
    assert sum(isinstance(one, ConflictError) for one in made) == 1
    tokens.used(kept.id, NOW + HOUR)
    tokens.revoke("watch", "left in a log", NOW + HOUR)
    again = tokens.revoke("watch", "another reason", NOW + 2 * HOUR)
    assert (again.revoked_at, again.revoked_why, again.last_used_at) == (NOW + HOUR, "left in a log", NOW + HOUR)
    assert "revoked" in str(again.why_not(NOW))
    assert [one.name for one in tokens.list()] == ["watch", "other"]
    with pytest.raises(NotFoundError):
        tokens.revoke("nobody's", "why", NOW)
