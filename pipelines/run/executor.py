"""The executor's contract: stages with items to work on go in, outcomes come out as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from curation.stage import Item, Outcome, Stage

_MAX_SMALL = 256
"""Items for which a Ray cluster, whose start takes seconds, is not worth its start."""


@dataclass(frozen=True)
class WorkerLimits:
    """How many workers each stage has."""

    min: int = 0
    """So many stay though idle while items may come, unless another stage has none."""
    max: int = 0
    """0 for as many as there is room for."""


@dataclass(frozen=True)
class WorkerDied:
    """An item whose worker died each time, at last while nothing else was at work."""

    key: str


@dataclass
class Load:
    """How the workers of a stage are used."""

    workers: int = 0
    """Now, those that start included."""
    waiting: int = 0
    """Items that no worker has yet, as far as they have been made."""
    worker_s: float = 0.0
    """Seconds of all workers so far."""
    busy_s: float = 0.0
    """Of these, seconds in which one had an item or loaded models."""

    @property
    def busy_share(self) -> float | None:
        """Share of the workers' time in which they worked; None before they have had any."""
        return self.busy_s / self.worker_s if self.worker_s else None

    def add(self, seconds: float, workers: int, busy: int, waiting: int) -> None:
        """Counts the time that has passed."""
        self.workers, self.waiting = workers, waiting
        self.worker_s += seconds * workers
        self.busy_s += seconds * busy


@dataclass(eq=False)
class Feed:
    """A stage and the items that wait for it."""

    stage: Stage
    items: deque[Item] = field(default_factory=deque)
    source: Feed | None = None
    """The feed whose outcomes bring the items."""
    refill: Callable[[bool], None] = lambda is_last: None
    """Called when there are no items, to add those that there are by now; `is_last` says that the
    source has finished, so that what is not added now will never come."""
    count: int = 0
    """Items to come, as far as that is known."""
    finished: int = 0
    """Items that have had an outcome."""
    load: Load = field(default_factory=Load)

    @classmethod
    def of(cls, stage: Stage, items: Iterable[Item]) -> Feed:
        """A feed of these items alone."""
        return cls(stage, deque(items))

    def fill(self, *, is_last: bool) -> bool:
        """Whether an item waits, after asking for more."""
        if not self.items:
            self.refill(is_last)
        return bool(self.items)


class Executor(Protocol):
    """Runs stages."""

    def run(self, feeds: Sequence[Feed]) -> Iterator[tuple[Feed, Outcome | WorkerDied]]:
        """One outcome for each item, as they come, in any order, until the feeds are empty.

        Where two items could start, that of the later feed does; and a feed rests while much
        waits for one that it fills.
        Raises `InfrastructureError` where no worker can live, `ClusterError` where a stage has no
        place.
        """


@dataclass
class LazyExecutor:
    """An executor that starts when it first runs a stage."""

    start: Callable[[], Executor]
    _executor: Executor | None = None

    def run(self, feeds: Sequence[Feed]) -> Iterator[tuple[Feed, Outcome | WorkerDied]]:
        """See `Executor`."""
        if self._executor is None:
            self._executor = self.start()
        return self._executor.run(feeds)


@dataclass
class SizedExecutor:
    """Runs few items, if they need no GPU, on one executor, and others on another.

    Once the other has started it runs everything, so that what is left of many items stays there.
    """

    small: Executor
    large: Executor
    _is_large: bool = False

    def run(self, feeds: Sequence[Feed]) -> Iterator[tuple[Feed, Outcome | WorkerDied]]:
        """See `Executor`."""
        self._is_large |= any(
            max(feed.count, len(feed.items)) > _MAX_SMALL or feed.stage.resources.gpus > 0
            for feed in feeds
        )
        return (self.large if self._is_large else self.small).run(feeds)
