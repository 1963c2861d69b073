"""Whether a milestone is of what a reader asked for: one rule, for who is told and for who is owed."""

from collections.abc import Collection

from milepost.records import Milestone


def fits(milestone: Milestone, topics: Collection[str]) -> bool:
    """Whether its category or one of its tags is among `topics` (slugs, in any case); no topics are everything."""
    own = {topic.casefold() for topic in (milestone.category, *milestone.tags) if topic}
    return not topics or any(topic.casefold() in own for topic in topics)
