"""An issue of many variants: made in several processes, put aside, written and sent a few at a time; the same bytes."""

import gc
import io
import re
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from delivery.message.build import MessageTemplate
from milepost.errors import ConflictError, LintError, MilepostError
from milepost.records import Variant
from milepost.settings import Settings
from pipeline import dispatch as dispatching
from pipeline import renderings
from pipeline.dispatch import Templates, dispatch
from pipeline.publish import draft_due, freeze
from pipeline.renderings import Spool, render_each
from store.database import Database
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.schema.tables import issue_variant
from tests.pipeline.town import Town
from tests.store.conftest import database as both  # noqa: F401
from tests.store.conftest import postgresql_server, postgresql_shared, sqlite_shared  # noqa: F401

TOPICS = tuple(f"topic-{number}" for number in range(7))


def variant(name: str, html: str = "<p>h\ud800</p>") -> Variant:
    return Variant(name=name, subject="S", html=html, text="t", placeholder="p", change_ids=(3, 1))


@pytest.fixture
def town(both: Database) -> Town:  # noqa: F811
    """A hundred and ten readers of whom no two chose the same."""
    found = Town(both)
    for topic in TOPICS:
        found.finds(f"of-{topic}", category=topic)
    for number in range(1, 111):
        found.reader(f"r{number}", topics=[topic for bit, topic in enumerate(TOPICS) if number >> bit & 1])
    return found


def drafted(town: Town) -> Any:
    [draft] = draft_due(town.settings, town.database, only="weekly", early=True, now=lambda: town.now)
    return draft


def test_the_same_in_processes_of_their_own(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def seen(job: Any, wanted: Any) -> Iterator[Any]:
        made.append((job, wanted))
        return render_each(job, wanted)

    monkeypatch.setattr("pipeline.publish.render_each", seen)
    draft = drafted(town)
    [(job, wanted)] = made
    here = list(render_each(job, wanted))
    monkeypatch.setattr(renderings, "MANY", 2)
    there = list(render_each(job, wanted, processes=2))
    assert there == here
    assert next(name for name, _ in there) == "all"
    assert len(there) == 111
    stored = {one.name: one for one in Issues(town.database).variants(draft.number)}
    assert stored == dict(there)


def test_one_that_is_unfit_is_told_in_whichever_process(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    town.settings = town.settings.model_copy(update={"mail": town.settings.mail.model_copy(
        update={"postal_address": "1 Row =?utf-8?q?x?="})})
    monkeypatch.setattr(renderings, "_BATCH", 2)
    letter = town.settings.newsletter.model_copy(update={"name": "x" * 300 + "\u202e"})
    town.settings = town.settings.model_copy(update={"newsletter": letter})
    said = []
    for many in (1000, 2):
        monkeypatch.setattr(renderings, "MANY", many)
        with pytest.raises(LintError) as caught:
            drafted(town)
        said.append((str(caught.value), caught.value.findings))
    assert said[0] == said[1]
    assert said[0][1]
    assert Issues(town.database).list() == []


def test_what_is_put_aside_comes_back_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderings, "_IN_MEMORY", 1)
    some = [variant("all"), variant("b", "ü" * 5000), variant("a", "")]
    with Spool() as spool:
        assert list(spool) == []
        for one in some:
            spool.add(one)
        assert list(spool) == some
        assert next(iter(spool)) == some[0]
        spool.add(some[0])  # behind the others, wherever it was read
        assert list(spool) == [*some, some[0]]


def test_a_disk_that_is_full_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, _data: object) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(renderings.tempfile, "SpooledTemporaryFile", lambda **_: Full())
    with Spool() as spool, pytest.raises(MilepostError, match="could not be put aside: No space left"):
        spool.add(variant("all"))


def test_few_renderings_are_in_memory_at_once(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.issues.issues._AT_ONCE", 5)
    most = 0

    def count(*_: object) -> None:
        nonlocal most
        most = max(most, sum(type(one) is Variant for one in gc.get_objects()))

    add, load = Spool.add, Spool.__iter__

    def adds(spool: Spool, one: Variant) -> None:
        count()
        add(spool, one)

    def loads(spool: Spool) -> Iterator[Variant]:
        for one in load(spool):
            count()
            yield one

    monkeypatch.setattr(Spool, "add", adds)
    monkeypatch.setattr(Spool, "__iter__", loads)
    gc.freeze()  # what is there already, of all other tests too, is not counted and not walked through
    try:
        draft = drafted(town)
        for _ in Issues(town.database).variants(draft.number):
            count()
    finally:
        gc.unfreeze()
    assert len(Issues(town.database).variant_names(draft.number)) == 111
    assert 0 < most <= 20


@pytest.mark.parametrize(("room", "again"), [(64_000_000, 0), (0, 110)], ids=["room for all", "room for few"])
def test_each_message_is_made_for_its_first_mail(
    town: Town, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, room: int, again: int
) -> None:
    built: list[tuple[str, bool]] = []
    build = MessageTemplate.build

    def counted(one: Variant, *, verified: bool = False, **more: Any) -> MessageTemplate:
        built.append((one.name, verified))
        return build(one, verified=verified, **more)

    for number in range(1, 111):
        town.reader(f"again-{number}", topics=[topic for bit, topic in enumerate(TOPICS) if number >> bit & 1])
    settings = to_folder(town, tmp_path)
    draft = drafted(town)
    freeze(settings, town.database, draft.number, content_hash=draft.content_hash, now=town.now)
    monkeypatch.setattr(dispatching, "TEMPLATES", 5)
    monkeypatch.setattr(dispatching, "PACKED", room)
    monkeypatch.setattr(MessageTemplate, "build", counted)
    sent = dispatch(settings, draft.number, now=lambda: town.now)
    assert sent.report.count("sent") == 220
    mails = [mail.read_bytes() for mail in (tmp_path / "mails" / "new").iterdir()]
    assert len(mails) == 220
    assert len({shared(mail) for mail in mails}) == 110  # what was packed is what it was
    assert len([one for one in built if not one[1]]) == 110  # each is verified once
    assert len([one for one in built if one[1]]) == again  # and what had no room is made again, not verified again
    assert len({name for name, _ in built}) == 110  # "all" has no reader, and is not made


def shared(mail: bytes) -> tuple[str, ...]:
    """What a mail has in common with the others of its variant: its parts, without the reader's own way out."""
    parts = message_from_bytes(mail, policy=policy.SMTP).iter_parts()
    return tuple(re.sub(r"https?://[^\s\"<>]+/u/[^\s\"<>]+", "", part.get_content()) for part in parts)


def test_the_messages_of_late_are_kept_and_the_others_packed_as_long_as_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatching, "TEMPLATES", 2)
    made: list[tuple[str, bool]] = []

    def make(name: str, *, again: bool) -> Any:
        made.append((name, again))
        return None if name == "gone" else f"message {name * 50}"

    kept: Any = Templates(names := [*"abcdef", "gone"], make)
    assert (list(kept), len(kept)) == (names, 7)
    assert [kept[name] for name in "abacabcc"] == [f"message {name * 50}" for name in "abacabcc"]
    assert made == [("a", False), ("b", False), ("c", False)]
    assert kept.get("gone") is None
    assert kept.get("never heard of") is None
    made.clear()
    monkeypatch.setattr(dispatching, "PACKED", 60)  # of two, about
    few: Any = Templates(names, make)
    for _ in range(2):
        assert [few[name] for name in "abcdef"] == [f"message {name * 50}" for name in "abcdef"]
    assert sum(map(len, few._packed.values())) <= 60
    assert 0 < len(few._packed) < 4
    assert [name for name, again in made if again] == names[len(few._packed):6]  # what was packed first stays packed
    assert [name for name, again in made if not again] == [*"abcdef"]


def test_nothing_is_sent_of_an_issue_of_which_one_rendering_was_changed(town: Town, tmp_path: Path) -> None:
    settings = to_folder(town, tmp_path)
    draft = drafted(town)
    freeze(settings, town.database, draft.number, content_hash=draft.content_hash, now=town.now)
    last = Issues(town.database).variant_names(draft.number)[-1]
    with town.database.begin() as connection:
        connection.execute(sa.update(issue_variant).where(issue_variant.c.name == last).values(text="Buy this"))
    with pytest.raises(ConflictError, match=f"variant {last} is not what was rendered"):
        dispatch(settings, draft.number, now=lambda: town.now)
    assert not list((tmp_path / "mails").glob("new/*"))
    assert Ledger(town.database).counts(draft.number).states == {"pending": 110}


def test_who_chose_anew_since_the_draft_has_theirs_written_before_anybody_is_placed(town: Town) -> None:
    draft = drafted(town)
    names = set(Issues(town.database).variant_names(draft.number))
    late = town.reader("late", topics=TOPICS[:3])
    with town.database.begin() as connection:
        connection.execute(sa.text("UPDATE subscriber SET topics = :topics WHERE id = :id"),
                           {"topics": '["topic-4", "topic-5", "topic-6"]', "id": late.id})
    seen: list[set[str]] = []

    def placed(_: object) -> None:
        seen.append(set(Issues(town.database).variant_names(draft.number)))

    freeze(town.settings, town.database, draft.number, content_hash=draft.content_hash, now=town.now, size=50,
           progress=placed)
    assert len(seen[0] - names) == 1
    assert seen[0] == seen[-1]


def to_folder(town: Town, folder: Path) -> Settings:
    mail = town.settings.mail.model_copy(update={"url": SecretStr(f"maildir:///{folder}/mails")})
    return town.settings.model_copy(update={"mail": mail})
