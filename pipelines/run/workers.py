"""Where workers live: this process, processes of this machine, or actors on Ray.

A worker has one stage set up and gives one outcome for each item, in the order in which it got
them. Which worker gets which item is decided elsewhere, in `pipelines.run.engine`.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from curation.errors import ReelmillError
from curation.stage import Item, Outcome, Resources, Stage, attempt
from pipelines.run.stage_setup import limit_threads, set_up_stage

Worker = Hashable


class ClusterError(ReelmillError, ValueError):
    """The cluster cannot be joined, or cannot run the stage."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a worker says: an outcome, that it is ready, or that it died."""

    worker: Worker
    outcome: Outcome | None = None
    """Of its first item; None where it is ready or died."""
    died: bool = False


class Workers(Protocol):
    """Starts workers, sends them items and waits for what they say."""

    depth: int
    """Items that a worker has at a time, those that wait for it included."""
    holds_idle: bool
    """Whether a worker without work keeps its processors from others; it always keeps its
    memory."""

    def total(self) -> Resources:
        """What all workers may take together. Raises `InfrastructureError`."""

    def capacity(self, resources: Resources) -> int:
        """How many workers with these resources there is room for, if there are no others."""

    def start(self, stage: Stage) -> Worker:
        """Begins to start a worker, which says when it is ready for its first item."""

    def send(self, worker: Worker, item: Item) -> None:
        """Gives a worker that is ready one more item."""

    def wait(self, timeout_s: float) -> list[Reply]:
        """What workers have said, in order for each, after at most this time."""

    def stop(self, worker: Worker) -> None:
        """Ends a worker, whatever it is doing."""

    def close(self) -> None:
        """Ends everything."""


@dataclass
class InProcessWorkers:
    """One worker, in this process: for tests, debugging and steps that only look things up."""

    depth: int = 1
    holds_idle: bool = False
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _work: dict[Worker, Callable[[Any], Any]] = field(default_factory=dict)
    _said: deque[Reply] = field(default_factory=deque)
    _queue: deque[tuple[Worker, Item]] = field(default_factory=deque)

    def total(self) -> Resources:
        """Processors for one item at a time, and room for any worker."""
        return Resources(0.0, 0.0, 1 << 60)

    def capacity(self, resources: Resources) -> int:
        """One."""
        return 1

    def start(self, stage: Stage) -> Worker:
        """Sets the stage up at once."""
        limit_threads()
        worker = next(self._numbers)
        self._work[worker] = set_up_stage(stage)
        self._said.append(Reply(worker))
        return worker

    def send(self, worker: Worker, item: Item) -> None:
        """Keeps it until `wait`."""
        self._queue.append((worker, item))

    def wait(self, timeout_s: float) -> list[Reply]:
        """Works on one item."""
        if self._queue:
            worker, item = self._queue.popleft()
            self._said.append(Reply(worker, attempt(self._work[worker], item)))
        said, self._said = list(self._said), deque()
        return said

    def stop(self, worker: Worker) -> None:
        """Forgets what it has set up, and its work."""
        del self._work[worker]
        self._queue = deque(entry for entry in self._queue if entry[0] != worker)

    def close(self) -> None:
        """Nothing to end."""
