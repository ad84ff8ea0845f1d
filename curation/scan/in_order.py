"""Work that follows behind its caller, so that one source keeps several processors busy."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

_MAX_BEHIND = 16
"""Calls that may wait; the pieces of a decoded stream are a megabyte at most."""
T = TypeVar("T")


class InOrder(Generic[T]):
    """Calls a function with one value after the other, in a thread of its own.

    What the function raises is raised by one of the next calls, at the latest by `finish`.
    """

    def __init__(self, work: Callable[[T], None]) -> None:
        self._work = work
        self._thread = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()

    def put(self, value: T) -> None:
        """Adds a value; waits while too many do."""
        self._waiting.append(self._thread.submit(self._work, value))
        while len(self._waiting) > _MAX_BEHIND or (self._waiting and self._waiting[0].done()):
            self._waiting.popleft().result()

    def finish(self) -> None:
        """Waits until every value has been worked on."""
        while self._waiting:
            self._waiting.popleft().result()

    def close(self) -> None:
        """Ends the thread; values that wait are dropped."""
        self._thread.shutdown(cancel_futures=True)
