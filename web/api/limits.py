"""How often a program may ask: so many requests at once and so many a minute, by whoever asks."""

from collections import OrderedDict
from collections.abc import Callable

_REMEMBERED = 10_000  # askers; who was not seen for longest is forgotten, and has all of theirs again


class Limit:
    """A bucket an asker (RFC 6585 §4 has the answer): it holds `most`, and fills again within `seconds`."""

    def __init__(self, most: int, seconds: float, clock: Callable[[], float]) -> None:
        self._most, self._rate, self._clock = most, most / seconds, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, who: str) -> float:
        """One of theirs: 0, or the seconds after which there is one again."""
        now = self._clock()
        left, at = self._left.pop(who, (float(self._most), now))
        left = min(self._most, left + (now - at) * self._rate)
        allowed = left >= 1
        self._left[who] = (left - 1 if allowed else left, now)
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._rate
