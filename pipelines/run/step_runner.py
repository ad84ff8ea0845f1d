"""Runs one step to its end: commits outcomes as they come, and accounts for every item.

Attempts are at least once, commits exactly once. When workers die for good, the items that may have
been in progress are halved, and so are the halves that fail again: of n suspects the one that kills
is found in about log2(n) rounds of two streams. An item that kills its worker alone is split, if it
has parts; the smallest part that kills another worker alone fails by name. Two that kill before
anything has finished mean that no worker can live, and the run stops.

The work list is worked off some thousand items at a time, so that memory does not grow with it: a
work list may make its items as they are asked for. Commits grow with the run: one comes when its
results fill `_COMMIT_BYTES`, or after 15 s, later after a hundredth of the time that the run has
taken, at most five minutes. So that much is done again after a crash, and weeks of work make some
thousand commits.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from curation.errors import InfrastructureError
from curation.stage import Done, Failed, Fault, Item, Unavailable
from curation.step import Ledger, Step
from pipelines.run.executor import Executor, ExecutorLostError

_SLICE = 2_000
"""Items that are worked off together."""
_COMMIT_BYTES = 16 << 20
"""Of results that wait to be committed."""
_RESULT_BYTES = 4096
"""Of a result that does not state its size."""
_COMMIT_S, _MAX_COMMIT_S = 15.0, 300.0
_COMMIT_SHARE = 0.01
"""Of the time since the run began."""
_MAX_DETAILS = 100
"""Messages about unavailable items that are kept."""
UNAVAILABLE = "unavailable"
_WORKER_DIED = "its worker died each time it was tried alone"


@dataclass
class Progress:
    """The outcomes of a step so far."""

    counts: Counter[str] = field(default_factory=Counter)
    """Items by outcome: success, a reason of failure, or `unavailable`: tried in another run."""
    cpu_seconds: Counter[str] = field(default_factory=Counter)
    """CPU seconds by part of the work."""
    unavailable: list[str] = field(default_factory=list)
    """Why the first of them were unavailable, one message each."""
    before: int = 0
    """Sources or clips that had an outcome before this run."""
    video_s: float = 0.0
    """Seconds of video in the items that this run finished."""
    share: float = 0.0
    """Of the work of this run, how much is done: 0 to 1."""

    @property
    def done(self) -> int:
        """Items with an outcome."""
        return sum(self.counts.values())


ProgressCallback = Callable[[int, int, Progress], None]
"""Called with sources or clips finished, those of earlier runs included, all of them, and what this
run did so far."""


def run_step(
    step: Step,
    executor: Executor,
    progress: Progress,
    on_progress: ProgressCallback = lambda *_: None,
    *,
    give_up: bool = False,
    on_start: Callable[[Sequence[Item]], None] = lambda _: None,
) -> bool:
    """Works off the step's work list and counts the outcomes; False if it is empty.

    `on_start` receives the work list before the first change to the output. With `give_up` an item
    that is unavailable fails as `missing` instead of waiting for another run. Raises
    `InfrastructureError` where storage or workers fail; what was committed until then stays.
    """
    with step.catalog.lease(step.name, step.tables) as writer:
        items = step.todo()
        if not items:
            return False
        on_start(items)
        writer.acquire()
        ledger = step.ledger(writer, items)
        run = _StepRun(step, ledger, progress, items, on_progress, give_up=give_up)
        for start in range(0, len(items), _SLICE):
            run.run_slice(executor, items[start : start + _SLICE])
        for table in step.tables:  # what workers were writing when they died
            step.catalog.storage.remove_partial_files(table)
    return True


class _StepRun:
    def __init__(
        self,
        step: Step,
        ledger: Ledger,
        progress: Progress,
        items: Sequence[Item],
        on_progress: ProgressCallback,
        *,
        give_up: bool,
    ) -> None:
        self._parts: list[Item] = []
        """Parts of items that are to be tried alone."""
        self._give_up = give_up
        self._step = step
        self._ledger = ledger
        self._progress = progress
        self._pending: dict[str, Item] = {}
        self._total = sum(map(step.weight, items))
        self._size = sum(map(step.size, items))
        self._finished_size = 0.0
        self._on_progress = on_progress
        self._finished = 0
        self._uncommitted: list[tuple[Item, Done | Failed]] = []
        self._uncommitted_bytes = 0
        self._started_at = self._committed_at = time.monotonic()
        progress.before = step.finished()
        self._report()

    def run_slice(self, executor: Executor, items: Sequence[Item]) -> None:
        """Gives each of some items an outcome; those that kill workers, in parts or as failures."""
        self._pending, self._parts = {item.key: item for item in items}, []
        for item in self.run_all(executor, items):
            if not self.split(item):
                self.run_again(executor, item)
        for part in self.run_all(executor, self._parts):
            self.run_again(executor, part)

    def run_all(self, executor: Executor, items: Sequence[Item]) -> list[Item]:
        """Runs items until each has an outcome, but for those returned: they kill, each alone."""
        deadly: list[Item] = []
        groups = deque([list(items)])
        while groups:
            if not (group := groups.pop()):
                continue
            in_flight = self._run_stream(executor, group)
            unfinished = [item for item in group if item.key in self._pending]
            if unfinished and len(group) == 1:
                deadly += unfinished
                if len(deadly) > 1 and not self._finished:
                    raise InfrastructureError("every worker died, on each item that was tried")
            elif not self._finished:  # can any worker live? try two items far apart
                groups += [unfinished[1:-1], unfinished[-1:], unfinished[:1]]
            else:
                half = (min(in_flight, len(unfinished)) + 1) // 2
                groups.extendleft([unfinished[:half], unfinished[half:in_flight]])
                groups.append(unfinished[in_flight:])
        return deadly

    def split(self, item: Item) -> bool:
        """Puts its parts in the place of an item, to be tried alone; False if it has none."""
        parts = self._step.split(item)
        if len(parts) <= 1:
            return False
        self._pending.pop(item.key, None)
        self._pending |= {part.key: part for part in parts}
        self._total += sum(map(self._step.weight, parts)) - self._step.weight(item)
        self._parts += parts
        return True

    def run_again(self, executor: Executor, item: Item) -> None:
        """Runs an item whose worker died when it was alone; fails it if another one dies."""
        self._run_stream(executor, [item])
        if self._pending.pop(item.key, None):
            self._add(item, Failed(item.key, "internal", _WORKER_DIED))
            self._commit()

    def _run_stream(self, executor: Executor, items: Sequence[Item]) -> int:
        """Runs items and commits in batches.

        Returns how many of the first unfinished items may have been at work when workers died for
        good; all, if the stream ended without them.
        """
        self._committed_at = time.monotonic()
        try:
            for outcome in executor.run(self._step.stage, items):
                if isinstance(outcome, Fault):
                    raise InfrastructureError(outcome.detail)
                if item := self._pending.pop(outcome.key, None):
                    self._add(item, outcome)
        except ExecutorLostError as error:
            return error.in_flight
        finally:
            self._commit()
        return len(items)

    def _add(self, item: Item, outcome: Done | Failed | Unavailable) -> None:
        if isinstance(outcome, Unavailable) and self._give_up:
            if self.split(item):
                return
            outcome = Failed(item.key, "missing", outcome.detail)
        weight = self._step.weight(item)
        self._finished += weight
        self._finished_size += self._step.size(item)
        if isinstance(outcome, Unavailable):
            self._progress.counts[UNAVAILABLE] += weight
            if len(self._progress.unavailable) < _MAX_DETAILS:
                self._progress.unavailable.append(outcome.detail)
        else:
            self._uncommitted.append((item, outcome))
            self._progress.video_s += self._step.video_s(item, outcome)
            value = outcome.value if isinstance(outcome, Done) else None
            self._uncommitted_bytes += getattr(value, "nbytes", 0) + _RESULT_BYTES * weight
        if isinstance(outcome, Done):
            total = {self._step.name: outcome.cpu_seconds}
            self._progress.cpu_seconds.update(getattr(outcome.value, "cpu_seconds", total))
        if self._is_commit_due():
            self._commit()
        self._report()

    def _report(self) -> None:
        before, progress = self._progress.before, self._progress
        progress.share = self._finished_size / self._size if self._size else 0.0
        self._on_progress(before + self._finished, before + self._total, progress)

    def _is_commit_due(self) -> bool:
        now = time.monotonic()
        share_s = _COMMIT_SHARE * (now - self._started_at)
        late = now - self._committed_at > max(_COMMIT_S, min(share_s, _MAX_COMMIT_S))
        return late or self._uncommitted_bytes >= _COMMIT_BYTES

    def _commit(self) -> None:
        results, self._uncommitted = self._uncommitted, []
        self._uncommitted_bytes = 0
        if results:
            self._progress.counts.update(self._ledger.commit(results))
            self._committed_at = time.monotonic()
            self._report()
