"""What the readers' pages ask for: issues, readers, topics, and the key of a reader's own link."""

from dataclasses import dataclass

from milepost.settings import Settings
from pipeline.mail_identity import list_id, signing_keys
from pipeline.own_page import OwnPage
from pipeline.sign_up import SigningUp
from store.database import Database
from store.issues.issues import Issues
from store.milestones.topics import Topics


@dataclass(frozen=True, kw_only=True, slots=True)
class Behind:
    """What stands behind the pages; `web.ports` says what each of the first four promises."""

    issues: Issues
    own_page: OwnPage
    topics: Topics
    signing_up: SigningUp
    keys: tuple[bytes, ...]  # the readers' own links are signed with one of them
    list_id: str


def behind(settings: Settings, database: Database) -> Behind:
    """Over the open `database`."""
    return Behind(
        issues=Issues(database), own_page=OwnPage(settings, database), topics=Topics(database),
        signing_up=SigningUp(settings, database),
        keys=signing_keys(settings, database), list_id=list_id(settings, database),
    )
