"""Plays a history through the real look, announcing after each what is to be announced, and counts."""

import contextlib
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from milepost.errors import SourceDownError
from milepost.records import IssueItem, LookReport, Variant
from milepost.settings import Settings, parse
from pipeline.look.scrape import scrape
from store.database import connect
from store.issues.issues import Issues
from store.milestones.milestones import Milestones
from tests.pipeline import prepared
from tests.pipeline.history import BASE, Day, Server, Site

SOURCE = "canals"
START = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Played:
    """What one day came to."""

    day: Day
    announced: tuple[str, ...]
    report: LookReport | None  # None: the source was down
    alarms: int  # of somebody who compares the bytes of pages


@dataclass(kw_only=True)
class Player:
    """Looks day after day."""

    settings: Settings
    server: Server
    clock: dt.datetime = START
    played: list[Played] = field(default_factory=list)
    first_ids: dict[str, int] = field(default_factory=dict)  # key → id, after the baseline
    _bytes: dict[str, bytes] = field(default_factory=dict)

    def play(self, day: Day) -> Played:
        """One look, and one issue of what it brought."""
        self.clock += dt.timedelta(hours=1)
        self.server.site = day.site
        report = None
        with contextlib.suppress(SourceDownError):
            report = scrape(self._down() if day.down else self.settings, SOURCE, now=lambda: self.clock)
        played = Played(
            day=day, announced=announce(self.settings, self.clock), report=report, alarms=self._alarms(day.site)
        )
        self.played.append(played)
        return played

    def _down(self) -> Settings:
        """The same settings, but nobody listens."""
        [source] = self.settings.sources
        return self.settings.model_copy(update={
            "sources": (source.model_copy(update={"fetch_from": "http://127.0.0.1:9"}),)
        })

    def _alarms(self, site: Site) -> int:
        """Story pages that came, went or have other bytes than when they were last seen."""
        now = {path: answer.body for path, answer in site.items()
               if path.startswith("/story/") and answer.status == 200}
        changed = sum(self._bytes.get(path) != body for path, body in now.items()) if self._bytes else 0
        gone = len(self._bytes.keys() - now.keys())
        self._bytes = now
        return changed + gone


def announce(settings: Settings, now: dt.datetime) -> tuple[str, ...]:
    """Put all that is news into an issue; the keys, as they are by then."""
    with connect(settings.store.url) as database:
        issues = Issues(database)
        waiting = issues.unannounced("instant")
        if not waiting:
            return ()
        items = [
            IssueItem(change_id=change.id, milestone_id=stored.id, version_id=stored.version_id, role="news",
                      milestone=stored.milestone, first_seen_at=stored.first_seen_at)
            for change, stored in waiting
        ]
        variant = Variant(name="all", subject="News", html="@", text="@", placeholder="@")
        period = f"c{waiting[0][0].id}"
        issues.draft("instant", period, items, [variant], subject="News", content_hash="0" * 64, now=now)
        return tuple(item.milestone.key for item in items)


def settings_for(server: Server, folder: Path) -> Settings:
    """Settings that lead to a new database in `folder`."""
    settings = parse({
        "store": {"url": f"sqlite:///{folder}/replay.db"},
        "sources": [{"key": SOURCE, "extractor": "sample", "base_url": BASE, "fetch_from": server.url,
                     "allow_hosts": ["127.0.0.1"]}],
        "fetch": {"retries": 0},
    })
    prepared.copy("empty", settings)
    return settings


def ids(settings: Settings) -> Mapping[str, int]:
    """Key → id of every milestone, withdrawn ones too."""
    with connect(settings.store.url) as database:
        return {key: stored.id for key, stored in Milestones(database).known(SOURCE).items()}
