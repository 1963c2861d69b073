"""The commands about records as an operator types them: what waits, what changed and why, what is read again."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from console.app import app
from milepost.dates import utc_now
from milepost.errors import ConflictError, InputError, MilepostError, NotFoundError
from milepost.records import Change, FieldChange
from milepost.settings import Settings
from pipeline.backfill import backfill
from pipeline.look.scrape import scrape
from pipeline.publish import publish
from store.archive.snapshots import Snapshots
from store.database import Database
from store.milestones.looks import Looks
from store.milestones.milestones import Likeness, Milestones
from tests.pipeline import prepared
from tests.pipeline.stage import BreakableSite

SOURCE = "clockwork"

Type = Callable[..., Result]


@pytest.fixture
def type_(config: Path) -> Type:
    """Runs one command line; raises what it raised."""
    runner = CliRunner()

    def run(*arguments: str, **options: Any) -> Result:
        return runner.invoke(app, ["--config", str(config), *arguments], catch_exceptions=False, **options)

    return run


@pytest.fixture
def wrong(database: Database, baseline: None) -> str:  # noqa: ARG001 (it comes first)
    """A key whose record an earlier extractor got wrong."""
    milestones = Milestones(database)
    known = next(milestones.iterate(SOURCE))
    record = replace(known.milestone, title="Wrong", extractor="sample/0")
    milestones.apply(None, SOURCE, [(None, record, known.snapshot_id)], announce=False, now=utc_now())
    return record.key


def title(database: Database, key: str) -> str:
    return Milestones(database).get(SOURCE, key).milestone.title


# --- reading again ----------------------------------------------------------------------------------------------------


def test_a_backfill_is_shown_written_listed_and_taken_back(type_: Type, database: Database, wrong: str) -> None:
    shown = type_("backfill", SOURCE, "--dry-run").stdout
    assert f"{wrong[:20]}" in shown
    assert "1 records would change. Nothing was written." in shown
    assert title(database, wrong) == "Wrong"

    done = json.loads(type_("backfill", "--json").stdout)
    assert (done["written"], done["differ"], done["dry_run"]) == (1, 1, False)
    assert done["pages_per_second"] > 0
    assert title(database, wrong) != "Wrong"
    [listed] = json.loads(type_("backfill", "list", "--json").stdout)
    assert (listed["id"], listed["state"], listed["written"]) == (done["backfill"], "finished", 1)

    assert "1 records are as they were" in type_("backfill", "undo", str(done["backfill"]), "--why", "no").stdout
    assert title(database, wrong) == "Wrong"
    [listed] = json.loads(type_("backfill", "list", "--json").stdout)
    assert (listed["state"], listed["undone_why"]) == ("undone", "no")


@pytest.mark.parametrize(
    ("options", "read", "differ"),
    [
        pytest.param(("--key", "{wrong}"), 1, 1, id="a-key"),
        pytest.param(("--extractor", "sample/0"), 1, 1, id="who-read-it"),
        pytest.param(("--since", "2001-01-01", "--key", "{wrong}"), 1, 1, id="fetched-since"),
        pytest.param(("--until", "2999-01-01T00:00+01:00", "--key", "{wrong}"), 1, 1, id="fetched-until"),
    ],
)
def test_a_backfill_of_a_part(type_: Type, wrong: str, options: tuple[str, ...], read: int, differ: int) -> None:
    chosen = [option.format(wrong=wrong) for option in options]
    shown = json.loads(type_("backfill", SOURCE, *chosen, "--dry-run", "--json").stdout)
    assert (shown["read"], shown["differ"]) == (read, differ)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param(("--key", "nope"), f"{SOURCE}: there is no milestone 'nope'", id="no-such-key"),
        pytest.param(("--key", "{wrong}", "--key", "nope"), "there is no milestone 'nope'", id="one-of-two-keys"),
        pytest.param(("--extractor", "bogus/9"), "no stored page fits the selection: bogus/9", id="nobody-read-it"),
        pytest.param(("--extractor", "sample/1", "--key", "{wrong}"), "no stored page fits", id="another-read-it"),
        pytest.param(("--since", "2999-01-01"), "no stored page fits the selection", id="nothing-fetched-since"),
    ],
)
@pytest.mark.parametrize("dry", [("--dry-run",), ()], ids=["dry", "written"])
def test_a_backfill_of_nothing_is_told_as_such(
    type_: Type, database: Database, wrong: str, options: tuple[str, ...], dry: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(NotFoundError, match=sentence) as told:
        type_("backfill", SOURCE, *(option.format(wrong=wrong) for option in options), *dry)
    assert told.value.exit_code == 1
    assert title(database, wrong) == "Wrong"


class Killed(BaseException):
    """What a test throws where a process would have died."""


def test_one_that_died_is_resumed_by_its_number(
    type_: Type, settings: Settings, database: Database, wrong: str
) -> None:
    def die(_done: int, _total: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        backfill(settings, SOURCE, dry_run=False, progress=die, batch=2)
    assert "unfinished" in type_("backfill", "list").stdout
    done = json.loads(type_("backfill", "resume", "1", "--json").stdout)
    assert (done["backfill"], done["resumed"], done["written"]) == (1, True, 1)
    assert title(database, wrong) != "Wrong"
    with pytest.raises(ConflictError, match="it is finished already"):
        type_("backfill", "resume", "1")
    with pytest.raises(NotFoundError):
        type_("backfill", "resume", "2")


def test_one_that_another_extractor_began_is_not_resumed(
    type_: Type, settings: Settings, database: Database, wrong: str
) -> None:
    def die(_done: int, _total: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        backfill(settings, SOURCE, dry_run=False, progress=die, batch=2)
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE backfill SET extractor = 'sample/0'")
    with pytest.raises(ConflictError, match=r"begun with sample/0, and now it is sample/\d that reads"):
        type_("backfill", "resume", "1")
    type_("backfill", "undo", "1", "--why", "too old")
    assert title(database, wrong) == "Wrong"


def test_a_date_that_is_none(type_: Type) -> None:
    with pytest.raises(InputError, match="--since: 'soon' is no date"):
        type_("backfill", "--since", "soon")


# --- a record and its past --------------------------------------------------------------------------------------------


def test_a_records_history(type_: Type, settings: Settings, site: BreakableSite, database: Database) -> None:
    prepared.copy("baseline", settings)
    site.edit()
    scrape(settings, SOURCE)
    [corrected] = Milestones(database).changes(source=SOURCE, kinds=["corrected"])
    key = corrected.change.key
    gone = Milestones(database).get(SOURCE, key)
    look = Looks(database).start(SOURCE, utc_now())
    withdrawn = Change(source=SOURCE, key=key, kind="withdrawn")
    Milestones(database).apply(look, SOURCE, [(withdrawn, gone.milestone, None)], announce=True, now=utc_now())

    told = json.loads(type_("show", key, "--history", "--json").stdout)
    assert [(one["version"], one["kind"]) for one in told] == [(1, "added"), (2, "corrected")]
    assert [one["kind"] for one in told[1]["later"]] == ["withdrawn"]
    assert told == json.loads(type_("history", key, "--json").stdout)
    shown = type_("show", key, "--history").stdout
    assert "look 2" in shown
    assert "withdrawn" in shown
    [field] = json.loads(type_("diff", key, "1", "2", "--json").stdout)
    assert field["old"] != field["new"]


def test_why_a_value_is_what_it_is(type_: Type, settings: Settings, database: Database, wrong: str) -> None:
    told = json.loads(type_("explain", wrong, "title", "--json").stdout)
    assert told["news"] == "no: an operator wrote it, which announces nothing"
    backfill(settings, SOURCE, dry_run=False)
    told = json.loads(type_("explain", wrong, "title", "--json").stdout)
    assert told["news"] == "no: backfill 1 wrote it, which announces nothing"
    snapshot = Snapshots(database).get(Milestones(database).get(SOURCE, wrong).snapshot_id or 0)
    assert told["snapshot"]["sha256"] == snapshot.body_hash
    assert f"SHA-256 {snapshot.body_hash}" in type_("explain", wrong, "title").stdout


# --- what waits -------------------------------------------------------------------------------------------------------


def test_what_waits_for_an_operator(type_: Type, settings: Settings, database: Database) -> None:
    prepared.copy("baseline", settings)
    assert type_("holds").stdout == "Nothing is held.\n"
    looks = Looks(database)
    look = looks.start(SOURCE, utc_now())
    looks.finish(look, state="complete", now=utc_now(), held="too much at once", guard="surge")
    assert "too much at once" in type_("holds").stdout
    [held] = json.loads(type_("holds", "--json").stdout)
    assert (held["kind"], held["look"], held["guard"]) == ("look", look, "surge")
    type_("holds", "release", str(look), "--why", "I looked")
    assert looks.get(look).released_why == "I looked"
    assert json.loads(type_("holds", "list", "--json").stdout) == []


@pytest.mark.parametrize("answer", ["--same", "--new"])
def test_a_question_about_a_rename_is_answered(
    type_: Type, settings: Settings, database: Database, answer: str
) -> None:
    prepared.copy("baseline", settings)
    milestones = Milestones(database)
    old = next(milestones.iterate(SOURCE)).milestone
    new = replace(old, key="other", url=f"{old.url}-other", title="Something of the kind")
    look = Looks(database).start(SOURCE, utc_now())
    likeness = Likeness(old_key=old.key, new_key="other", proof="score", score=0.7, sure=False)
    milestones.apply(look, SOURCE, [(Change(source=SOURCE, key="other", kind="added"), new, None)], announce=True,
                     now=utc_now(), silent={"other"}, likenesses=[likeness])
    Looks(database).finish(look, state="complete", now=utc_now(), milestones=milestones.count(SOURCE))

    [question] = json.loads(type_("holds", "--json").stdout)
    assert (question["kind"], question["new"]) == ("rename", "other")
    assert "0.70" in type_("changes", "renames").stdout
    assert "an operator decides" in json.loads(type_("explain", "other", "title", "--json").stdout)["news"]
    said = type_("changes", "resolve", str(question["id"]), answer, "--why", "I looked").stdout
    assert ("no news" if answer == "--same" else "goes into the next issue") in said
    issues = publish(settings)
    told = [item.milestone.key for published in issues for item in published.issue.items]
    assert told == ([] if answer == "--same" else ["other"])
    if answer == "--same":
        with pytest.raises(NotFoundError, match="its key is other by now"):
            type_("show", old.key)


@pytest.mark.parametrize(
    ("proof", "score", "how"),
    [pytest.param("redirect", None, "a redirect", id="redirect"),
     pytest.param("score", 0.93, r"their likeness \(score 0.93\)", id="score")],
)
def test_a_rename_that_settled_itself_says_what_settled_it(
    type_: Type, settings: Settings, database: Database, proof: str, score: float | None, how: str
) -> None:
    prepared.copy("baseline", settings)
    milestones = Milestones(database)
    old = next(milestones.iterate(SOURCE)).milestone
    renamed = Change(source=SOURCE, key="other", kind="renamed",
                     fields=(FieldChange("key", "renamed", old.key, "other"),))
    likeness = Likeness(old_key=old.key, new_key="other", proof=proof, score=score, sure=True)
    look = Looks(database).start(SOURCE, utc_now())
    milestones.apply(look, SOURCE, [(renamed, replace(old, key="other"), None)], announce=True, now=utc_now(),
                     likenesses=[likeness])
    with pytest.raises(ConflictError, match=f"settled by {how}: other is {old.key}, renamed"):
        type_("changes", "resolve", "1", "--same", "--why", "x")


@pytest.mark.parametrize("words", [(), ("a-key",), ("--issue", "1"), ("--item", "a-key")])
def test_to_explain_takes_a_field_or_a_line(type_: Type, words: tuple[str, ...]) -> None:
    refused = type_("explain", *words)
    assert refused.exit_code == 2
    assert "Give KEY FIELD, or --issue N --item KEY." in " ".join(refused.stderr.replace("│", " ").split())


def test_an_answer_names_one_of_two(type_: Type) -> None:
    refused = type_("changes", "resolve", "1", "--why", "x")
    assert refused.exit_code == 2
    assert "--same" in refused.stderr
    assert "--new" in refused.stderr


def test_changes_without_a_command_lists_them(type_: Type, settings: Settings, site: BreakableSite) -> None:
    prepared.copy("baseline", settings)
    site.edit()
    scrape(settings, SOURCE)
    assert "corrected" in type_("changes").stdout
    assert "corrected" in type_("changes", "--kind", "corrected", "-n", "1").stdout
    assert type_("changes", "--kind", "added").stdout == "Nothing has changed.\n"


# --- out and in -------------------------------------------------------------------------------------------------------


def test_what_is_exported_comes_in_again_with_its_evidence(
    type_: Type, settings: Settings, database: Database, tmp_path: Path
) -> None:
    prepared.copy("baseline", settings)
    file = tmp_path / "all.jsonl"
    type_("export", "--out", str(file))
    before = {key: stored.milestone for key, stored in Milestones(database).known(SOURCE).items()}
    said = type_("import", str(file)).stdout
    assert said == f"0 added, 0 changed, {len(before)} were known already, 0 lines could not be used.\n"
    with database.begin() as connection:
        for statement in ("DELETE FROM change", "DELETE FROM milestone_version", "DELETE FROM milestone_search",
                          "DELETE FROM milestone"):
            connection.exec_driver_sql(statement)
    assert f"{len(before)} added" in type_("import", str(file)).stdout
    assert {key: stored.milestone for key, stored in Milestones(database).known(SOURCE).items()} == before
    assert publish(settings) == []
    scrape(settings, SOURCE, full=True)
    assert publish(settings) == []


def test_a_line_that_can_not_be_used_is_told_and_the_others_go_on(type_: Type, database: Database) -> None:
    good = json.dumps({"source": SOURCE, "key": "a", "url": "https://clockwork.example/story/a", "title": "A"})
    lines = "\n".join(["nonsense", good, good.replace('"a"', '"b"').replace(SOURCE, "elsewhere"), ""])
    with pytest.raises(MilepostError, match=r"line 3 is of the source 'elsewhere', which the settings don't name"):
        type_("import", "-", input=lines)
    assert title(database, "a") == "A"
    assert Milestones(database).get(SOURCE, "a").milestone.unknown >= {"date", "people"}
    done = type_("import", "-", "--source", SOURCE, "--json", input=good.replace('"a"', '"b"').replace(SOURCE, "x"))
    assert json.loads(done.stdout)["added"] == 1


def test_an_import_is_told_as_one(type_: Type, wrong: str) -> None:
    known = next(one for one in map(json.loads, type_("export").stdout.splitlines()) if one["key"] == wrong)
    type_("import", "-", input=json.dumps(known | {"title": "Told otherwise"}))
    told = type_("explain", wrong, "title").stdout
    assert "UTC, imported\n" in told
    assert "Witness    import: JSON Lines\n" in told
    assert "Snapshot" not in told
    assert "sample/" not in told


@pytest.mark.parametrize("form", ["csv", "jsonld"])
def test_two_forms_at_once_are_refused(type_: Type, form: str) -> None:
    refused = type_("milestones", "--format", form, "--json")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--json" in refused.stderr


@pytest.mark.parametrize("content", [b"", b"no database, but a text"], ids=["empty", "text"])
def test_what_is_no_database_is_not_restored(
    type_: Type, database: Database, wrong: str, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "typed.db"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"typed\.db: is no database. Choose a file that `db backup` wrote"):
        type_("db", "restore", str(file), "--replace")
    assert title(database, wrong) == "Wrong"
    with pytest.raises(InputError, match=r"absent\.db: can't be read"):
        type_("db", "restore", str(tmp_path / "absent.db"), "--replace")


def test_every_form_of_export(type_: Type, settings: Settings) -> None:
    prepared.copy("baseline", settings)
    whole = [json.loads(line) for line in type_("export").stdout.splitlines()]
    assert type_("milestones", "--json").stdout == type_("export", "--format", "jsonl").stdout
    rows = type_("export", "--format", "csv").stdout.splitlines()
    assert len(rows) == len(whole) + 1
    graph = json.loads(type_("export", "--format", "jsonld").stdout)
    assert [event["name"] for event in graph["@graph"]] == [record["title"] for record in whole]
