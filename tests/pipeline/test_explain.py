"""Every field of a record leads back to the bytes it came from, and to why it was news or not."""

import html
import json

import pytest

from milepost.codec import field_to_json, milestone_to_json
from milepost.dates import utc_now
from milepost.errors import InputError, NotFoundError
from milepost.fields import FIELDS
from milepost.records import Witness
from milepost.settings import Settings
from pipeline.explain import explain, explain_item, explanation_to_json
from pipeline.import_milestones import Importer
from pipeline.look.scrape import scrape
from pipeline.publish import publish
from store.archive.snapshots import Snapshots
from store.database import Database
from store.milestones.milestones import Milestones
from tests.pipeline import prepared
from tests.pipeline.stage import BreakableSite


def _look_publish_look(settings: Settings, site: BreakableSite) -> None:
    prepared.copy("baseline", settings)
    site.publish()
    site.edit()
    scrape(settings, "clockwork")


def test_every_field_leads_to_an_archived_page(settings: Settings, site: BreakableSite, database: Database) -> None:
    _look_publish_look(settings, site)
    for stored in Milestones(database).iterate("clockwork"):
        for field in FIELDS:
            told = explain(database, stored.milestone.key, field)
            assert told.snapshot is not None
            assert told.snapshot.url == stored.milestone.url
            if told.value not in (None, "", []):
                assert told.witnesses, (stored.milestone.key, field)


def test_it_tells_news_from_baseline_and_correction(
    settings: Settings, site: BreakableSite, database: Database
) -> None:
    _look_publish_look(settings, site)
    by_kind = {stored.change.kind: stored.change for stored in Milestones(database).changes(announce=True)}
    added, corrected = by_kind["added"], by_kind["corrected"]
    assert explain(database, added.key, "title").news.startswith("yes: the milestone was first seen by look 2")
    [changed] = corrected.fields
    assert explain(database, corrected.key, changed.field).news.startswith("as a correction, found by look 2")
    assert explain(database, corrected.key, changed.field).version == 2
    assert "baseline" in explain(database, corrected.key, "title").news


def test_related_cards_lead_to_the_page_as_it_was_last_read(
    settings: Settings, site: BreakableSite, database: Database
) -> None:
    prepared.copy("baseline", settings)
    before = Milestones(database).known("clockwork")
    site.publish()
    scrape(settings, "clockwork")
    neighbours = [
        stored for key, stored in before.items()
        if Milestones(database).get("clockwork", key).milestone.related != stored.milestone.related
    ]
    assert neighbours
    for stored in neighbours:
        now = Milestones(database).get("clockwork", stored.milestone.key)
        assert now.version == stored.version == 1
        told = explain(database, stored.milestone.key, "related")
        assert told.value == field_to_json(now.milestone, "related")
        assert told.snapshot is not None
        assert stored.snapshot_id is not None
        assert told.snapshot.fetched_at > Snapshots(database).get(stored.snapshot_id).fetched_at
        assert all(card.title in html.unescape(told.snapshot.body.decode()) for card in now.milestone.related)
        assert told.news.startswith("no: Related cards")


def test_what_an_import_told_claims_no_page(settings: Settings, database: Database) -> None:
    prepared.copy("baseline", settings)
    known = next(Milestones(database).iterate("clockwork")).milestone
    before = explain(database, known.key, "era")
    line = json.dumps(milestone_to_json(known) | {"title": "Told otherwise"})
    for changed in (1, 0):  # the second time it is known
        taken = Importer(database, sources=["clockwork"], now=utc_now()).take([line])
        assert (taken.changed, taken.failures) == (changed, ())
    told = explain(database, known.key, "title")
    assert (told.value, told.version, told.imported) == ("Told otherwise", 2, True)
    assert (told.extractor, told.snapshot) == (None, None)
    assert told.witnesses == (Witness(witness="import", where="JSON Lines"),)
    assert told.news == "no: an import wrote it, which announces nothing"
    assert explain(database, known.key, "era") == before
    assert before.snapshot is not None


def test_its_json_form_names_the_page_by_its_hash(settings: Settings, database: Database) -> None:
    prepared.copy("baseline", settings)
    key = next(Milestones(database).iterate("clockwork")).milestone.key
    data = explanation_to_json(explain(database, key, "title"))
    assert data["witnesses"][0] == {"witness": "headings", "where": "h1"}
    assert len(data["snapshot"]["sha256"]) == 64


def test_every_line_of_a_mail_leads_back_to_its_bytes(
    settings: Settings, site: BreakableSite, database: Database
) -> None:
    _look_publish_look(settings, site)
    [made] = publish(settings)
    for item in made.issue.items:
        told = explain_item(database, made.issue.number, item.milestone.key)
        assert {one.field for one in told} >= {"title", "date", "what_happened", "why_it_mattered"}
        for one in told:
            assert one.snapshot is not None
            assert one.witnesses
    with pytest.raises(NotFoundError, match="has no milestone 'none'"):
        explain_item(database, made.issue.number, "none")


def test_what_is_not_there_is_said(settings: Settings, database: Database) -> None:
    prepared.copy("baseline", settings)
    with pytest.raises(InputError, match="there is no field 'colour'"):
        explain(database, "any", "colour")
    with pytest.raises(NotFoundError):
        explain(database, "no-such-key", "title")
