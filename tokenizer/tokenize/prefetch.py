"""Reading ahead on threads, in order and in bounded memory.

Each source is read by one thread, whole; the thread waits when `depth` of its things are not yet
taken. Things come out source by source, as if they were read one after the other, so that what is
made of them does not depend on which thread was faster.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Queue
from typing import Generic, TypeVar

Thing = TypeVar("Thing")
Source = Callable[[], Generator[Thing, None, None]]


def ahead(
    sources: Sequence[Source[Thing]], threads: int, depth: int = 2
) -> Generator[Iterator[Thing], None, None]:
    """The things of each source, one iterator a source, which raises what its source raises.

    Leaving an iterator early, or all of them, ends the reading behind it. In memory are at most
    (`threads` + 1) · (`depth` + 1) things.
    """
    waiting = iter(sources)
    lanes: deque[_Lane[Thing]] = deque()
    with ThreadPoolExecutor(threads) as pool:

        def start() -> None:
            with contextlib.suppress(StopIteration):
                lane = _Lane[Thing](next(waiting), depth)
                pool.submit(lane.fill)
                lanes.append(lane)

        try:
            for _ in range(threads + 1):
                start()
            while lanes:
                yield lanes[0].things()
                lanes.popleft().close()
                start()
        finally:
            for lane in lanes:
                lane.stop()
            for lane in lanes:
                lane.close()


@dataclass(frozen=True)
class _End:
    error: BaseException | None


class _Lane(Generic[Thing]):
    """One source and what was read of it."""

    def __init__(self, source: Source[Thing], depth: int) -> None:
        self._source = source
        self._queue: Queue[Thing | _End] = Queue(depth)
        self._stopped = self._ended = False

    def fill(self) -> None:
        """Reads the source to its end, or until the lane is stopped."""
        error: BaseException | None = None
        try:
            if not self._stopped:
                with contextlib.closing(self._source()) as things:
                    for thing in things:
                        self._queue.put(thing)
                        if self._stopped:
                            break
        except BaseException as raised:  # it is for the taker, who would wait for ever without it
            error = raised
        self._queue.put(_End(error))

    def things(self) -> Iterator[Thing]:
        """Takes what was read."""
        while not self._ended:
            thing = self._queue.get()
            if not isinstance(thing, _End):
                yield thing
                continue
            self._ended = True
            if thing.error is not None:
                raise thing.error

    def stop(self) -> None:
        """Lets the source end after the thing it is at."""
        self._stopped = True

    def close(self) -> None:
        """Stops, and waits until the source has ended."""
        self.stop()
        while not self._ended:
            self._ended = isinstance(self._queue.get(), _End)
