"""What a run leaves to be read: harmless whatever a page says, counts only, and never too long."""

import datetime as dt
from typing import Any

from flows import reports
from milepost.records import Issue, LookReport, Unpictured
from pipeline.look.scrape import report_to_json
from pipeline.milestones import Found

LOOK = report_to_json(LookReport(
    source="bells", look_id=4, state="held", requests=9, fetched=2, not_modified=7, failed=0, milestones=12,
    baseline=False, changes={"added": 2, "corrected": 0}, held="ask ada@readers.example",
))


def found(title: str, url: str = "https://bells.example/bell/1") -> Found:
    return Found(source="bells", key="1", kind="added", title=title, url=url, day="3 November 2026")


def test_looks_are_a_table_without_addresses() -> None:
    [row] = reports.looks_table([LOOK])
    assert row == {"source": "bells", "state": "held", "pages": "2 of 9", "milestones": 12,
                   "changes": "2 added, kept back"}
    failed = LOOK | {"source": "chimes", "held": None, "failed": 1, "failures": ["/chime: 500", "b", "c"]}
    assert reports.looks_table([failed])[0]["pages"] == "2 of 9, 1 failed"
    fine = LOOK | {"held": None}
    assert reports.looks_description([LOOK, failed, fine]).splitlines() == [
        "What each source gave in this run", "", "- bells: ask (address)", "- chimes: /chime: 500; b"]
    assert reports.looks_description([fine]) == "What each source gave in this run"
    assert reports.looks_description([LOOK] * (reports.MOST + 5)).endswith("\n- … and 5 more")


def test_a_look_says_of_its_changes_whether_they_are_news() -> None:
    told = reports.looks_table([LOOK | {"held": None}, LOOK | {"held": None, "baseline": True}])
    assert [row["changes"] for row in told] == ["2 added", "baseline: no news"]


def test_what_was_found_is_linked_and_a_title_stays_a_title() -> None:
    markdown = reports.found_markdown([found("A [bell](https://evil.example) <b>", "https://bells.example/<x>")])
    assert markdown.splitlines()[2] == (
        r"- added: [A \[bell\](https://evil.example) \<b\>](<https://bells.example/%3Cx%3E>), 3 November 2026 (bells)"
    )


def test_a_long_list_says_how_much_more_there_is() -> None:
    lines = reports.found_markdown([found("bell")] * (reports.MOST + 5)).splitlines()
    assert lines[-1] == "- … and 5 more"
    assert len(lines) == reports.MOST + 3


def test_an_issue_shows_the_hash_that_an_approval_names() -> None:
    issue = Issue(number=7, cadence="weekly", period="2026-W45", state="draft", subject="Two *bells*",
                  content_hash="ab" * 32, created_at=dt.datetime(2026, 11, 3, tzinfo=dt.UTC),
                  unpictured=(Unpictured(key="bell", title="A *bell*", url="x", why="it is animated"),))
    markdown = reports.issue_markdown(issue, "https://news.example/issues/7")
    assert "ab" * 32 in markdown
    assert r"## Issue 7: Two \*bells\*" in markdown
    assert "<https://news.example/issues/7>" in markdown
    assert r"- without the picture of A \*bell\*: it is animated" in markdown


def test_the_equation_sums_up() -> None:
    ledger = {"candidates": 5, "states": {"sent": 3, "failed": 0}, "exclusions": {"suppressed": 2}}
    rows = reports.equation_table(ledger)
    assert rows == [{"what": "candidates", "count": 5}, {"what": "delivery: sent", "count": 3},
                    {"what": "exclusion: suppressed", "count": 2}]


def test_a_dry_run_says_what_would_be() -> None:
    field = {"field": "title", "old": "a" * 200, "new": "b"}
    change: dict[str, Any] = {"key": "1", "kind": "corrected", "fields": [field]}
    reread = {"source": "bells", "changes": [change]}
    [dry], [real] = (reports.rereads_table([reread | {"dry_run": dry}]) for dry in (True, False))
    assert (dry["would be"], len(str(dry["was"]))) == ("b", 122)
    assert real["is"] == "b"
