"""Lists as other programs write them: read and mapped, or refused in one sentence; nobody who left comes back."""

import contextlib
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.errors import HeldError, InputError
from pipeline import subscribers
from pipeline.subscriber_files import consent, csv_reading
from pipeline.subscriber_files.address_cell import address_in
from pipeline.subscriber_files.formulas import escape, unescape
from pipeline.subscribers import By, Imported, choices
from store.database import Database, connect
from store.meta import Meta
from store.subscribers import importing
from store.subscribers.importing import STANDINGS, Entry, Known, Standing, admit, strictest
from store.subscribers.people import Subscribers
from store.subscribers.suppressions import Suppressions
from tests.new_database import new_database

NOW = dt.datetime(2026, 11, 23, 9, 0, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(days=3)
US = By(who="ada", why="they wrote to us")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with connect(new_database(f"sqlite:///{tmp_path}/milepost.db")) as opened:
        yield opened


def take_in(
    database: Database, content: str | bytes, *, name: str = "list.csv", chosen: subscribers.Choices | None = None,
    dry_run: bool = False,
) -> Imported:
    file = Path(database.where).with_name(name)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return subscribers.import_file(
        database, file, cadence="weekly", by="ada", now=LATER, chosen=chosen, dry_run=dry_run
    )


def came(imported: Imported) -> dict[str, str]:
    return {one.entry.address.address: one.result for one in imported.outcomes}


# --- how a file is read -----------------------------------------------------------------------------------------------

READ = {
    "comma": b"address\nada@a.example\nbo@b.example\n",
    "semicolon": b"E-Mail;Name\nada@a.example;Ada, Countess\nbo@b.example;Bo\n",
    "tab": b"Name\tEmail Address\nAda\tada@a.example\nBo\tbo@b.example\n",
    "bar": b"name|email|note\nAda|ada@a.example|,;\nBo|bo@b.example|\n",
    "sep": b"sep=;\r\nemail;note\r\nada@a.example;a,b,c,d\r\nbo@b.example;\r\n",
    "sep that is rare": b"sep=~\nemail~x\nada@a.example~1\nbo@b.example~2\n",
    "blank lines first": b"\r\n;;;\r\n\r\nE-MAIL ADDRESS;x;;\r\nada@a.example;1;;\r\n\r\nbo@b.example;2;;\r\n",
    "UTF-8 with a mark": b"\xef\xbb\xbfemail\nada@a.example\nbo@b.example\n",
    "UTF-16": "email\tname\nada@a.example\tÄda\nbo@b.example\tBo\n".encode("utf-16"),
    "UTF-16, the other way round": b"\xfe\xff" + "email\nada@a.example\nbo@b.example\n".encode("utf-16-be"),
    "Windows-1252": "E-Mail;Name\nada@a.example;Zoë – “Z”\nbo@b.example;Bo\n".encode("cp1252"),
    "quoted line ends": b'email,note\n"ada@a.example","two\nlines\nor three"\n"bo@b.example\n",x\n',
    "no heading": b"ada@a.example\n\nAda <bo@b.example>\n",
    "no heading, quoted names": b'"Countess, Ada" <ada@a.example>\n"Bo" <bo@b.example>\n',
    "names with commas": b"Email\nCountess, Ada <ada@a.example>\nBo <mailto:bo@b.example>;\n",
    "unseen signs": "email,x\n\u00a0ada@a.example\u200b,1\n\ufeff\u2060bo@b.\u00adexample\u202c\t,2\n".encode(),
    "the plainer heading counts": b"Address,Email Address\n1 Quay Street,ada@a.example\n2 Quay Street,bo@b.example\n",
    "German": "Vorname;E-Mail-Adresse\nAda;ada@a.example\nBo;bo@b.example\n".encode("cp1252"),
}


@pytest.mark.parametrize("content", READ.values(), ids=READ.keys())
def test_whatever_wrote_it_the_people_come_in(database: Database, content: bytes) -> None:
    imported = take_in(database, content)
    assert imported.errors == ()
    assert came(imported) == {"ada@a.example": "added", "bo@b.example": "added"}
    assert [who.address for who in Subscribers(database).list()] == ["ada@a.example", "bo@b.example"]


REFUSED = {
    "no column of addresses": (b"Kontakt;Ort\n" + b"ada;Ulm\n" * 2000,
                               "separated by “;”, the headings are “Kontakt”, “Ort”. Name it: --map address=HEADING"),
    "no heading, several columns": (b"ada@a.example,x\nbo@b.example,y\n", "no heading line and more than one column"),
    "two columns of the name": (b"email,Email\na@a.example,b@b.example\n", "2 columns are called “email”"),
    "a workbook": (b"PK\x03\x04rest", "Excel workbook"),
    "UTF-16 without a mark": ("email\na@a.example\n".encode("utf-16-le"), "UTF-16 without a mark"),
    "neither encoding": (b"email\na@a.example\n\x81\xff\n", "line 3 is neither UTF-8 nor Windows-1252"),
    "a quote that never ends": (b'email\na@a.example\n"b@b.example\n' + b"c@c.example\n" * 2000, "never closed"),
    "nothing": (b"", "holds no address"),
    "a heading alone": (b"email;name\n\n", "holds no address"),
}


@pytest.mark.parametrize(("content", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_list_is_refused_in_one_sentence(database: Database, content: bytes, said: str) -> None:
    with pytest.raises(InputError, match=r"list\.csv: ") as caught:
        take_in(database, content)
    assert said in str(caught.value)
    assert Subscribers(database).list() == []


def test_wrong_rows_are_told_by_their_line_and_stop_nobody(database: Database) -> None:
    imported = take_in(database, "\n\nemail;cadence;topics\nada@a.example;daily;a; b\nnobody;;\n\nbo@b.example;two;\n"
                                 "cy@c.example;;a b\nx@x.example,y@y.example;;\nADA@a.example;;\n")
    assert [line for line, _ in imported.errors] == [4, 5, 7, 9]
    assert "has 4 cells, the heading 3" in imported.errors[0][1]
    assert "'two' is no cadence" in imported.errors[2][1]
    assert {one.address: (one.cadence, one.topics) for one in Subscribers(database).list()} == {
        "cy@c.example": ("weekly", ("a", "b")), "ADA@a.example": ("weekly", ()),
    }


def test_an_operator_names_the_columns(database: Database) -> None:
    chosen = choices(["address=Kontakt", "cadence=Wie oft"])
    imported = take_in(database, "Kontakt;Wie oft\nada@a.example;daily\n", chosen=chosen)
    assert came(imported) == {"ada@a.example": "added"}
    assert Subscribers(database).list()[0].cadence == "daily"
    with pytest.raises(InputError, match=r"no column “Nirgends”. The headings are “Kontakt”"):
        take_in(database, "Kontakt\nada@a.example\n", chosen=choices(["address=Kontakt", "topics=Nirgends"]))
    for wrong in ("Kontakt", "nothing=Kontakt", "address="):
        with pytest.raises(InputError, match="maps nothing"):
            choices([wrong])


def test_a_dry_run_shows_everything_and_writes_nothing(database: Database) -> None:
    content = "Email;Name;subscribed_to_emails\nada@a.example;A;true\nbo@b.example;B;false\n"
    dry = take_in(database, content, dry_run=True)
    assert Subscribers(database).list() == []
    assert [(one.heading, one.taken_for) for one in dry.columns] == [
        ("Email", "address"), ("Name", "ignored"), ("subscribed_to_emails", "consent"),
    ]
    assert dry.columns[2].note == "as Ghost has it"
    assert came(dry) == came(take_in(database, content)) == {"ada@a.example": "added", "bo@b.example": "left"}


# --- who wants mail ---------------------------------------------------------------------------------------------------

GHOST = "id,email,name,subscribed_to_emails,complimentary_plan,stripe_customer_id,created_at,deleted_at,labels,tiers\n"
LISTMONK = "uuid,email,name,attributes,status,created_at,updated_at\n"
MAILCHIMP = "Email Address,First Name,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,{}LEID,EUID,TAGS\n"
SUBSCRIBED = MAILCHIMP.format("LAST_CHANGED,")
UNSUBSCRIBED = MAILCHIMP.format("UNSUB_TIME,UNSUB_REASON,")
CLEANED = MAILCHIMP.format("CLEAN_TIME,CLEAN_CAMPAIGN_TITLE,")
EXPORTS = {
    "Ghost": ("members.csv", (f"{GHOST}1,in@a.example,,true,false,,2026-01-01,,,\n2,out@b.example,,false,false,,,,,\n"
              "3,gone@c.example,,true,false,,,2026-02-02,,\n"),
              {"in@a.example": "added", "out@b.example": "left", "gone@c.example": "left"}),
    "listmonk": ("subscribers.csv", (f"{LISTMONK}u,in@a.example,,{{}},enabled,,\nu,out@b.example,,{{}},disabled,,\n"
                 "u,gone@c.example,,{},blocklisted,,\n"),
                 {"in@a.example": "added", "out@b.example": "left", "gone@c.example": "suppressed"}),
    "Substack": ("email_list.csv", ("email,active_subscription,expiry,plan,email_disabled,created_at\n"
                 "in@a.example,false,,other,false,\nout@b.example,true,,yearly,true,\n"),
                 {"in@a.example": "added", "out@b.example": "left"}),
    "Substack, the long one": ("subs.csv", ("Email,Name,Subscription type,Subscription date,Cancel date,"
                               "Receiving emails for\nin@a.example,I,Free,1,,The Loom\nout@b.example,O,Paid,1,,\n"),
                               {"in@a.example": "added", "out@b.example": "left"}),
    "Mailchimp's subscribed": ("subscribed_email_audience_export_1.csv",
                               f"{SUBSCRIBED}in@a.example,,2,,,,,,1,e,\n", {"in@a.example": "added"}),
    "Mailchimp's nonsubscribed": ("nonsubscribed_email_audience_export_1.csv",
                                  f"{SUBSCRIBED}buyer@a.example,,2,,,,,,1,e,\n", {"buyer@a.example": "skipped"}),
    "Mailchimp's unsubscribed": ("renamed.csv", f"{UNSUBSCRIBED}out@b.example,,2,,,,,2026-01-01,other,1,e,\n",
                                 {"out@b.example": "left"}),
    "Mailchimp's cleaned": ("renamed.csv", f"{CLEANED}dead@b.example,,2,,,,,2026-01-01,No 3,1,e,\n",
                            {"dead@b.example": "suppressed"}),
    "Buttondown": ("subscribers.csv", ("email,notes,tags,type\nin@a.example,,,regular\npays@a.example,,,churning\n"
                   "out@b.example,,,unsubscribed\nwaits@b.example,,,unactivated\nspam@b.example,,,spammy\n"),
                   {"in@a.example": "added", "pays@a.example": "added", "out@b.example": "left",
                    "waits@b.example": "pending", "spam@b.example": "suppressed"}),
    "Keila": ("contacts.csv", ("Email,First name,Last name,Data,Status\nin@a.example,,,,active\n"
              "out@b.example,,,,unsubscribed\ndead@c.example,,,,unreachable\n"),
              {"in@a.example": "added", "out@b.example": "left", "dead@c.example": "suppressed"}),
    "a type that is about something else": ("x.csv", "email,type\nin@a.example,customer\n", {"in@a.example": "added"}),
}


@pytest.mark.parametrize(("name", "content", "result"), EXPORTS.values(), ids=EXPORTS.keys())
def test_other_programs_words_for_who_left_are_understood(
    database: Database, name: str, content: str, result: dict[str, str]
) -> None:
    assert came(take_in(database, content, name=name)) == result
    active = {who.address for who in Subscribers(database).list(state="active")}
    assert active == {address for address, what in result.items() if what == "added"}
    for address, what in result.items():
        assert (Suppressions(database).find(address) is not None) == (what == "suppressed")


def test_every_row_of_the_table_says_where_it_is_from() -> None:
    for meaning in consent.MEANINGS:
        assert meaning.source.startswith("https://") or meaning.program in ("any", "Milepost")
        assert meaning.heading == consent.folded(meaning.heading)
        assert meaning.says in (*STANDINGS, "nothing")


HELD = {
    "a column nobody knows": ("x.csv", "email,GDPR consent\na@a.example,v2\nb@b.example,\n",
                              "“GDPR consent” looks as if it told who wants mail, and isn't understood (“v2”, "),
    "a word nobody knows": ("x.csv", "email,status\na@a.example,active\nb@b.example,lapsed\n",
                            "“status” says “lapsed” (rows: 1)"),
    "a blank where a word belongs": ("x.csv", f"{LISTMONK}u,a@a.example,,{{}},,,\n", "“status” says nothing (rows: 1)"),
    "a short row": ("x.csv", "email,name,email_disabled\na@a.example,A,false\nb@b.example\n", "“email_disabled”"),
    "one word of a type": ("x.csv", "email,type\na@a.example,regular\nb@b.example,odd\n", "“type” says “odd”"),
    "Mailchimp's, renamed": ("x.csv", f"{SUBSCRIBED}in@a.example,,2,,,,,,1,e,\n", "is an audience export of Mailchimp"),
    "a name that speaks of leaving": ("unsubscribers.csv", "email\na@a.example\n", "by its name these people"),
}


@pytest.mark.parametrize(("name", "content", "said"), HELD.values(), ids=HELD.keys())
def test_what_may_be_consent_and_is_not_understood_stops_the_import(
    database: Database, name: str, content: str, said: str
) -> None:
    with pytest.raises(HeldError) as caught:
        take_in(database, content, name=name)
    assert said in str(caught.value)
    assert "--" in str(caught.value)
    assert Subscribers(database).list() == []


def test_an_operator_says_how_to_go_on(database: Database) -> None:
    content = "email,Permission\na@a.example,ja\nb@b.example,nein\nc@c.example,\n"
    ignored = take_in(database, content, chosen=choices(ignored=["permission"]), dry_run=True)
    assert set(came(ignored).values()) == {"added"}
    mapped = choices(["state=Permission"], words=["ja=active", "nein=unsubscribed", "=never_asked"])
    assert came(take_in(database, content, chosen=mapped)) == {
        "a@a.example": "added", "b@b.example": "left", "c@c.example": "skipped",
    }
    whole = take_in(database, "email\nd@d.example\n", name="bounced.csv", chosen=choices(standing="bounced"))
    assert came(whole) == {"d@d.example": "suppressed"}
    for wrong in ("ja=gladly", "ja"):
        with pytest.raises(InputError, match="no state"):
            choices(words=[wrong])


def test_nobody_who_left_comes_back_by_a_file(database: Database) -> None:
    people, list_ = Subscribers(database), Suppressions(database)
    for name in ("left", "bounced", "erased", "waits", "stays"):
        people.add(f"{name}@a.example", state="pending" if name == "waits" else "active", now=NOW)
    people.unsubscribe("left@a.example", US, NOW)
    list_.add("bounced@a.example", "5.1.1", NOW)
    people.erase("erased@a.example", US, NOW)
    imported = take_in(database, "email\nleft@a.example\nbounced@a.example\nErased@a.example\nwaits@a.example\n"
                                 "stays@a.example\nnew@a.example\n")
    assert came(imported) == {
        "left@a.example": "held_back", "bounced@a.example": "held_back", "Erased@a.example": "held_back",
        "waits@a.example": "held_back", "stays@a.example": "known", "new@a.example": "added",
    }
    assert [one.why for one in imported.of("held_back")] == [
        "has left (since 2026-11-23)", "suppressed: 5.1.1 (since 2026-11-23)",
        "suppressed: erased (since 2026-11-23)", "waits for confirmation (since 2026-11-23)",
    ]
    assert {who.address: who.state for who in people.list() if who.address} == {
        "left@a.example": "unsubscribed", "bounced@a.example": "active", "waits@a.example": "pending",
        "stays@a.example": "active", "new@a.example": "active",
    }


def test_a_file_takes_no_active_reader_away_and_says_so(database: Database) -> None:
    Subscribers(database).add("ada@a.example", now=NOW)
    for status in ("unsubscribed", "bounced", "complained"):
        imported = take_in(database, f"email,status\nada@a.example,{status}\n")
        assert came(imported) == {"ada@a.example": "contradicted"}
        assert f"status = {status}" in imported.outcomes[0].why
    assert Suppressions(database).find("ada@a.example") is None


def test_of_two_rows_of_one_person_the_stricter_counts(database: Database) -> None:
    imported = take_in(
        database, "email,status\nada@a.example,active\nADA@a.example,unsubscribed\nada@A.example,active\n"
    )
    assert came(imported) == {"ada@a.example": "left"}
    assert imported.repeated == 2


STATES = st.sampled_from(STANDINGS)


@given(st.lists(st.tuples(st.sampled_from(["a@a.example", "A@a.example", "b@b.example"]), STATES), max_size=8),
       st.sampled_from([None, "active", "pending", "unsubscribed"]), st.sampled_from([None, "5.1.1"]))
def test_only_who_is_unknown_is_ever_added(
    rows: list[tuple[str, Standing]], state: object, suppressed: str | None
) -> None:
    entries = [Entry(line=line, address=address_in(name)[0], standing=standing, cadence="daily")
               for line, (name, standing) in enumerate(rows)]
    known = Known(state=state, suppressed=suppressed)  # type: ignore[arg-type]
    people = strictest(entries)
    assert len(people) == len({entry.address.normalized for entry in entries})
    for entry in people:
        worst = max((one.standing for one in entries if one.address.normalized == entry.address.normalized),
                    key=STANDINGS.index)
        assert entry.standing == worst
        if admit(entry, known).result == "added":
            assert (worst, state, suppressed) == ("active", None, None)


# --- out and in again -------------------------------------------------------------------------------------------------


def test_an_export_holds_nothing_that_a_spreadsheet_runs_and_comes_back_as_it_was(
    database: Database, tmp_path: Path
) -> None:
    people = Subscribers(database)
    live = ["=cmd|calc@a.example", "+1@a.example", "-x@a.example", "'=y@a.example", "plain@a.example"]
    for address in live:
        people.add(address, topics=("=1+1", "@here"), cadence="monthly", now=NOW)
    people.add("waits@a.example", state="pending", now=NOW)
    people.unsubscribe("-x@a.example", US, NOW)
    Suppressions(database).add("+1@a.example", "=bad reason", NOW)
    people.add("erased@a.example", now=NOW)
    people.erase("erased@a.example", US, NOW)
    before = list(people.export())
    cells = [cell for row in subscribers.export_csv(database) for cell in row.values()]
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r＝＋－＠")]
    file = tmp_path / "out.csv"
    lines = [",".join(f'"{cell}"' for cell in row.values()) for row in subscribers.export_csv(database)]
    file.write_text("\n".join([",".join(subscribers.COLUMNS), *lines]), encoding="utf-8")
    with connect(new_database(f"sqlite:///{tmp_path}/other.db")) as other:
        subscribers.import_file(other, file, cadence="daily", by="ada", now=NOW)
        assert list(Subscribers(other).export()) == before
        again = subscribers.import_file(other, file, cadence="daily", by="ada", now=LATER)
        assert {one.result for one in again.outcomes} == {"known"}


@given(st.text())
def test_escaping_is_undone_by_unescaping(cell: str) -> None:
    assert unescape(escape(cell)) == cell
    assert escape(cell)[:1] not in tuple("=+-@\t\r\n＝＋－＠")


@given(st.binary(max_size=200))
def test_no_bytes_make_more_than_a_sentence(raw: bytes) -> None:
    with contextlib.suppress(InputError):  # whatever else it raised would be a traceback
        csv_reading.read(raw, is_heading=lambda cells: "email" in cells, is_address=lambda cell: "@" in cell)


@pytest.mark.parametrize("dry_run", [True, False])
def test_whoever_waits_is_told_how_many_are_decided_on(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    monkeypatch.setattr(importing, "TOGETHER", 2)
    (tmp_path / "list.csv").write_text("".join(f"p{number % 5}@a.example\n" for number in range(7)))
    told: list[tuple[int, int]] = []
    subscribers.import_file(
        database, tmp_path / "list.csv", cadence="weekly", by="ada", now=LATER, dry_run=dry_run,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(0, 5), (2, 5), (4, 5), (5, 5)]  # people, not rows


def test_a_look_at_a_file_waits_for_nobody_who_writes(database: Database, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("ada@a.example\n")
    Meta(database).address_key()  # made by whoever wants it first
    with database.begin(), connect(database.url.render_as_string(), wait_seconds=0.2) as other:
        looked = subscribers.import_file(
            other, tmp_path / "list.csv", cadence="weekly", by="ada", now=LATER, dry_run=True
        )
    assert looked.count("added") == 1
