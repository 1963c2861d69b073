"""What operators ask, on either database: figures of all, and messages that one process at a time takes."""

import datetime as dt

from store.database import Database
from store.operators.figures import read
from store.operators.notices import Notice, Notices
from store.operators.webhooks import Added, Sent, Webhooks
from tests.store.conftest import NOW, World, make_milestone

HOUR = dt.timedelta(hours=1)


def test_the_figures_of_all(database: Database) -> None:
    world = World(database)
    world.look(make_milestone("one"), make_milestone("two"))
    world.looks.hold(world.look(make_milestone("three")), "a surge")
    found = read(database, ["site", "nowhere"], looks=3, now=NOW)
    site, nowhere = found.sources
    assert (site.baseline, len(site.ended), nowhere.baseline, nowhere.ended) == (True, 2, False, ())
    assert [look.held for look in site.ended] == ["a surge", None]
    assert found.milestones == {"present": 3}
    assert found.restored_from is None
    assert (found.letter_since, dict(found.unknown), found.issues) == (None, {}, ())


def test_a_message_is_taken_once_until_it_is_due_again_and_gives_way_to_a_later_one(database: Database) -> None:
    notices = Notices(database)
    with notices.round() as one:
        one.keep([Notice(key="look-held:look 1", says="it is held", since=NOW, told_at=NOW)])
        one.queue("mine", "first", "body", NOW)
    assert [message.title for message in notices.take(["mine", "other"], NOW, NOW + HOUR)] == ["first"]
    assert notices.take(["mine"], NOW, NOW + HOUR) == []
    assert notices.take(["other"], NOW + 2 * HOUR, NOW + 3 * HOUR) == []
    notices.settle(notices.latest()["mine"].id, "queued", NOW, why="nobody answers", again_at=NOW + HOUR)
    with notices.round() as two:
        assert two.behind() == {"mine"}
        assert two.last_message() == NOW
        assert [notice.key for notice in two.notices()] == ["look-held:look 1"]
        two.queue("mine", "second", "body", NOW + HOUR)
    latest = notices.latest()["mine"]
    assert (latest.title, latest.attempts, latest.next_attempt_at) == ("second", 1, NOW + HOUR)
    assert latest.why == "nobody answers"
    assert notices.counts() == {"dropped": 1, "queued": 1}
    notices.settle(latest.id - 1, "queued", NOW, why="nobody answers", again_at=NOW + HOUR)  # who had it on its way
    assert notices.counts() == {"dropped": 1, "queued": 1}
    notices.forget(NOW + 9 * HOUR)
    assert notices.counts() == {"queued": 1}  # whoever was not told yet will be
    notices.settle(latest.id, "sent", NOW + HOUR)
    notices.forget(NOW + 9 * HOUR)
    assert notices.counts() == {}


def test_an_address_is_told_what_is_news_since_it_was_named_each_once(database: Database) -> None:
    def named(found: Added | Sent) -> tuple[str, str]:
        return (f"milestone.added:{found.change}", found.milestone.key) if isinstance(found, Added) else ("", "")

    world, queue = World(database), Webhooks(database)
    assert queue.fill("here", named, NOW) == 0
    world.look(make_milestone("news"))
    assert [queue.fill("here", named, NOW), queue.fill("here", named, NOW)] == [1, 0]
    assert [(one.event.partition(":")[0], one.body) for one in queue.take(["here"], NOW, NOW + HOUR, 10)] == [
        ("milestone.added", "news")
    ]
    assert queue.take(["here"], NOW, NOW + HOUR, 10) == []
    assert queue.fill("there", named, NOW + HOUR) == 0  # named after it
