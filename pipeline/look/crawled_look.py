"""One look after its crawl: what the parts of its end share."""

import datetime as dt
from collections.abc import Callable

from crawler.outcomes import CrawlReport
from milepost.settings import GuardSettings, SourceSettings
from pipeline.look.page_archiver import Intake
from store.archive.pages import Pages
from store.archive.snapshots import Snapshots
from store.database import Database
from store.milestones.looks import Look, Looks
from store.milestones.milestones import Milestones

Now = Callable[[], dt.datetime]


class CrawledLook:
    """One look at one source: what its crawl brought, and what is remembered of the source."""

    def __init__(
        self, database: Database, guards: GuardSettings, settings: SourceSettings, look: Look, intake: Intake,
        crawled: CrawlReport, *, now: Now,
    ) -> None:
        self.database, self.guards, self.settings, self.look = database, guards, settings, look
        self.intake, self.crawled, self.now, self.source = intake, crawled, now, look.source
        self.looks, self.milestones, self.pages = Looks(database), Milestones(database), Pages(database)
        self.snapshots = Snapshots(database)
        self.known = self.milestones.count(look.source)  # before this look
        self.listed = len(crawled.listed) if crawled.complete else None
        self.listed_before = self.looks.listed_before(look.source)
