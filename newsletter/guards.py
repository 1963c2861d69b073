"""Reasons for an issue to wait for an operator: numbers that a broken page brings about sooner than the world does."""


def surge(added: int, known: int, *, minimum: int, share: float) -> str | None:
    """Why `added` new milestones beside `known` ones are too many to announce unseen, in one sentence; None if not.

    `minimum`: fewer than this many are never a surge. `share` (0..1): up to this part of the known ones is usual.
    """
    if added < minimum or added <= share * known:
        return None
    beside = f"beside {known} known ones" if known else "where none were known"
    return f"{added} new milestones at once {beside}: more than {share:.0%} of them and at least {minimum}"
