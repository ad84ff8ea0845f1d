"""Token buckets: how many requests a caller may still make, in one number each."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable


class Buckets:
    """One bucket a caller: `burst` requests at once, `rate` a second in the long run."""

    def __init__(
        self, rate: float, burst: int, *, most: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """`most` callers are remembered; who has not asked for longest is forgotten first."""
        self._rate = rate
        self._burst = burst
        self._most = most
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, who: str) -> float:
        """Takes one request; returns 0, or the seconds to wait where none is left."""
        now = self._clock()
        left, at = self._left.pop(who, (float(self._burst), now))
        left = min(self._burst, left + (now - at) * self._rate)
        granted = left >= 1
        self._left[who] = (left - granted, now)
        if len(self._left) > self._most:
            self._left.popitem(last=False)
        return 0.0 if granted else (1 - left) / self._rate
