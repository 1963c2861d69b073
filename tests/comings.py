"""Readers who come and go, by the ways that readers have."""

import datetime as dt

from store.subscribers.events import By
from store.subscribers.people import Subscribers


def come_or_go(people: Subscribers, reader: int, *, here: bool, now: dt.datetime) -> None:
    """By their own link; who has been away for longer than that link works asks an operator."""
    if not here:
        assert people.leave(reader, now).state == "unsubscribed"
    elif not people.come_back(reader, now):
        asked = By(who="test", why="they asked to be mailed again")
        assert people.return_(people.get(reader).address, asked, now).state == "active"
