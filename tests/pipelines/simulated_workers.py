"""Workers without processes, for what real ones show only with luck: many of them, and deaths."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from curation.stage import Item, Resources, Stage, attempt
from pipelines.run.workers import Reply


@dataclass(eq=False)
class SimulatedWorker:
    stage: Stage
    work: Callable[[Any], Any]
    items: deque[Item] = field(default_factory=deque)


@dataclass
class SimulatedWorkers:
    """Each call of `wait` lets every worker finish one item, or die of it."""

    cpus: float
    kills: Callable[[str], bool] = lambda _: False
    """Whether an item kills its worker."""
    depth: int = 2
    holds_idle: bool = True
    gpus: float = 0.0
    living: list[SimulatedWorker] = field(default_factory=list)
    starts: int = 0
    started: list[str] = field(default_factory=list)
    """The stages of all workers."""
    most: int = 0
    """The most workers at a time."""
    _ready: list[Reply] = field(default_factory=list)

    def total(self) -> Resources:
        return Resources(self.cpus, self.gpus, 1 << 20)

    def capacity(self, resources: Resources) -> int:
        fits = [int(self.cpus / resources.cpus)]
        return min(fits + ([int(self.gpus / resources.gpus)] if resources.gpus else []))

    def start(self, stage: Stage) -> SimulatedWorker:
        worker = SimulatedWorker(stage, stage.setup())
        self.living.append(worker)
        self.starts += 1
        self.started.append(type(stage).__name__)
        self.most = max(self.most, len(self.living))
        self._check()
        self._ready.append(Reply(worker))
        return worker

    def send(self, worker: SimulatedWorker, item: Item) -> None:
        assert len(worker.items) < self.depth
        worker.items.append(item)

    def wait(self, timeout_s: float) -> list[Reply]:
        self._check()
        said, self._ready = self._ready, []
        for worker in [each for each in self.living if each.items]:
            item = worker.items.popleft()
            if self.kills(item.key):
                self.living.remove(worker)
                said.append(Reply(worker, died=True))
            else:
                said.append(Reply(worker, attempt(worker.work, item)))
        return said

    def stop(self, worker: SimulatedWorker) -> None:
        self.living.remove(worker)

    def _check(self) -> None:
        """No more processors are taken than there are."""
        taken = [each for each in self.living if self.holds_idle or each.items]
        assert sum(each.stage.resources.cpus for each in taken) <= self.cpus

    def close(self) -> None:
        self.living.clear()
