"""An issue between its draft and its first mail: edited, rendered again, taken back; and who is owed which correction.

    draft ─ revise ─▶ draft (approved no more)       frozen, nothing tried ─ take_back ─▶ draft (held)
    frozen ─ hand_over ─▶ the day of its mails
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from milepost.dates import believed
from milepost.errors import ConflictError
from milepost.records import Edit, Issue, IssueItem, Variant
from store.clock import ahead
from store.engine import Database
from store.issues.issues import (
    FREEZING,
    load,
    require_content,
    require_draft,
    require_unfrozen,
    value_of,
    write_content,
)
from store.ledger.owed import HANDED, take_back, wrong
from store.schema.tables import (
    attempt,
    delivery,
    exclusion,
    issue,
    issue_item,
    issue_owed_item,
    issue_variant,
)

_BEGUN = ("claimed", "sending", *HANDED)  # the mail may have been read, or may be on its way


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderedWith:
    """What an issue was rendered with, beside its items."""

    settings: Mapping[str, object]  # newsletter.compose.shown_settings
    templates: str  # SHA-256 of the templates, in hex
    list_id: str | None = None  # RFC 2919; None for an issue from before it was kept with it


class Editions:
    """The steps of an editor; each is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def revise(
        self, number: int, *, replaces: str, items: Sequence[IssueItem], variants: Iterable[Variant], subject: str,
        edit: Edit, content_hash: str, rendered_with: Mapping[str, object], owed: Sequence[IssueItem] = (),
    ) -> Issue:
        """Put other content in place of a draft's; an approval of the old content is void.

        `replaces` is the content hash it was edited from; `items` are some of its own, in a new order: those left out
        are free for the next issue. `owed`: what it carries of earlier issues. Raises ConflictError when it is no
        draft, or was changed by somebody else.
        """
        with self._database.begin() as connection:
            found = load(connection, number, lock=True)
            require_draft(found)
            require_unfrozen(found)
            require_content(found, replaces)
            if not all(
                {item.change_id for item in those} <= {item.change_id for item in before}
                for those, before in ((items, found.items), (owed, found.owed))
            ):
                raise ConflictError("an edit adds nothing to an issue", where=f"issue {number}")
            connection.execute(sa.delete(issue_variant).where(issue_variant.c.issue == number))
            connection.execute(sa.delete(issue_item).where(issue_item.c.issue == number))
            connection.execute(sa.delete(issue_owed_item).where(issue_owed_item.c.issue == number))
            write_content(connection, number, found.cadence, items, variants, owed)
            connection.execute(sa.update(issue).where(issue.c.number == number).values(
                subject=subject, content_hash=content_hash, approved_at=None, rendered_with=rendered_with,
                edit={"subject": edit.subject, "intro": edit.intro}
                | ({"preheader": edit.preheader} if edit.preheader else {}),
            ))
            return load(connection, number)

    def rendered_with(self, number: int) -> RenderedWith:
        """What an issue was rendered with; raises ConflictError for one from before this was kept."""
        found = self.find_rendered_with(number)
        if found is None:
            raise ConflictError("it was not kept what this issue was rendered with", where=f"issue {number}")
        return found

    def find_rendered_with(self, number: int) -> RenderedWith | None:
        """The same, None for an issue from before this was kept; raises NotFoundError."""
        with self._database.connect() as connection:
            found = value_of(connection, issue.c.rendered_with, number)
        if found is None:
            return None
        return RenderedWith(
            settings=found["settings"], templates=found["templates"], list_id=found.get("list_id")
        )

    def send_after(self, number: int, moment: dt.datetime | None) -> None:
        """Nothing of a frozen issue is sent before `moment`; None: it may be sent at once."""
        with self._database.begin() as connection:
            load(connection, number, lock=True)
            connection.execute(sa.update(issue).where(issue.c.number == number).values(send_after=moment))

    def shorten_windows(self, longest: dt.timedelta, now: dt.datetime) -> list[int]:
        """Let the windows in which an approval can be undone that a clock wrote which was ahead end in `longest` from
        now; returns their issues' numbers. What was approved for longer than `longest` stays as it was told.
        """
        with self._database.connect() as connection:  # mostly there is none: no writer waits for us then
            rows = connection.execute(
                sa.select(issue.c.number, issue.c.approved_at, issue.c.send_after)
                .where(issue.c.state == "frozen", ahead(issue.c.send_after, now, longest))
            ).all()
        found = [
            row for row in rows
            if row.approved_at is None
            or not believed(row.send_after, now, max(longest, row.send_after - row.approved_at))
        ]
        for row in found:
            with self._database.begin() as connection:
                connection.execute(
                    sa.update(issue)
                    .where(issue.c.number == row.number, issue.c.state == "frozen",
                           issue.c.send_after == row.send_after)
                    .values(send_after=now + longest)
                )
        return [row.number for row in found]

    def handle(self, number: int) -> str | None:
        """The issue's random name in those of its mails; None: it was drafted before they had one."""
        with self._database.connect() as connection:
            found: str | None = connection.execute(sa.select(issue.c.handle).where(issue.c.number == number)).scalar()
            return found

    def hand_over(self, number: int, now: dt.datetime) -> dt.datetime:
        """When the hand-over of a frozen issue began: the moment that all its mails are dated by.

        It is `now` as long as nobody has a mail of it, or may be getting one; from then on it stays, whenever the rest
        is sent. Raises ConflictError when it is not frozen.
        """
        with self._database.begin() as connection:
            found = load(connection, number, lock=True)
            if found.frozen_at is None:
                raise ConflictError("it is not frozen", where=f"issue {number}",
                                    hint=f"Run `milepost issue approve {number}`.")
            begun = sa.select(delivery.c.id).where(delivery.c.issue == number, delivery.c.state.in_(_BEGUN)).limit(1)
            if connection.execute(begun).first() is not None:
                return found.handed_over_at or found.frozen_at  # those from before this was kept: as they began
            connection.execute(sa.update(issue).where(issue.c.number == number).values(handed_over_at=now))
            return now

    def take_back(self, number: int, reason: str) -> bool:
        """Make a frozen issue a draft again that waits for an approval; False when a mail of it was tried already.

        So it does with one that is being frozen. Raises ConflictError when it is neither, nor sending, nor paused.
        """
        with self._database.begin() as connection:
            found = load(connection, number, lock=True)
            if found.state not in ("frozen", "sending", "paused") and found.freezing is None:
                raise ConflictError(f"it is {found.state}, there is nothing to stop", where=f"issue {number}")
            ours = delivery.c.issue == number
            touched = sa.select(delivery.c.id).where(ours, sa.or_(
                delivery.c.state.not_in(("pending", "suppressed", "cancelled")), delivery.c.attempts > 0,
                sa.exists().where(attempt.c.delivery_id == delivery.c.id),
            ))
            if connection.execute(touched.limit(1)).first() is not None:
                return False
            take_back(connection, number)
            connection.execute(sa.delete(delivery).where(ours))
            connection.execute(sa.delete(exclusion).where(exclusion.c.issue == number))
            connection.execute(sa.update(issue).where(issue.c.number == number).values(
                state="draft", approved_at=None, frozen_at=None, send_after=None, candidates=None, deliveries=None,
                exclusions=None, pause_reason=reason, handed_over_at=None, **dict.fromkeys(FREEZING),
            ))
            return True

    def owed(self, corrections: Collection[int]) -> dict[int, frozenset[int]]:
        """Subscriber → those of these changes that correct what they were sent, and that no mail told them yet."""
        with self._database.connect() as connection:
            return wrong(connection, corrections)
