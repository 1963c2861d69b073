"""Each reader's mail is in their language, and all languages are part of what is approved."""

import pytest

from newsletter.issue.render import has_day_slot
from pipeline.edit import replay, variants
from store.database import Database
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.subscribers.people import Subscribers
from tests.pipeline.town import DAY, HOUR, MONDAY, Town
from tests.store.conftest import _empty, postgresql_server, postgresql_shared, sqlite_shared  # noqa: F401
from tests.store.conftest import database as both  # noqa: F401


@pytest.fixture
def town(both: Database) -> Town:  # noqa: F811
    town = Town(both)
    town.offers("instant")
    town.at(MONDAY + 2 * HOUR)
    return town


def speaks(town: Town, name: str, language: str | None, *topics: str) -> None:
    who = town.reader(name, "instant", topics)
    if language:
        Subscribers(town.database).set_choice(who.id, language=language, now=town.now)


def test_each_reader_gets_their_language_and_each_is_sealed(town: Town) -> None:
    speaks(town, "ada", None)
    speaks(town, "ben", "de")
    speaks(town, "gil", "he", "ships")
    speaks(town, "eve", "en")
    town.finds("loom")
    town.finds("sail", category="ships")
    [issue] = town.publishes()
    got = {row.address.split("@")[0]: row.variant for row in Ledger(town.database).rows(issue)}
    assert (got["ada"], got["eve"], got["ben"]) == ("all", "all", "all.de")
    assert got["gil"].endswith(".he")
    found = {one.name: one for one in variants(town.settings, town.database, issue, now=town.now)}
    assert set(got.values()) <= set(found)
    assert 'lang="en"' in found["all"].html
    assert 'lang="de"' in found["all.de"].html
    assert "6. April 2026" in found["all.de"].text
    assert 'dir="rtl"' in found[got["gil"]].html
    assert replay(town.settings, town.database, issue).proven


def test_who_changes_the_language_after_the_draft_gets_it_all_the_same(town: Town) -> None:
    speaks(town, "ada", None)
    letter = town.settings.newsletter
    town.settings = town.settings.model_copy(update={"newsletter": letter.model_copy(update={"approval": True})})
    town.finds("loom")
    town.publishes()
    [draft] = Issues(town.database).list(states=["draft"])
    assert [one.name for one in Issues(town.database).variants(draft.number)] == ["all"]
    Subscribers(town.database).set_choice(1, language="de", now=town.now)
    Issues(town.database).approve(draft.number, draft.content_hash, town.now)
    town.publishes()
    assert [row.variant for row in Ledger(town.database).rows(draft.number)] == ["all.de"]
    assert replay(town.settings, town.database, draft.number).proven


def test_where_nobody_chose_another_language_an_issue_is_the_same_to_the_byte(both: Database) -> None:  # noqa: F811
    def drafted(language: str | None) -> str:
        _empty(both)
        town = Town(both)
        town.offers("instant")
        town.at(MONDAY + 2 * HOUR)
        speaks(town, "ada", language)
        town.finds("loom")
        [issue] = town.publishes()
        return Issues(town.database).get(issue).content_hash

    plain = drafted(None)
    assert drafted("en") == drafted("en-GB") == drafted("tlh") == plain
    assert drafted("de") != plain


def test_what_is_known_of_the_site_is_in_every_language_and_is_replayed_though_the_settings_change(town: Town) -> None:
    [source] = town.settings.sources
    letter = town.settings.newsletter
    town.settings = town.settings.model_copy(update={
        "sources": (source.model_copy(update={"language": "fr"}),),
        "newsletter": letter.model_copy(update={"labels": {"research": "Recherche pure"}, "approval": True}),
    })
    speaks(town, "ada", None)
    speaks(town, "ben", "de")
    town.finds("loom")
    town.publishes()
    [draft] = Issues(town.database).list(states=["draft"])
    speaks(town, "gil", "he")  # whose variant is made at the seal
    issues = Issues(town.database)
    issues.approve(draft.number, draft.content_hash, town.now)
    town.settings = town.settings.model_copy(update={"sources": (source,), "newsletter": letter})
    town.at(town.now + DAY)
    [issue] = town.publishes()

    names = {row.variant for row in Ledger(town.database).rows(issue)}
    assert names == {"all", "all.de", "all.he"}
    sealed = {one.name: one for one in issues.variants(issue)}
    shown = {one.name: one for one in variants(town.settings, town.database, issue, now=town.now)}
    for name in names:
        assert 'lang="fr"' in sealed[name].html, name
        assert "Recherche pure" in sealed[name].html, name
        assert has_day_slot(sealed[name]), name
        assert not has_day_slot(shown[name]), name
    assert "Dienstag, 7. April 2026" in shown["all.de"].text
    again = replay(town.settings, town.database, issue)
    assert again.proven
    assert again.variants == len(sealed)
