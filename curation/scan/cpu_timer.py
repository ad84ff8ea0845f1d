"""Where the CPU seconds of scanning one source go."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator

from curation.media import sandbox


class CpuTimer:
    """CPU seconds of this process by part; the remainder is `transfer`, the decoder's output."""

    def __init__(self) -> None:
        self._start = time.process_time()
        self._children = sandbox.cpu_seconds()
        self._parts: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Counts the block's CPU seconds as this part's; threads may run several."""
        start = time.thread_time()
        try:
            yield
        finally:
            with self._lock:
                self._parts[name] += time.thread_time() - start

    def seconds(self) -> dict[str, float]:
        """CPU seconds by part until now."""
        transfer = time.process_time() - self._start - sum(self._parts.values())
        decode = sandbox.cpu_seconds() - self._children
        return {"decode": decode, "transfer": transfer, **self._parts}
