"""A reader's own page: what they choose, when they pause, where they are written to, what is kept, and how they go.

    signed link ─▶ linked ─▶ choose | pause, resume | leave, come_back | ask_move | kept | erase
    letter's link ─▶ find_move, move | find_undo, undo_move
"""

import calendar
import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from milepost.errors import ConflictError, InputError
from milepost.printable import printable
from milepost.records import Cadence, ReaderLink, Subscriber
from milepost.settings import Settings
from newsletter.words.languages import known
from pipeline.sign_up import BACKLOG_HOURS, address_of, network_of
from store.database import Database
from store.subscribers.address_changes import AddressChange, AddressChanges, Ended, Undone
from store.subscribers.events import READER, By
from store.subscribers.kept import Kept, kept
from store.subscribers.people import UNDO_FOR, Subscribers, may_come_back
from store.subscribers.sign_ups import Limits, SignUps
from store.subscribers.suppressions import Suppressions

__all__ = [
    "LONGEST_PAUSE", "UNDO_FOR", "AddressChange", "Ended", "OwnPage", "Reader", "Undone", "kept_to_json", "pauses",
    "until_day",
]

log = logging.getLogger("milepost.own_page")
LONGEST_PAUSE = dt.timedelta(days=366)
_MIDNIGHT = dt.time(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """Whom a link was mailed to, as their page needs them."""

    subscriber: Subscriber
    erased: bool
    undo_until: dt.datetime | None  # who left: until when their link brings them back; None: not any more


def pauses(today: dt.date) -> tuple[dt.date, dt.date, dt.date]:
    """The days on which a pause of two weeks, one month and three months from `today` ends. Pure."""
    return today + dt.timedelta(days=14), _months_on(today, 1), _months_on(today, 3)


def _months_on(day: dt.date, months: int) -> dt.date:
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    return dt.date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def until_day(text: str, today: dt.date) -> dt.date:
    """The day that a form names (ISO 8601), between tomorrow and a year from now; raises InputError. Pure."""
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        raise InputError("is no day", where=repr(text[:20])) from None
    if not today < day <= today + LONGEST_PAUSE:
        raise InputError("is not between tomorrow and a year from now", where=text)
    return day


class OwnPage:
    """All that a reader's own link can do, over the open `database`; several threads may use it at once."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database, self._settings = database, settings
        self._people, self._changes = Subscribers(database), AddressChanges(database)
        self._zone = ZoneInfo(settings.newsletter.timezone)

    def linked(self, link: ReaderLink, now: dt.datetime) -> Reader:
        """Whom a link was mailed to; raises NotFoundError when that is nobody here."""
        return self._as(self._people.linked(link), now)

    def _as(self, who: Subscriber, now: dt.datetime) -> Reader:
        until = None
        if may_come_back(who, now) and who.unsubscribed_at is not None:
            until = None if Suppressions(self._database).find(who.address) else who.unsubscribed_at + UNDO_FOR
        return Reader(subscriber=who, erased=who.address == "", undo_until=until)

    def day_of(self, moment: dt.datetime) -> dt.date:
        """The day of a moment in the newsletter's zone."""
        return moment.astimezone(self._zone).date()

    def choose(
        self, subscriber_id: int, *, cadence: Cadence, topics: Sequence[str], language: str | None, now: dt.datetime
    ) -> Subscriber:
        """Make a choice theirs; `language` None leaves it as it is. Raises NotFoundError."""
        return self._people.set_choice(
            subscriber_id, cadence=cadence, topics=topics, language=known(language), now=now
        )

    def pause(self, subscriber_id: int, until: dt.date, *, skips: bool, now: dt.datetime) -> Subscriber:
        """Nothing is frozen for them before that day begins in the newsletter's zone.

        Raises NotFoundError, ConflictError for who is not active, InputError for a day that is too far or past.
        """
        day = until_day(until.isoformat(), self.day_of(now))
        moment = dt.datetime.combine(day, _MIDNIGHT, tzinfo=self._zone).astimezone(dt.UTC)
        return self._people.pause(subscriber_id, moment, skips=skips, now=now)

    def resume(self, subscriber_id: int, now: dt.datetime) -> Subscriber:
        """End a pause early; raises NotFoundError, ConflictError for who is not active."""
        return self._people.resume(subscriber_id, now)

    def leave(self, subscriber_id: int, now: dt.datetime, *, seen: bool = True) -> Reader:
        """No message begins for them after this; who they are then. Twice changes nothing. Raises NotFoundError.

        `seen`: they see the page that says so; else a letter does where web.goodbye wants it.
        """
        goodbye = not seen and self._settings.web.goodbye == "unseen"
        return self._as(self._people.leave(subscriber_id, now, goodbye=goodbye), now)

    def come_back(self, subscriber_id: int, now: dt.datetime, *, cadence: Cadence | None = None) -> bool:
        """Take back that they left; whether they are back. Raises NotFoundError."""
        back = self._people.come_back(subscriber_id, now, cadence=cadence)
        log.info("a reader's way back: %s", "taken" if back else "closed")
        return back

    def ask_move(
        self, subscriber_id: int, address: str, *, language: str, host: str | None, now: dt.datetime
    ) -> None:
        """Ask at a new address whether it is the reader's; the same whoever has it, and when a limit was reached.

        Raises InputError for what is no address, ConflictError for the one they have, NotFoundError.
        """
        new, who = address_of(address), self._people.get(subscriber_id)
        if new.normalized == who.normalized:
            raise ConflictError("is their address already", where="address")
        web = self._settings.web
        limits = Limits(per_network=web.signup_per_network, backlog=BACKLOG_HOURS * web.signup_per_hour)
        refused = self._changes.ask(
            subscriber_id, new, language=language, network=SignUps(self._database).network_hash(network_of(host)),
            limits=limits, now=now,
        )
        if refused is not None:
            log.warning("a change of address is refused: %s. `milepost letters` counts them.", {
                "network": "its network asks for more in an hour than web.signup_per_network",
                "backlog": f"more letters wait than {BACKLOG_HOURS} hours of web.signup_per_hour can send",
                "reader": "its reader asked for several today",
            }[refused])

    def find_move(self, name: str, now: dt.datetime) -> AddressChange | None:
        """The change that waits and whose link that is; None for a wrong, an old or a used one."""
        return self._changes.find(name, now)

    def move(self, name: str, now: dt.datetime) -> Ended:
        """Whoever has the letter at the new address says yes."""
        ended = self._changes.confirm(name, now)
        log.info("a change of address: %s", ended)
        return ended

    def find_undo(self, undo_name: str, now: dt.datetime) -> AddressChange | None:
        """The change that was made and can be undone, and whose link at the old address that is."""
        return self._changes.find_undo(undo_name, now)

    def undo_move(self, undo_name: str, now: dt.datetime) -> Undone:
        """Whoever has the letter at the old address says no."""
        ended = self._changes.undo(undo_name, now)
        log.info("a change of address is undone: %s", ended)
        return ended

    def kept(self, subscriber_id: int, now: dt.datetime) -> dict[str, Any]:
        """All that is kept about them, for JSON; raises NotFoundError."""
        sign_ups = SignUps(self._database)
        proofs = [
            {
                "asked_at": one.asked_at, "confirmed_at": one.confirmed_at, "form": one.form,
                "words": sign_ups.words(one.form), "language": one.language, "source": one.source,
                "variant": one.variant, "path": one.path, "cadence": one.cadence, "topics": list(one.topics),
                "network_hash": one.network, "confirmed_network_hash": one.confirmed_network,
            }
            for one in sign_ups.consents(subscriber_id)
        ]
        return kept_to_json(kept(self._database, subscriber_id), proofs, name=self._settings.newsletter.name, now=now)

    def erase(self, subscriber_id: int, now: dt.datetime) -> None:
        """Forget them everywhere and for good; doing it twice changes nothing. Raises NotFoundError."""
        who = self._people.get(subscriber_id)
        if who.address:
            self._people.erase(who.address, By(who=READER, why="on their own page"), now)
            log.info("a reader was erased on their own page")


def kept_to_json(
    held: Kept, proofs: Sequence[Mapping[str, Any]], *, name: str, now: dt.datetime
) -> dict[str, Any]:
    """What a reader downloads, in JSON's types; moments in UTC. Pure.

    Operators are not named in it: they are other people.
    """
    who, listed = held.subscriber, held.suppression
    signed_up = held.sign_up
    found: dict[str, Any] = {
        "about": f"All that {name} keeps about one reader", "made_at": now,
        "address": who.address, "state": who.state, "cadence": who.cadence, "topics": list(who.topics),
        "language": who.language, "since": who.created_at, "confirmed_at": who.confirmed_at,
        "left_at": who.unsubscribed_at, "chosen_at": who.chosen_at,
        "pause": None if who.paused_until is None else {
            "until": who.paused_until, "afterwards": "nothing" if who.pause_skips else "what was missed",
        },
        "never_mailed": None if listed is None else {"since": listed.created_at, "reason": listed.reason},
        "consents": list(proofs),
        "sign_up": signed_up and {
            {"network": "network_hash"}.get(column, column): value for column, value in signed_up.items()
        },
        "issues": held.issues, "issues_without_you": held.left_out, "owed_to_you": held.owed,
        "bounces": held.bounces, "letters": held.letters,
        "address_changes": [
            {{"network": "network_hash"}.get(column, column): value for column, value in row.items()}
            for row in held.address_changes
        ],
        "history": [
            {"at": one.at, "action": one.action, "by": one.by if one.by == READER else "an operator, or an import",
             "why": one.why}
            for one in held.events
        ],
    }
    return {key: _plain(value) for key, value in found.items()}


def _plain(value: object) -> object:
    """In JSON's types; a server's words without what no screen should be sent."""
    match value:
        case dt.datetime():
            return value.astimezone(dt.UTC).isoformat(timespec="seconds")
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case str():
            return "\n".join(printable(line) for line in value.split("\n"))
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return value
