"""Prefetching on threads, in order and in bounded memory.

Each source is read by one thread, which waits while `depth` of its items are unread. Items come out
source by source, as if they were read one after the other, so that results do not depend on which
thread was faster.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Queue
from typing import Generic, TypeVar

Item = TypeVar("Item")
ItemSource = Callable[[], Generator[Item, None, None]]


def prefetch(
    sources: Sequence[ItemSource[Item]], threads: int, depth: int = 2
) -> Generator[Iterator[Item], None, None]:
    """The items of each source, one iterator per source, which raises what its source raises.

    Leaving an iterator early, or all of them, stops its reading. At most
    (`threads` + 1) · (`depth` + 1) items are in memory.
    """
    remaining = iter(sources)
    readers: deque[_SourceReader[Item]] = deque()
    with ThreadPoolExecutor(threads) as pool:

        def start() -> None:
            with contextlib.suppress(StopIteration):
                reader = _SourceReader[Item](next(remaining), depth)
                pool.submit(reader.fill)
                readers.append(reader)

        try:
            for _ in range(threads + 1):
                start()
            while readers:
                yield readers[0].items()
                readers.popleft().close()
                start()
        finally:
            for reader in readers:
                reader.stop()
            for reader in readers:
                reader.close()


@dataclass(frozen=True)
class _End:
    error: BaseException | None


class _SourceReader(Generic[Item]):
    """One source and a queue of its items."""

    def __init__(self, source: ItemSource[Item], depth: int) -> None:
        self._source = source
        self._queue: Queue[Item | _End] = Queue(depth)
        self._stopped = self._ended = False

    def fill(self) -> None:
        """Reads the source to its end, or until `stop`."""
        error: BaseException | None = None
        try:
            if not self._stopped:
                with contextlib.closing(self._source()) as items:
                    for item in items:
                        self._queue.put(item)
                        if self._stopped:
                            break
        except BaseException as raised:  # re-raised by `items`, which would wait for ever otherwise
            error = raised
        self._queue.put(_End(error))

    def items(self) -> Iterator[Item]:
        """The items read, as they come."""
        while not self._ended:
            item = self._queue.get()
            if not isinstance(item, _End):
                yield item
                continue
            self._ended = True
            if item.error is not None:
                raise item.error

    def stop(self) -> None:
        """Ends the reading after the current item."""
        self._stopped = True

    def close(self) -> None:
        """Stops, and waits until the reading has ended."""
        self.stop()
        while not self._ended:
            self._ended = isinstance(self._queue.get(), _End)
