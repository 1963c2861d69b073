"""The main job: a baseline that tells nobody, then news, once, to those who asked."""

import datetime as dt
import email
import hashlib
import json
import re
from dataclasses import replace
from email import policy
from pathlib import Path

import pytest
from pydantic import SecretStr

from milepost.dates import utc_now
from milepost.errors import ConflictError, DeliveryError, HeldError
from milepost.records import LookReport, Snapshot, Validators
from milepost.settings import Settings
from pipeline.backfill import backfill
from pipeline.dispatch import dispatch, waiting
from pipeline.look.scrape import report_to_json, scrape
from pipeline.publish import freeze_unless_held, publish
from store.archive.snapshots import Snapshots
from store.database import Database
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.milestones.looks import Looks
from store.milestones.milestones import Milestones
from store.subscribers.people import Subscribers
from tests.pipeline import prepared
from tests.pipeline.stage import READERS, BreakableSite


def look(settings: Settings) -> LookReport:
    return scrape(settings, "clockwork")


def found(report: LookReport) -> dict[str, int]:
    return {kind: count for kind, count in report.changes.items() if count}


def send_all(settings: Settings) -> list[int]:
    """Publish and dispatch; the numbers of the issues that were sent."""
    publish(settings)
    numbers = waiting(settings)
    for number in numbers:
        dispatch(settings, number)
    return numbers


def with_newsletter(settings: Settings, **values: object) -> Settings:
    return settings.model_copy(update={"newsletter": settings.newsletter.model_copy(update=values)})


# --- what is news ---------------------------------------------------------------------------------------------------


def test_the_baseline_tells_nobody(settings: Settings, mails: Path) -> None:
    report = look(settings)
    assert report.baseline
    assert found(report) == {"added": report.milestones}
    assert send_all(settings) == []
    assert list(mails.glob("*.eml")) == []


def test_two_added_and_one_corrected_although_every_byte_changed(settings: Settings, site: BreakableSite) -> None:
    first = look(settings)
    site.publish()
    site.edit()
    second = look(settings)
    assert second.fetched == second.requests - 2  # robots and sitemap aside, every page came back with new bytes
    assert found(second) == {"added": 2, "corrected": 1}
    assert second.milestones == first.milestones + 2


def test_a_deploy_alone_is_no_news(settings: Settings, site: BreakableSite) -> None:
    prepared.copy("baseline", settings)
    site.deploy()
    assert found(look(settings)) == {}


def test_an_unchanged_site_sends_no_page_body(settings: Settings) -> None:
    first = look(settings)
    second = look(settings)
    assert (second.fetched, second.not_modified) == (0, first.fetched)


def with_poll(settings: Settings, **values: object) -> Settings:
    [source] = settings.sources
    return settings.model_copy(update={"sources": (source.model_copy(update={"poll": "/"} | values),)})


def test_an_unchanged_poll_page_ends_the_look_early(settings: Settings, site: BreakableSite) -> None:
    polled = with_poll(settings)
    first = look(polled)
    asked = site.requests
    second = look(polled)
    assert second.requests == site.requests - asked <= 3
    assert (second.milestones, found(second), second.failures) == (first.milestones, {}, ())
    site.publish()
    assert found(look(polled)) == {"added": 2}


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param({"full_every_hours": 0}, id="its-hours-are-over"),
        pytest.param({"max_pages": 5}, id="the-last-look-was-not-complete"),
    ],
)
def test_every_page_is_asked_for_when_the_poll_page_is_not_enough(
    settings: Settings, spoil: dict[str, object]
) -> None:
    first = look(with_poll(settings, **spoil))
    assert look(with_poll(settings, full_every_hours=spoil.get("full_every_hours", 24))).requests >= first.requests


def test_full_asks_for_every_page(settings: Settings) -> None:
    first = look(with_poll(settings))
    assert scrape(with_poll(settings), "clockwork", full=True).not_modified == first.fetched


def test_a_report_has_a_form_in_json(settings: Settings) -> None:
    report = look(settings)
    told = json.loads(json.dumps(report_to_json(report)))
    assert (told["milestones"], told["changes"], told["failures"]) == (report.milestones, report.changes, [])


def test_a_page_of_the_baseline_that_could_not_be_read_then_is_no_news_later(
    settings: Settings, site: BreakableSite
) -> None:
    slug = site.stories[0].key
    site.replaced[f"/story/{slug}"] = b"<html><body>half a pa"
    first = look(settings)
    assert (first.baseline, first.failed) == (True, 1)
    site.replaced.clear()
    second = look(settings)
    assert (second.baseline, found(second)) == (False, {"added": 1})
    assert send_all(settings) == []


def test_what_a_look_archived_before_it_died_is_news_in_the_next(
    settings: Settings, site: BreakableSite, database: Database
) -> None:
    prepared.copy("baseline", settings)
    site.publish()
    # as a look leaves it that died between the crawl and the reading: pages and validators are there, records are not
    died = Looks(database).start("clockwork", utc_now())
    known = Milestones(database).known("clockwork")
    new = [story.key for story in site.stories if story.key not in known]
    for key in new:
        body = site.story(key).encode()
        Snapshots(database).add(
            Snapshot(source="clockwork", url=f"{site.base_url}/story/{key}", final_url=f"{site.url}/story/{key}",
                     status=200, headers={"content-type": "text/html; charset=utf-8"}, body=body, fetched_at=utc_now()),
            "milestone", Validators(etag=f'"{hashlib.sha256(body).hexdigest()[:16]}"'),
        )
    report = look(settings)
    assert Looks(database).get(died).state == "failed"
    assert report.not_modified == len(new) == 2
    assert found(report) == {"added": 2}
    assert send_all(settings) == [1]


# --- who hears of it ------------------------------------------------------------------------------------------------


def test_each_subscriber_gets_one_mail_with_a_way_out_of_their_own(
    settings: Settings, site: BreakableSite, mails: Path, database: Database
) -> None:
    prepared.copy("news", settings)
    site.publish()
    assert send_all(settings) == [1]
    messages = [email.message_from_bytes(path.read_bytes(), policy=policy.SMTP) for path in mails.glob("*.eml")]
    assert sorted(str(message["To"]) for message in messages) == sorted(READERS)
    links = {re.sub(r"[<>\s]", "", str(message["List-Unsubscribe"])) for message in messages}
    assert len(links) == len(READERS)
    for message in messages:
        text = message.get_body(("plain",))
        assert text is not None
        for milestone in Issues(database).get(1).items:
            assert milestone.milestone.title in text.get_content()
    counts = Ledger(database).counts(1)
    assert counts.balanced
    assert counts.states == {"sent": 3}


def test_runs_that_are_doubled_or_repeated_send_nothing_twice(
    settings: Settings, site: BreakableSite, mails: Path
) -> None:
    prepared.copy("news", settings)
    site.publish()
    send_all(settings)
    look(settings)
    assert send_all(settings) == []
    again = dispatch(settings, 1)
    assert (again.report.results, again.counts.states) == ({}, {"sent": 3})
    assert len(list(mails.glob("*.eml"))) == 3


def test_who_is_not_mailed_is_listed_with_the_reason(
    settings: Settings, site: BreakableSite, mails: Path, database: Database
) -> None:
    subscribers = Subscribers(database)
    subscribers.add("late@readers.example", state="pending", now=utc_now())
    subscribers.add("weekly@readers.example", cadence="weekly", now=utc_now())
    leaver, _ = subscribers.add("gone@readers.example", now=utc_now())
    subscribers.leave(leaver.id, utc_now())
    look(settings)
    site.publish()
    look(settings)
    send_all(settings)
    counts = Ledger(database).counts(1)
    assert counts.exclusions == {"pending": 1, "other_cadence": 1, "unsubscribed": 1}
    assert (counts.candidates, counts.deliveries, counts.balanced) == (6, 3, True)
    assert len(list(mails.glob("*.eml"))) == 3


def test_who_leaves_between_freezing_and_sending_gets_no_mail(
    settings: Settings, site: BreakableSite, mails: Path, database: Database
) -> None:
    prepared.copy("news", settings)
    site.publish()
    publish(settings)
    leaver = Subscribers(database).find(READERS[0])
    assert leaver is not None
    Subscribers(database).leave(leaver.id, utc_now())
    assert dispatch(settings, 1).counts.states == {"sent": 2, "cancelled": 1}
    assert not [path for path in mails.glob("*.eml") if READERS[0] in path.name]


# --- approval and holds ---------------------------------------------------------------------------------------------


def test_an_issue_that_needs_approval_waits_and_the_approval_names_its_content(
    settings: Settings, site: BreakableSite, mails: Path, database: Database
) -> None:
    careful = with_newsletter(settings, approval=True, undo_minutes=0)
    look(careful)
    site.publish()
    look(careful)
    [made] = publish(careful)
    assert (made.issue.state, made.waits) == ("draft", "waits for approval")
    with pytest.raises(HeldError, match="milepost issue approve 1"):
        freeze_unless_held(careful, database, 1, now=utc_now())
    with pytest.raises(ConflictError):
        Issues(database).approve(1, "0" * 64, utc_now())
    Issues(database).approve(1, made.issue.content_hash, utc_now())
    assert send_all(careful) == [1]
    assert len(list(mails.glob("*.eml"))) == 3


def test_a_surge_is_held_until_an_operator_releases_it(
    settings: Settings, site: BreakableSite, database: Database
) -> None:
    nervous = settings.model_copy(update={
        "guards": settings.guards.model_copy(update={"surge_min": 1, "surge_share": 0.01})
    })
    look(nervous)
    site.publish()
    report = look(nervous)
    assert report.held is not None
    assert "2 new milestones at once" in report.held
    assert publish(nervous) == []
    assert report.look_id is not None
    Looks(database).release(report.look_id, why="two are two", now=utc_now())
    [made] = publish(nervous)
    assert len(made.issue.items) == 2


def test_a_weekly_issue_gathers_what_came_before_its_hour(settings: Settings, site: BreakableSite) -> None:
    weekly = with_newsletter(settings, cadences=("weekly",), weekday="monday", hour=9, timezone="Europe/Amsterdam")
    look(weekly)
    site.publish()
    look(weekly)
    later = utc_now() + dt.timedelta(days=8)
    assert publish(weekly, now=utc_now) == []
    [made] = publish(weekly, now=lambda: later)
    assert (made.issue.cadence, len(made.issue.items)) == ("weekly", 2)
    assert publish(weekly, now=lambda: later + dt.timedelta(days=7)) == []


# --- backfill -------------------------------------------------------------------------------------------------------


def test_a_backfill_repairs_records_and_announces_nothing(
    settings: Settings, site: BreakableSite, database: Database
) -> None:
    prepared.copy("baseline", settings)
    milestones = Milestones(database)
    right = milestones.get("clockwork", site.stories[0].key)
    wrong = replace(right.milestone, title="Read wrongly by an earlier extractor")
    milestones.apply(None, "clockwork", [(None, wrong, None)], announce=False, now=utc_now())

    dry = backfill(settings, "clockwork", dry_run=True)
    assert [(change.key, change.kind) for change in dry.changes] == [(right.milestone.key, "corrected")]
    assert milestones.get("clockwork", right.milestone.key).milestone == wrong
    applied = backfill(settings, "clockwork", dry_run=False)
    assert (applied.written, applied.failures) == (1, ())
    assert milestones.get("clockwork", right.milestone.key).milestone.title == right.milestone.title
    assert backfill(settings, "clockwork", dry_run=False).written == 0
    assert publish(settings) == []


# --- trouble --------------------------------------------------------------------------------------------------------


def test_without_a_relay_nothing_is_lost_and_the_next_run_goes_on(
    settings: Settings, site: BreakableSite, mails: Path, database: Database
) -> None:
    prepared.copy("news", settings)
    site.publish()
    publish(settings)
    dead = settings.model_copy(update={
        "mail": settings.mail.model_copy(update={"url": SecretStr("smtp://127.0.0.1:9")})
    })
    with pytest.raises(DeliveryError, match=r"127\.0\.0\.1:9"):
        dispatch(dead, 1)
    assert Ledger(database).counts(1).states == {"pending": 3}
    dispatch(settings, 1)
    assert len(list(mails.glob("*.eml"))) == 3
