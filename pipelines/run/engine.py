"""The engine: keeps the workers of several stages busy, and finds the items that kill them.

Each feed of items has a pool of workers of its own, whose models are loaded once a worker. A pool
grows while items wait and there is room, and gives room to another one when it is idle. What is
further down comes first: of several items that could start, the one of the last stage does; and a
stage rests while many items that it brought wait, so that little lies between stages.

A worker works on its items in order, so one that dies leaves no doubt which item it was. That item
is tried again among the others, and then twice alone, while nothing else is at work; if its workers
die then as well, it is the item's fault. Two such items before any item of the stage has finished
mean that no worker can live here.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field

from curation.errors import InfrastructureError
from curation.stage import Item, Outcome, Resources
from pipelines.run.executor import Feed, WorkerDied, WorkerLimits
from pipelines.run.workers import ClusterError, InProcessWorkers, Reply, Worker, Workers

_TRIES_AMONG_OTHERS = 2
_TRIES_ALONE = 2
_MAX_WAITING = 4
"""Items a worker that may wait for a stage while those before it go on."""
_POLL_S = 0.5
_IDLE_S = 2.0
"""After so long an idle worker gives its processors to another pool,"""
_RELEASE_S = 30.0
"""and after so long to other users of the cluster."""
Result = tuple[Feed, Outcome | WorkerDied]


@dataclass
class Engine:
    """Runs stages on workers."""

    workers: Workers
    limits: WorkerLimits = field(default_factory=WorkerLimits)

    def run(self, feeds: Sequence[Feed]) -> Iterator[Result]:
        """See `Executor`."""
        for feed in feeds:
            self._check_room(feed.stage.resources)
        run = _Schedule(
            self.workers, [_Pool(feed, feed.stage.resources) for feed in feeds], self.limits
        )
        try:
            yield from run.results()
        finally:
            run.stop_all()

    def _check_room(self, resources: Resources) -> None:
        """Raises `ClusterError` that says which resource is short."""
        count, capacity = max(*astuple(self.limits), 1), self.workers.capacity(resources)
        if capacity >= count or not self.workers.holds_idle:
            return
        total = self.workers.total()
        available, share, name = min(
            (
                (total.cpus, resources.cpus, "CPUs"),
                (total.gpus, resources.gpus, "GPUs"),
                (total.memory_mb, resources.memory_mb, "MB of memory"),
            ),
            key=lambda row: row[0] / row[1] if row[1] else float("inf"),
        )
        raise ClusterError(
            f"the cluster has {available:.10g} {name}: too few for {count} workers that take"
            f" {share:.10g} each, enough for {capacity}; set execution.workers"
        )


@dataclass(eq=False)
class _Pool:
    feed: Feed
    resources: Resources
    workers: dict[Worker, deque[Item]] = field(default_factory=dict)
    """Their items in order; the first one is at work."""
    starting: set[Worker] = field(default_factory=set)
    idle_since: dict[Worker, float] = field(default_factory=dict)
    again: deque[Item] = field(default_factory=deque)
    """Items whose worker died, or that waited for it."""
    deaths: Counter[str] = field(default_factory=Counter)
    """How often an item's worker died."""
    deadly: list[Item] = field(default_factory=list)
    """Items whose workers died while nothing else was at work."""
    suspects: deque[Item] = field(default_factory=deque)
    """To be tried alone."""
    unborn: int = 0
    """Workers that died as they started, one after the other."""

    @property
    def waiting(self) -> int:
        return len(self.again) + len(self.feed.items)

    @property
    def in_flight(self) -> int:
        return sum(map(len, self.workers.values()))

    @property
    def busy(self) -> int:
        """Workers that compute: those that start, too."""
        return len(self.starting) + sum(map(bool, self.workers.values()))

    @property
    def is_doubtful(self) -> bool:
        """Whether items have killed workers and none has finished yet."""
        return not self.feed.finished and bool(self.deaths)

    @property
    def is_finished(self) -> bool:
        return not (self.waiting or self.suspects or self.deadly or self.in_flight)

    def has_item(self, *, is_last: bool) -> bool:
        return bool(self.again) or self.feed.fill(is_last=is_last)

    def idle_worker(self) -> Worker | None:
        return next(iter(self.idle_since), None)

    def next_alone(self) -> Item | None:
        """What to try alone: a suspect; in doubt any that killed, and then one far from it."""
        if self.is_doubtful:
            self.suspects.extend(self.again)
            self.again.clear()
            if self.deadly and self.feed.items:
                return self.feed.items.pop()
        return self.suspects.popleft() if self.suspects else None


@dataclass
class _Schedule:
    workers: Workers
    pools: list[_Pool]
    limits: WorkerLimits
    alone: tuple[_Pool, Item] | None = None
    """What is tried while nothing else is at work."""
    deaths_alone: int = 0
    measured_at: float = 0.0

    def results(self) -> Iterator[Result]:
        """See `Executor.run`."""
        self.measured_at = time.monotonic()
        while True:
            if self.alone is None:
                self._assign()
                if self._is_idle() and not self._start_alone():
                    self._check_done()
                    return
            if self.alone is not None:
                self._continue_alone(*self.alone)
            replies = self.workers.wait(_POLL_S)
            self._measure_load()
            for reply in replies:
                yield from self._receive(reply)

    def stop_all(self) -> None:
        """Ends the workers of this run."""
        for pool in self.pools:
            for worker in tuple(pool.workers):
                self._stop(pool, worker)

    def _measure_load(self) -> None:
        now = time.monotonic()
        for pool in self.pools:
            pool.feed.load.add(now - self.measured_at, len(pool.workers), pool.busy, pool.waiting)
        self.measured_at = now

    def _check_done(self) -> None:
        """Raises `InfrastructureError` if there is work, but no longer any room for a worker."""
        for pool in self.pools:
            if pool.waiting:
                names = f"{pool.waiting:,} items of {type(pool.feed.stage).__name__}"
                raise InfrastructureError(
                    f"no room is left for a worker that takes {pool.resources}: {names} wait"
                )

    def _is_idle(self) -> bool:
        return not any(pool.in_flight or pool.starting for pool in self.pools)

    def _assign(self) -> None:
        """Gives waiting items to workers, from the last stage to the first."""
        for pool in reversed(self.pools):
            while not self._rests(pool) and pool.has_item(is_last=self._is_last(pool)):
                if (worker := pool.idle_worker()) is not None and self._may_compute(pool):
                    self._send(pool, worker)
                elif len(pool.starting) < pool.waiting and self._may_grow(pool):
                    self._start(pool)
                elif (worker := self._busy_worker(pool)) is not None:
                    self._send(pool, worker)
                else:
                    break
            if self._is_worth_starting_ahead(pool):
                self._start(pool)
            while len(pool.workers) < self._least(pool) and self._may_grow(pool):
                self._start(pool)
            self._release(pool)

    def _least(self, pool: _Pool) -> int:
        """How many workers it has though they are idle, as long as items may come."""
        is_over = self._is_last(pool) and not pool.waiting
        return 0 if is_over else self.limits.min

    def _is_worth_starting_ahead(self, pool: _Pool) -> bool:
        """Whether to load models on a GPU, where it is free, while the first items are coming."""
        if not pool.resources.gpus or pool.workers:
            return False
        sources = [p for p in self.pools if p.feed is pool.feed.source]
        is_fed = any(p.workers for p in sources) and not self._is_last(pool)
        return is_fed and self.alone is None and self._has_room(pool, Counter())

    def _busy_worker(self, pool: _Pool) -> Worker | None:
        """One that may have an item waiting at it; near the end none waits at a busy worker."""
        if self.workers.depth < 2 or pool.waiting <= len(pool.workers):
            return None
        ready = (worker for worker in pool.workers if worker not in pool.starting)
        worker = min(ready, key=lambda worker: len(pool.workers[worker]), default=None)
        is_free = worker is not None and len(pool.workers[worker]) < self.workers.depth
        return worker if is_free else None

    def _rests(self, pool: _Pool) -> bool:
        filled = (p for p in self.pools if p.feed.source is pool.feed)
        return pool.is_doubtful or any(
            p.waiting >= _MAX_WAITING * max(1, len(p.workers)) for p in filled
        )

    def _is_last(self, pool: _Pool) -> bool:
        """Whether the pools that bring its items have finished."""
        return all(
            p.is_finished and self._is_last(p) and not p.feed.fill(is_last=True)
            for p in self.pools
            if p.feed is pool.feed.source
        )

    def _may_compute(self, pool: _Pool) -> bool:
        """Whether processors are free, where idle workers leave them to others."""
        if self.workers.holds_idle:
            return True
        taken = sum(p.busy * p.resources.cpus for p in self.pools)
        return taken + pool.resources.cpus <= self.workers.total().cpus or not taken

    def _may_grow(self, pool: _Pool) -> bool:
        """Whether one more worker has room, after idle ones of other pools have made some."""
        limit = self.limits.max or self.workers.capacity(pool.resources)
        if len(pool.workers) >= limit or self.alone is not None:
            return False
        stopped: list[tuple[_Pool, Worker]] = []
        for idle in [None, *self._displaceable(pool)]:
            if idle is not None:
                stopped.append(idle)
            if self._has_room(pool, Counter(other for other, _ in stopped)):
                for other, worker in stopped:
                    self._stop(other, worker)
                return True
        return False

    def _has_room(self, pool: _Pool, stopped: Counter[_Pool]) -> bool:
        """Beside the first one of this pool, the first of each that has work is given room, too.

        `stopped` workers of each pool count no more.
        """
        total, counts, has_work = self.workers.total(), [], False
        for p in self.pools:
            has_work |= bool(p.waiting or p.in_flight)
            kept = 1 if has_work and pool.workers else 0
            here = len(p.workers) - stopped[p]
            counts.append((p, here + 1 if p is pool else max(here, kept)))
        memory_mb = sum(count * p.resources.memory_mb for p, count in counts)
        if not self.workers.holds_idle:
            alone = not any(len(p.workers) > stopped[p] for p in self.pools)
            return memory_mb <= total.memory_mb or alone
        cpus = sum(count * p.resources.cpus for p, count in counts)
        gpus = sum(count * p.resources.gpus for p, count in counts)
        return cpus <= total.cpus and gpus <= total.gpus and memory_mb <= total.memory_mb

    def _displaceable(self, pool: _Pool) -> list[tuple[_Pool, Worker]]:
        """Workers of other pools that have been idle for a while, those that hold most first.

        Those on a GPU, whose models are slow to load, only where this pool needs one too, or has
        no worker at all; and only then those that are to stay.
        """
        wait_s = _IDLE_S if self.workers.holds_idle and not self._is_idle() else 0.0
        others = (p for p in self.pools if p is not pool)
        return [
            (other, worker)
            for other in sorted(others, key=lambda p: -p.resources.cpus)
            if pool.resources.gpus or not other.resources.gpus or not pool.workers
            for worker in self._spare(other, keep=self._least(other) if pool.workers else 0)
            if time.monotonic() - other.idle_since[worker] >= wait_s
        ]

    @staticmethod
    def _spare(pool: _Pool, keep: int) -> list[Worker]:
        """Idle workers beyond so many, those first that have been idle longest."""
        return list(pool.idle_since)[: max(0, len(pool.workers) - keep)]

    def _release(self, pool: _Pool) -> None:
        """Gives up workers that have long been idle; one on a GPU stays while items may come."""
        if self.workers.holds_idle and not pool.waiting:
            now, keeps_one = time.monotonic(), pool.resources.gpus and not self._is_last(pool)
            for worker in self._spare(pool, max(self._least(pool), 1 if keeps_one else 0)):
                if now - pool.idle_since[worker] > _RELEASE_S:
                    self._stop(pool, worker)

    def _start(self, pool: _Pool) -> None:
        worker = self.workers.start(pool.feed.stage)
        pool.workers[worker] = deque()
        pool.starting.add(worker)

    def _send(self, pool: _Pool, worker: Worker, item: Item | None = None) -> None:
        item = item or (pool.again or pool.feed.items).popleft()
        pool.workers[worker].append(item)
        pool.idle_since.pop(worker, None)
        self.workers.send(worker, item)

    def _stop(self, pool: _Pool, worker: Worker) -> None:
        del pool.workers[worker]
        pool.starting.discard(worker)
        pool.idle_since.pop(worker, None)
        self.workers.stop(worker)

    def _receive(self, reply: Reply) -> Iterator[Result]:
        pool = next((p for p in self.pools if reply.worker in p.workers), None)
        if pool is None:
            return
        if reply.died:
            self._bury(pool, reply.worker)
        else:
            pool.starting.discard(reply.worker)
            items = pool.workers[reply.worker]
            if reply.outcome is not None:
                item = items.popleft()
                pool.feed.finished += 1
                pool.unborn = 0
                if self.alone is not None and self.alone[1] is item:
                    self.alone = None
            if not items:
                pool.idle_since[reply.worker] = time.monotonic()
            if reply.outcome is not None:
                yield pool.feed, reply.outcome
        yield from self._blame(pool)

    def _bury(self, pool: _Pool, worker: Worker) -> None:
        """Takes back the items of a worker that died."""
        items = pool.workers.pop(worker)
        pool.idle_since.pop(worker, None)
        if worker in pool.starting:
            pool.starting.discard(worker)
            pool.unborn += 1
        if not items:
            return
        item, *queued = items
        pool.again.extendleft(reversed(queued))
        pool.deaths[item.key] += 1
        if self.alone is not None and self.alone[1] is item:
            self.deaths_alone += 1
            if self.deaths_alone == _TRIES_ALONE:
                self.alone = None
                pool.deadly.append(item)
        elif pool.deaths[item.key] < _TRIES_AMONG_OTHERS and not pool.is_doubtful:
            pool.again.append(item)
        else:
            pool.suspects.append(item)

    def _blame(self, pool: _Pool) -> Iterator[Result]:
        """Names deadly items once another one has shown that a worker can live, or none can."""
        if not pool.feed.finished and max(len(pool.deadly) - 1, pool.unborn - 2) > 0:
            raise InfrastructureError("every worker died, on each item that was tried")
        if pool.unborn > 2 * max(4, len(pool.workers)):
            raise InfrastructureError("workers die before they begin, one after the other")
        is_last = not (pool.waiting or pool.suspects or pool.in_flight)
        if pool.deadly and (pool.feed.finished or is_last):
            deadly, pool.deadly = pool.deadly, []
            for item in deadly:
                yield pool.feed, WorkerDied(item.key)

    def _start_alone(self) -> bool:
        """Chooses what is tried alone; False if there is nothing."""
        for pool in self.pools:
            if (item := pool.next_alone()) is not None:
                self.alone, self.deaths_alone = (pool, item), 0
                return True
        return False

    def _continue_alone(self, pool: _Pool, item: Item) -> None:
        if pool.in_flight or pool.starting:
            return
        if (worker := pool.idle_worker()) is not None:
            self._send(pool, worker, item)
            return
        for other in self.pools:
            for idle in tuple(other.idle_since):
                self._stop(other, idle)
        self._start(pool)


def in_process() -> Engine:
    """One worker, in this process: for tests, debugging and steps that only look things up."""
    return Engine(InProcessWorkers(), WorkerLimits(max=1))
