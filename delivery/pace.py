"""How fast messages may begin: so many a second in all, and to each domain. Pure; the clock is handed in.

A pace begins empty: its first message waits its turn too, so that a program that is started again and again is not
faster for it, and there is nothing to keep between two runs.
"""

from milepost.records import Claim

_BURST_S = 0.1  # what was not used in the last tenth of a second may be caught up: timers are not exact


class Pace:
    """One rate (the generic cell rate algorithm, ITU-T I.371): `per_second` messages, spread evenly."""

    def __init__(self, per_second: float, start: float) -> None:
        """`start`: the clock's reading now, in seconds, as in every later call."""
        self._interval = 1.0 / per_second
        self._next = start + self._interval

    def wait(self, now: float) -> float:
        """Seconds until the next message may begin; 0.0: now."""
        return max(0.0, self._next - now)

    def take(self, now: float) -> None:
        """A message begins."""
        self._next = max(self._next, now - _BURST_S) + self._interval


class Paces:
    """The overall pace and one for each domain of readers."""

    def __init__(self, per_second: float | None, per_domain: float | None, start: float) -> None:
        self._per_second = per_second
        self._all = Pace(per_second, start) if per_second else None
        self._per_domain = per_domain
        self._domains: dict[str, Pace] = {}
        self._start = start

    def change(self, per_second: float | None, now: float) -> None:
        """Another overall pace, None: as fast as it goes. The same as before changes nothing."""
        if per_second != self._per_second:
            self._per_second = per_second
            self._all = Pace(per_second, now) if per_second else None

    @property
    def unlimited(self) -> bool:
        """Whether nobody ever has to wait."""
        return self._all is None and not self._per_domain

    def wait(self, claim: Claim, now: float) -> float:
        """Seconds until the message to that reader may begin."""
        wait = self._all.wait(now) if self._all is not None else 0.0
        domain = self._of(claim)
        return max(wait, domain.wait(now)) if domain is not None else wait

    def take(self, claim: Claim, now: float) -> None:
        """It begins."""
        if self._all is not None:
            self._all.take(now)
        domain = self._of(claim)
        if domain is not None:
            domain.take(now)

    def _of(self, claim: Claim) -> Pace | None:
        if not self._per_domain:
            return None
        name = claim.address.rpartition("@")[2].lower()
        if name not in self._domains:
            self._domains[name] = Pace(self._per_domain, self._start)
        return self._domains[name]
