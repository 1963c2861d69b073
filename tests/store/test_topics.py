"""What a reader can ask for."""

from store.milestones.topics import Topics
from tests.store.conftest import World, make_milestone


def test_topics_are_those_of_the_milestones_on_record_the_most_common_first(world: World) -> None:
    world.look(
        make_milestone("a", category="research", tags=("chess",)),
        make_milestone("b", category="products", tags=("chess", "looms")),
        make_milestone("c", category="research", tags=()),
        make_milestone("d", category=None, tags=("abacus", "looms", "looms2")),
    )

    known = Topics(world.database).known()

    assert known.categories == ("research", "products")
    assert known.tags == ("chess", "looms", "abacus", "looms2")
