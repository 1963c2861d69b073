"""What the pages need of the store; its own classes fit, and so do fakes."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from milepost.records import (
    Amended,
    Cadence,
    Issue,
    IssueState,
    KnownTopics,
    Milestone,
    ReaderLink,
    Subscriber,
    Told,
)
from pipeline.own_page import AddressChange, Ended, Reader, Undone
from pipeline.sign_up import Asked, Confirmed, Doubt, SignUp, Turned
from pipeline.timeline import Changed, Place, Record, Story


class Issues(Protocol):
    """Called by the archive, from several threads at once; every method raises StoreError."""

    def list(
        self, *, states: Sequence[IssueState] | None = None, limit: int | None = None, public: bool = False
    ) -> Sequence[Issue]:
        """Issues in those states without their items, the latest first; `public`: only those that tell news."""

    def get(self, number: int) -> Issue:
        """One issue with its items; raises NotFoundError."""

    def told(self, states: Sequence[IssueState]) -> Mapping[int, Told]:
        """Issue → what it tells, of those in these states."""

    def amended(
        self, states: Sequence[IssueState], number: int | None = None
    ) -> Mapping[int, Mapping[int, Amended]]:
        """Issue → milestone's id → what became of it since, of those in these states, or of one."""


class Timeline(Protocol):
    """Called by the timeline's pages, from several threads at once; every method raises StoreError."""

    def record(self) -> Record:
        """All places as they are now."""

    def milestones(self, places: Sequence[Place]) -> Mapping[int, Milestone]:
        """What is on record of these, by id."""

    def changed(self, places: Sequence[Place]) -> Mapping[int, dt.datetime]:
        """When what is told of these was last another, by id."""

    def find(self, record: Record, text: str, limit: int) -> Sequence[Place]:
        """Milestones that have all the words, the best first."""

    def changes(self, record: Record, limit: int, topic: str | None = None) -> Sequence[Changed]:
        """What became of milestones, the latest first."""

    def story(self, record: Record, place: Place) -> Story:
        """One milestone with all that is known of its record; raises NotFoundError."""


class Readiness(Protocol):
    """Whether the database can be used."""

    @property
    def why_not(self) -> str | None: ...

    @property
    def revision(self) -> int: ...

    @property
    def restored(self) -> bool: ...

    @property
    def last_looks(self) -> Mapping[str, dt.datetime | None]: ...


class Health(Protocol):
    """Called by what machines ask, from several threads at once; raises nothing for a database that is down."""

    def ready(self) -> Readiness:
        """Asked of the database itself."""

    def metrics(self, accept: str, now: dt.datetime) -> tuple[bytes, str]:
        """A page of gauges and its content type."""


class Reports(Protocol):
    """Called by the addresses that providers post to, from several threads at once."""

    def take(self, provider: str, headers: Mapping[str, str], body: bytes, now: dt.datetime) -> Mapping[str, int]:
        """Believe and record it, durably, before returning; raises NotFoundError, ForgedError, MalformedError,
        FetchError, StoreError."""


class Freshness(Protocol):
    """Called by what keeps answers, for each request."""

    def at_once(self) -> str | None:
        """What differs as soon as what pages show does, if that is known without waiting; raises nothing."""

    def stamp(self) -> str:
        """The same, whatever it takes; raises StoreError."""


class Picture(Protocol):
    """A picture as it is served."""

    @property
    def data(self) -> bytes: ...

    @property
    def media_type(self) -> str: ...


class Pictures(Protocol):
    """Called by the address of a picture, from several threads at once; raises StoreError."""

    def get(self, name: str) -> Picture | None:
        """The one of that name; None for one that is not there, or not any more."""


class Topics(Protocol):
    """Called by the page of a reader's choice; raises StoreError."""

    def known(self) -> KnownTopics:
        """What can be asked for."""


class OwnPage(Protocol):
    """Called by the pages that a reader's own link leads to, from several threads at once; every one raises StoreError.

    What changes something does so durably before returning, and doing it twice changes nothing. Each raises
    NotFoundError for nobody's id.
    """

    def linked(self, link: ReaderLink, now: dt.datetime) -> Reader:
        """Whom a link was mailed to; raises NotFoundError."""

    def day_of(self, moment: dt.datetime) -> dt.date:
        """The day of a moment in the newsletter's zone."""

    def choose(
        self, subscriber_id: int, *, cadence: Cadence, topics: Sequence[str], language: str | None, now: dt.datetime
    ) -> Subscriber:
        """Make a choice theirs; () is everything, no language leaves it as it is."""

    def pause(self, subscriber_id: int, until: dt.date, *, skips: bool, now: dt.datetime) -> Subscriber:
        """Nothing is sent before that day; raises ConflictError for who is no reader, InputError for another day."""

    def resume(self, subscriber_id: int, now: dt.datetime) -> Subscriber:
        """End a pause early; raises ConflictError for who is no reader."""

    def leave(self, subscriber_id: int, now: dt.datetime, *, seen: bool) -> Reader:
        """No message begins for them after this; who they are then. `seen`: they see the answer, as no mail program's
        reader does."""

    def come_back(self, subscriber_id: int, now: dt.datetime, *, cadence: Cadence | None = None) -> bool:
        """Take back that they left; whether they are back."""

    def ask_move(self, subscriber_id: int, address: str, *, language: str, host: str | None, now: dt.datetime) -> None:
        """Ask at a new address; raises InputError for none, ConflictError for the one that they have."""

    def find_move(self, name: str, now: dt.datetime) -> AddressChange | None:
        """The change that waits and whose link that is."""

    def move(self, name: str, now: dt.datetime) -> Ended:
        """The new address says yes."""

    def find_undo(self, undo_name: str, now: dt.datetime) -> AddressChange | None:
        """The change that can be undone and whose link that is."""

    def undo_move(self, undo_name: str, now: dt.datetime) -> Undone:
        """The old address says no."""

    def kept(self, subscriber_id: int, now: dt.datetime) -> Mapping[str, Any]:
        """All that is kept about them, in JSON's types."""

    def erase(self, subscriber_id: int, now: dt.datetime) -> None:
        """Forget them everywhere."""


class SigningUp(Protocol):
    """Called by the ways in, from several threads at once; every method raises StoreError."""

    def ask(self, asked: Asked, now: dt.datetime) -> bool:
        """Take it in, durably, before returning; the same for every address. Raises InputError for none.

        False when its proof of work was used for another address.
        """

    def check(self, address: str) -> None:
        """Raises InputError for what is no address; asks nobody."""

    def doubt(self, address: str) -> Doubt | None:
        """Why an address may be misspelt, within seconds; None where nothing says so. Raises InputError for none."""

    def turn_away(self, why: Turned, now: dt.datetime) -> None:
        """Count what is not taken."""

    def find(self, name: str, now: dt.datetime) -> SignUp | None:
        """The sign-up whose link that is; None for a wrong, an old or a foreign one."""

    def confirm(self, name: str, host: str | None, now: dt.datetime) -> Confirmed:
        """Make a reader of it, durably, before returning; a second time changes nothing."""
