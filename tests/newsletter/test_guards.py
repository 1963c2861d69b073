"""When new milestones are too many to announce unseen."""

import pytest

from newsletter.guards import surge


@pytest.mark.parametrize(
    ("added", "known", "held"),
    [
        pytest.param(1, 80, False, id="one"),
        pytest.param(9, 5, False, id="below the minimum, whatever the share"),
        pytest.param(10, 5, False, id="the minimum exactly"),
        pytest.param(11, 5, True, id="above the minimum and above the share"),
        pytest.param(16, 80, False, id="the share exactly"),
        pytest.param(17, 80, True, id="above the share"),
        pytest.param(200, 10_000, False, id="many beside very many"),
        pytest.param(10_000, 80, True, id="ten thousand at once"),
        pytest.param(11, 0, True, id="none were known"),
    ],
)
def test_surge(added: int, known: int, held: bool) -> None:
    reason = surge(added, known, minimum=10, share=0.2)

    assert (reason is not None) == held
    if reason:
        assert str(added) in reason
        assert "\n" not in reason
