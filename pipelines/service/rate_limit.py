"""Token buckets: how many requests a caller may still make."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable


class RateLimiter:
    """One bucket per caller: `burst` requests at once, `rate` per second in the long run."""

    def __init__(
        self, rate: float, burst: int, *, max_callers: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Beyond `max_callers` the least recent caller is forgotten."""
        self._rate = rate
        self._burst = burst
        self._max_callers = max_callers
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> float:
        """Takes one request; returns 0, or the seconds to wait until there is one."""
        now = self._clock()
        tokens, updated = self._buckets.pop(caller, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - updated) * self._rate)
        is_granted = tokens >= 1
        self._buckets[caller] = (tokens - is_granted, now)
        if len(self._buckets) > self._max_callers:
            self._buckets.popitem(last=False)
        return 0.0 if is_granted else (1 - tokens) / self._rate
