"""What a part of a run came to, whatever its state holds by then."""

import pytest

from milepost.errors import MilepostError

pytestmark = pytest.mark.usefixtures("no_run")


def test_a_result_that_the_server_has_lost_is_an_error_of_that_part() -> None:
    from prefect.client.schemas.objects import State, StateType

    from flows.states import outcome

    came_to = outcome(State(type=StateType.COMPLETED))  # as a client reads it from a server that was started again
    assert isinstance(came_to, MilepostError)
    assert "the next run goes on from there" in str(came_to)


def test_a_run_that_is_not_green_has_its_result_all_the_same() -> None:
    from prefect.client.schemas.objects import State, StateType

    from flows.outcomes import Finding
    from flows.states import ended, outcome

    held = ended([Finding(name="Held", about="source bells", says="ask", event="milepost.look.held")], "", [1])
    assert (held.name, held.type) == ("Held", StateType.FAILED)
    assert outcome(held) == [1]
    assert outcome(State(type=StateType.COMPLETED, data=[2])) == [2]
