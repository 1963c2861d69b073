"""A newsletter of several cadences on the real store, with a clock that only a test moves."""

import datetime as dt
from collections.abc import Sequence

from milepost.records import Cadence, Change, FieldChange, Milestone, Settlement, Subscriber
from milepost.records import Reply as SmtpReply
from milepost.settings import Settings, parse
from pipeline.publish import publish
from store.database import Database
from store.issues.issues import Issues
from store.ledger.ledger import Ledger
from store.ledger.owed import Owed
from store.subscribers.people import Subscribers
from tests.store.conftest import World, make_milestone

MONDAY = dt.datetime(2026, 4, 6, 8, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


class Town:
    """A newsletter of all cadences on the real store, with a clock that only a test moves."""

    def __init__(self, database: Database) -> None:
        self.world = World(database)
        self.database = database
        self.now = MONDAY
        self.settings: Settings = parse({
            "store": {"url": database.url.render_as_string(hide_password=False)},
            "sources": [{"key": "site", "extractor": "sample", "base_url": "https://site.example"}],
            "mail": {"from": "Town <news@town.example>", "postal_address": "1 Example Row"},
            "newsletter": {"name": "Town", "quiet_minutes": 0, "hour": 9, "weekday": "monday", "timezone": "UTC",
                           "cadences": ["instant", "weekly"]},
            "web": {"base_url": "https://news.town.example"},
        })
        self.world.baseline()

    def offers(self, *cadences: Cadence) -> None:
        letter = self.settings.newsletter.model_copy(update={"cadences": cadences})
        self.settings = self.settings.model_copy(update={"newsletter": letter})

    def at(self, moment: dt.datetime) -> None:
        self.now = moment

    def reader(self, name: str, cadence: Cadence = "weekly", topics: Sequence[str] = ()) -> Subscriber:
        found, _ = Subscribers(self.database).add(f"{name}@readers.example", cadence=cadence, topics=topics,
                                                  now=self.now)
        return found

    def finds(self, *keys: str, category: str = "research", title: str | None = None) -> None:
        looks, milestones = self.world.looks, self.world.milestones
        look_id = looks.start("site", self.now)
        rows = []
        for key in keys:
            record = make_milestone(key, category=category) if title is None else make_milestone(
                key, category=category, title=title)
            rows.append((self._change(record), record, None))
        milestones.apply(look_id, "site", rows, announce=True, now=self.now)
        looks.finish(look_id, state="complete", now=self.now, milestones=milestones.count("site"))

    def _change(self, record: Milestone) -> Change:
        known = self.world.milestones.known("site")
        if record.key not in known:
            return Change(source="site", key=record.key, kind="added")
        before = self.world.milestones.get("site", record.key).milestone
        return Change(source="site", key=record.key, kind="corrected", fields=(
            FieldChange("title", "corrected", before.title, record.title),
        ))

    def chooses(self, who: Subscriber, cadence: Cadence | None = None, topics: Sequence[str] | None = None) -> None:
        Subscribers(self.database).set_choice(who.id, cadence=cadence, topics=topics, now=self.now)

    def publishes(self, *, send: bool = True) -> list[int]:
        made = [one.issue.number for one in publish(self.settings, now=lambda: self.now) if one.waits is None]
        if send:
            for number in made:
                self.sends(number)
        return made

    def sends(self, number: int, outcome: str = "sent") -> None:
        ledger = Ledger(self.database)
        while claims := ledger.claim(number, limit=50, lease_seconds=60):
            begun = ledger.advance([], claims).begun
            code = 250 if outcome == "sent" else 550
            done = [
                Settlement(claim=claim, state=outcome, reply=SmtpReply(code=code, text="x", phase="dot"))  # type: ignore[arg-type]
                for claim in claims if claim.delivery_id in begun
            ]
            ledger.advance(done, [])
        ledger.finish(number)

    def told(self, who: Subscriber) -> list[tuple[int, list[str]]]:
        """(issue, keys) of every mail that a reader was handed, oldest first."""
        found = []
        for issue in reversed(Issues(self.database).list()):
            whole = Issues(self.database).get(issue.number)
            keys = {item.change_id: item.milestone.key for item in (*whole.items, *whole.owed)}
            shown = {variant.name: variant.change_ids for variant in Issues(self.database).variants(issue.number)}
            found += [
                (issue.number, [keys[change] for change in shown[row.variant]])
                for row in Ledger(self.database).rows(issue.number)
                if row.subscriber == who.id and row.state in ("sent", "unknown")
            ]
        return found

    def keys(self, who: Subscriber) -> list[str]:
        return [key for _, keys in self.told(who) for key in keys]

    def owed(self) -> list[tuple[str, str]]:
        return [(row.address.split("@")[0], row.key) for row in Owed(self.database).list()]

    def exclusion(self, number: int, who: Subscriber) -> str | None:
        return Ledger(self.database).exclusion_of(number, who.id)
