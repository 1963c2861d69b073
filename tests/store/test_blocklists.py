"""The list of addresses that are never mailed, as a file: what is written out comes in again, and nobody comes off."""

import datetime as dt

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from milepost.errors import HeldError, InputError
from pipeline import suppression_files
from pipeline.suppression_files import Read, export_csv, import_file
from store.database import Database
from store.meta import Meta
from store.schema import tables
from store.subscribers import suppressions
from store.subscribers.events import By
from store.subscribers.people import Subscribers
from store.subscribers.suppressions import Suppressions, liftable, outranks

NOW = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(days=9)
ADA = By(who="ada", why="moved here")


def take_in(database: Database, content: str, *, dry_run: bool = False) -> Read:
    return import_file(database, content.encode(), "list.csv", by=ADA, now=LATER, dry_run=dry_run)


def on_it(database: Database) -> dict[str | None, str]:
    return {one.normalized: one.reason for one in Suppressions(database).list()}


def test_what_was_written_out_comes_in_again_as_it_was(database: Database) -> None:
    listed = Suppressions(database)
    listed.add("dead@readers.example", "550 5.1.1", NOW)
    listed.add("=cmd@readers.example", "by ada: =SUM(A1)", NOW)
    listed.add("gone@readers.example", "erased", NOW)
    with database.begin() as connection:  # as an erase leaves it
        connection.execute(sa.update(tables.suppression).values(normalized=None).where(
            tables.suppression.c.normalized == "gone@readers.example"))
    rows = list(export_csv(database))
    assert [row["address"] for row in rows] == ["dead@readers.example", "'=cmd@readers.example"]
    lines = [",".join(suppression_files.COLUMNS), *(",".join(row.values()) for row in rows)]
    with database.begin() as connection:
        connection.execute(sa.delete(tables.suppression))
    read = take_in(database, "\n".join(lines))
    assert (read.count("added"), read.errors, read.reason_in) == (2, (), "reason")
    assert [(one.normalized, one.reason, one.created_at) for one in listed.list()] == [
        ("dead@readers.example", "550 5.1.1", NOW), ("=cmd@readers.example", "by ada: =SUM(A1)", NOW),
    ]
    assert liftable("550 5.1.1")  # their own confirmation lifts it here as it did there


def test_it_only_adds(database: Database) -> None:
    people, listed = Subscribers(database), Suppressions(database)
    for name in ("reads", "left"):
        people.add(f"{name}@readers.example", state="active", now=NOW)
    people.unsubscribe("left@readers.example", ADA, NOW)
    listed.add("bounced@readers.example", "550 5.1.1", NOW)
    listed.add("complained@readers.example", "complaint", NOW)
    content = (
        "Email;Reason\n Reads@Readers.example ;spam trap of ada@else.example\nleft@readers.example;\n"
        "bounced@readers.example;complained\ncomplained@readers.example;550 5.1.1\nnobody;x\n"
        "<reads@readers.example>;550 5.1.1\n"
    )
    before = on_it(database)
    looked_at = take_in(database, content, dry_run=True)
    assert on_it(database) == before
    read = take_in(database, content)
    assert looked_at == read
    assert [(one.line, one.address, one.taken, one.mailed) for one in read.listed] == [
        (2, "Reads@readers.example", "added", True), (3, "left@readers.example", "added", False),
        (4, "bounced@readers.example", "stricter", False), (5, "complained@readers.example", "known", False),
    ]
    assert (read.readers, read.repeated, read.cleaned, [line for line, _ in read.errors]) == (1, 1, 2, [6])
    assert on_it(database) == {
        "reads@readers.example": "spam trap of (address)", "left@readers.example": "by ada: moved here",
        "bounced@readers.example": "complained", "complained@readers.example": "complaint",
    }
    assert [one.state for one in people.list()] == ["active", "unsubscribed"]  # their choice is theirs
    assert [(one.action, one.by, one.why) for one in listed.history("reads@readers.example")] == [
        ("suppressed", "ada", "moved here")]
    assert listed.history("complained@readers.example") == []
    with database.connect() as connection:
        assert connection.execute(sa.select(tables.letter.c.id)).all() == []
    assert {one.taken for one in take_in(database, content).listed} == {"known"}


def test_more_than_are_asked_for_at_once(database: Database) -> None:
    Suppressions(database).add("r700@readers.example", "complaint", NOW)
    read = take_in(database, "\n".join(f"r{number}@readers.example" for number in range(1_203)))
    assert (read.count("added"), read.count("known"), read.address_in, read.reason_in) == (1_202, 1, "", "")
    assert len(on_it(database)) == 1_203


def test_who_was_erased_stays_a_hash(database: Database) -> None:
    Subscribers(database).add("ada@readers.example", state="active", now=NOW)
    Subscribers(database).erase("ada@readers.example", ADA, NOW)
    assert [one.taken for one in take_in(database, "ada@readers.example\n").listed] == ["known"]
    assert list(on_it(database)) == [None]


@pytest.mark.parametrize("content", [
    "email,status\na@readers.example,blocklisted\nb@readers.example,enabled\n",
    "email,subscribed_to_emails\na@readers.example,false\nb@readers.example,true\n",
    "address,state,suppressed\na@readers.example,active,complaint\n",
], ids=["listmonk", "Ghost", "our own readers"])
def test_a_list_of_readers_is_no_blocklist(database: Database, content: str) -> None:
    with pytest.raises(HeldError, match="want mail") as held:
        take_in(database, content)
    assert "subscribers import" in (held.value.hint or "")
    assert on_it(database) == {}


@pytest.mark.parametrize(("content", "reason"), [
    ("email,status,name\na@readers.example,blocklisted,Ada\n", "status = blocklisted"),
    ("EmailAddress,SuppressionReason,Origin\na@readers.example,HardBounce,Recipient\n", "HardBounce"),
    ("address,code,error,created_at\na@readers.example,605,Not delivering to it,x\n", "Not delivering to it"),
    ("status,reason,email,created\n550,550 5.1.1 no such user,a@readers.example,14436511\n", "550 5.1.1 no such user"),
    ("a@readers.example\n", "by ada: moved here"),
])
def test_whatever_wrote_it_its_reason_is_kept(database: Database, content: str, reason: str) -> None:
    take_in(database, content)
    assert on_it(database) == {"a@readers.example": reason}


@pytest.mark.parametrize(("content", "what"), [
    ("address,since\na@readers.example,soon\n", "no date"),
    ("address,reason\na@readers.example,a,b\n", "3 cells"),
    ("x,y\n1,2\n", "no heading"), ("\n", "holds no address"),
])
def test_what_cannot_be_used_is_told(database: Database, content: str, what: str) -> None:
    if what in ("no date", "3 cells"):
        assert what in take_in(database, content).errors[0][1]
        return
    with pytest.raises(InputError, match=what):
        take_in(database, content)


def test_a_day_to_come_is_no_day_that_it_began(database: Database) -> None:
    take_in(database, "address,since\na@readers.example,2031-01-01\nb@readers.example,2026-01-01\n")
    assert [one.created_at for one in Suppressions(database).list()] == [LATER, dt.datetime(2026, 1, 1, tzinfo=dt.UTC)]


@given(st.sampled_from(("550 5.1.1", "bounce 4.4.7", "complaint", "by ada: so")),
       st.sampled_from(("550 5.1.1", "3 soft bounces", "complaint", "by ada: so")))
def test_a_reason_never_becomes_one_that_readers_can_lift(new: str, known: str) -> None:
    kept = new if outranks(new, known) else known
    assert not liftable(kept) if not liftable(known) or not liftable(new) else kept == known


def test_others_write_while_a_long_list_comes_in_and_what_was_broken_off_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suppressions, "TOGETHER", 2)
    raw = "".join(f"p{number}@readers.example\n" for number in range(5)).encode()
    told = list[tuple[int, int]]()
    with Database(database.url.render_as_string(hide_password=False), wait_seconds=2) as other:

        def meanwhile(done: int, of: int) -> None:
            told.append((done, of))
            if done == 4:  # somebody else's, at once
                Suppressions(other).add("q@readers.example", "a trap", NOW)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            import_file(database, raw, "list.csv", by=ADA, now=NOW, progress=meanwhile)
    assert told == [(0, 5), (2, 5), (4, 5)]
    again = import_file(database, raw, "list.csv", by=ADA, now=NOW)
    assert (again.count("known"), again.count("added")) == (4, 1)
    assert len(Suppressions(database).list()) == 6


def test_a_look_at_a_list_waits_for_nobody_who_writes(database: Database) -> None:
    Meta(database).address_key()  # made by whoever wants it first
    with database.begin(), Database(database.url.render_as_string(hide_password=False), wait_seconds=0.2) as other:
        looked = import_file(other, b"ada@a.example\n", "list.csv", by=ADA, now=NOW, dry_run=True)
    assert looked.count("added") == 1
