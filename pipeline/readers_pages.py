"""What the readers' pages ask for: issues, the timeline, readers, topics, and the key of a reader's own link."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from milepost.records import IssueState
from milepost.settings import Settings
from pipeline.link_keys import LinkKeys, link_keys
from pipeline.mail_identity import list_id
from pipeline.own_page import OwnPage
from pipeline.sign_up import SigningUp
from pipeline.timeline import Timeline
from store.database import Database
from store.freshness import Freshness
from store.issues.issues import Issues
from store.issues.pictures import Pictures
from store.milestones.topics import Topics

# A draft is nobody's business yet, a cancelled one no more; from the seal on a mail may point to an issue's page.
SHOWN: tuple[IssueState, ...] = ("frozen", "sending", "paused", "complete", "needs_review")


@dataclass(frozen=True, kw_only=True, slots=True)
class Behind:
    """What stands behind the pages; `web.ports` says what each of the first five promises."""

    issues: Issues
    own_page: OwnPage
    topics: Topics
    signing_up: SigningUp
    pictures: Pictures
    keys: Callable[[], LinkKeys]  # asked anew now and then: they are changed while pages are served
    list_id: str
    timeline: Timeline
    freshness: Freshness  # of what stands on pages


def behind(settings: Settings, database: Database) -> Behind:
    """Over the open `database`."""
    freshness = Freshness(database, SHOWN)
    return Behind(
        issues=Issues(database), own_page=OwnPage(settings, database), topics=Topics(database),
        signing_up=SigningUp(settings, database), pictures=Pictures(database),
        keys=partial(link_keys, settings, database), list_id=list_id(settings, database),
        freshness=freshness, timeline=Timeline(database, freshness, issues=SHOWN),
    )
