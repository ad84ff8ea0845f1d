"""Where the CPU seconds of scanning one source go."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from curation.media import sandbox


class Clock:
    """CPU seconds of this process by part; what is left belongs to the decode's plumbing."""

    def __init__(self) -> None:
        self._start = time.process_time()
        self._children = sandbox.cpu_seconds()
        self._parts: dict[str, float] = {}

    def timed(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same work; what it takes counts as this part's."""

        def run(*args: Any) -> Any:
            start = time.process_time()
            try:
                return work(*args)
            finally:
                spent = time.process_time() - start
                self._parts[part] = self._parts.get(part, 0.0) + spent

        return run

    def seconds(self) -> dict[str, float]:
        """CPU seconds by part until now."""
        own = time.process_time() - self._start
        rest = own - sum(self._parts.values())
        return {"decode": sandbox.cpu_seconds() - self._children, "transfer": rest, **self._parts}
