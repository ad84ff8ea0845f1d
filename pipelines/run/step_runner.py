"""Runs steps to their end: commits outcomes as they come, and accounts for every item.

Attempts are at least once, commits exactly once. Several steps run as one stream: what the first
one commits gives the others their items (`pipelines.run.stream`). An item that kills its workers is
split, if it has parts; the smallest part that still kills them fails by name.

A work list is worked off some thousand items at a time, so that memory does not grow with it: it
may make its items as they are asked for. Commits grow with the run: one comes when its results fill
`_COMMIT_BYTES`, or after 15 s, later after a hundredth of the time that the run has taken, at most
five minutes. So that much is done again after a crash, and weeks of work make some thousand
commits.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from curation.errors import InfrastructureError
from curation.stage import Done, Failed, Fault, Item, Outcome, Unavailable
from curation.step import Ledger, Step
from pipelines.run.executor import Executor, Feed, Load, WorkerDied

_SLICE = 2000
"""Items that are made ahead."""
_COMMIT_BYTES = 16 << 20
"""Of results that wait to be committed."""
_RESULT_BYTES = 4096
"""Of a result that does not state its size."""
_COMMIT_S, _MAX_COMMIT_S = 15.0, 300.0
_COMMIT_SHARE = 0.01
"""Of the time since the run began."""
_COMMIT_FOR_OTHERS_S = 2.0
_MAX_DETAILS = 100
"""Messages about unavailable items that are kept."""
UNAVAILABLE = "unavailable"
_WORKER_DIED = "its worker died each time it was tried alone"
Results = Sequence[tuple[Any, Done | Failed]]


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
    load: Load = field(default_factory=Load)
    """How its workers are used."""

    @property
    def done(self) -> int:
        """Items with an outcome."""
        return sum(self.counts.values())


ProgressCallback = Callable[[int, int, Progress], None]
"""Called with sources or clips finished, those of earlier runs included, all of them, and what this
run did so far."""


@dataclass
class StepRun:
    """A step, and who is told of its progress."""

    step: Step
    on_progress: ProgressCallback = lambda *_: None
    on_start: Callable[[Sequence[Item]], None] = lambda _: None
    """Receives the work list before the first change to the output."""
    progress: Progress = field(default_factory=Progress)
    had_work: bool = False


def run_step(
    step: Step,
    executor: Executor,
    progress: Progress,
    on_progress: ProgressCallback = lambda *_: None,
    *,
    give_up: bool = False,
    on_start: Callable[[Sequence[Item]], None] = lambda _: None,
) -> bool:
    """Works off one step's work list and counts the outcomes; False if it is empty.

    With `give_up` an item that is unavailable fails as `missing` instead of waiting for another
    run. Raises `InfrastructureError` where storage or workers fail; what was committed until then
    stays.
    """
    run = StepRun(step, on_progress, on_start, progress)
    with step.catalog.lease(step.name, step.tables) as writer:
        items = step.todo()
        if items:
            on_start(items)
            writer.acquire()
            work(executor, [Account(run, step.ledger(writer, items), items, give_up=give_up)])
    return run.had_work


def work(executor: Executor, accounts: Sequence[Account]) -> None:
    """Runs the items of each account until all have an outcome, and commits these."""
    by_feed = {account.feed: account for account in accounts}
    try:
        with contextlib.closing(executor.run(list(by_feed))) as results:  # type: ignore[type-var]
            for feed, outcome in results:
                by_feed[feed].receive(outcome)
    finally:
        with contextlib.ExitStack() as stack:  # each, if another one fails, too
            for account in reversed(accounts):
                stack.callback(account.commit)
    for account in accounts:  # what workers were writing when they died
        step = account.run.step
        for table in step.tables:
            step.catalog.storage.remove_partial_files(table)


class Account:
    """The items of one step that are on their way, and their outcomes."""

    def __init__(
        self,
        run: StepRun,
        ledger: Ledger,
        items: Sequence[Item],
        *,
        give_up: bool,
        are_expected: bool = False,
    ) -> None:
        """`are_expected` items stand for those that come by `fill_with`."""
        self.run = run
        self.feed = Feed(run.step.stage, count=len(items), refill=self._put_slice)
        self.on_commit: Callable[[Results], None] = lambda _: None
        """Receives what has been committed."""
        self.total = sum(map(run.step.weight, items))
        """Of sources or clips: finished ones and those to come."""
        self._items: Sequence[Item] = () if are_expected else items
        self._next = 0
        run.had_work = True
        self._ledger = ledger
        self._give_up = give_up
        self._pending: dict[str, Item] = {}
        self._finished = 0
        self._measure = run.step.weight if are_expected else run.step.size
        self._size, self._finished_size = sum(map(self._measure, items)), 0.0
        self._uncommitted: list[tuple[Item, Done | Failed]] = []
        self._uncommitted_bytes = 0
        self._started_at = self._committed_at = time.monotonic()
        run.progress.before = run.step.finished()
        run.progress.load = self.feed.load
        self._tell()

    def fill_with(self, refill: Callable[[bool], None], source: Feed | None) -> None:
        """Where the expected items come from."""
        self.feed.refill, self.feed.source = refill, source

    def expect_fewer(self, count: int) -> None:
        """So many sources or clips will not come."""
        self.total -= count
        self._size -= count

    def put(self, items: Iterable[Item]) -> None:
        """Adds items that the total has counted."""
        for item in items:
            self._pending[item.key] = item
            self.feed.items.append(item)

    def receive(self, outcome: Outcome | WorkerDied) -> None:
        """Accounts for one outcome."""
        if isinstance(outcome, Fault):
            raise InfrastructureError(outcome.detail)
        item = self._pending.pop(outcome.key, None)
        if item is None:
            return
        if isinstance(outcome, WorkerDied | Unavailable) and self._split(item, outcome):
            return
        if isinstance(outcome, WorkerDied):
            outcome = Failed(item.key, "internal", _WORKER_DIED)
        elif isinstance(outcome, Unavailable) and self._give_up:
            outcome = Failed(item.key, "missing", outcome.detail)
        self._add(item, outcome)

    def commit(self) -> None:
        """Commits what has an outcome."""
        results, self._uncommitted = self._uncommitted, []
        self._uncommitted_bytes = 0
        if results:
            self.run.progress.counts.update(self._ledger.commit(results))
            self._committed_at = time.monotonic()
            self._tell()
            self.on_commit(results)

    def commit_for_others(self, *, is_last: bool) -> None:
        """Commits early where another step has nothing to do before that."""
        if is_last or time.monotonic() - self._committed_at > _COMMIT_FOR_OTHERS_S:
            self.commit()

    def _split(self, item: Item, outcome: WorkerDied | Unavailable) -> bool:
        """Puts its parts in the place of an item that cannot be worked on; False if it has none."""
        if isinstance(outcome, Unavailable) and not self._give_up:
            return False
        parts = self.run.step.split(item)
        if len(parts) <= 1:
            return False
        self.total += sum(map(self.run.step.weight, parts)) - self.run.step.weight(item)
        self.put(parts)
        return True

    def _put_slice(self, is_last: bool) -> None:
        """The next items of the work list."""
        if self._next < len(self._items):
            self.put(self._items[self._next : self._next + _SLICE])
            self._next += _SLICE

    def _add(self, item: Item, outcome: Done | Failed | Unavailable) -> None:
        weight, progress = self.run.step.weight(item), self.run.progress
        self._finished += weight
        self._finished_size += self._measure(item)
        if isinstance(outcome, Unavailable):
            progress.counts[UNAVAILABLE] += weight
            if len(progress.unavailable) < _MAX_DETAILS:
                progress.unavailable.append(outcome.detail)
        else:
            self._uncommitted.append((item, outcome))
            progress.video_s += self.run.step.video_s(item, outcome)
            value = outcome.value if isinstance(outcome, Done) else None
            self._uncommitted_bytes += getattr(value, "nbytes", 0) + _RESULT_BYTES * weight
        if isinstance(outcome, Done):
            total = {self.run.step.name: outcome.cpu_seconds}
            progress.cpu_seconds.update(getattr(outcome.value, "cpu_seconds", total))
        if self._is_commit_due():
            self.commit()
        self._tell()

    def _is_commit_due(self) -> bool:
        now = time.monotonic()
        share_s = _COMMIT_SHARE * (now - self._started_at)
        is_late = now - self._committed_at > max(_COMMIT_S, min(share_s, _MAX_COMMIT_S))
        return is_late or self._uncommitted_bytes >= _COMMIT_BYTES

    def _tell(self) -> None:
        progress, before = self.run.progress, self.run.progress.before
        progress.share = self._finished_size / self._size if self._size else 0.0
        self.run.on_progress(before + self._finished, before + self.total, progress)
