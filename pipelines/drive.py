"""Drives one step to its end: run, commit as results come, find what is missing, account for all.

Attempts are at least once, commits exactly once. What an executor loses with its workers is tried
again alone, in its smallest parts; what kills its worker alone fails by name.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from curation.reasons import EnvironmentFaultError
from curation.stage import Done, Failed, Fault, Item
from curation.step import Ledger, Step
from pipelines.executor import Executor, ExecutorLostError

_COMMIT_ITEMS = 256
_COMMIT_SECONDS = 15.0
_LOST = "its worker died each time it was tried alone"


@dataclass
class Tally:
    """What a step did."""

    counts: Counter[str] = field(default_factory=Counter)
    """Items by outcome: the good one's name, or a reason."""
    cpu_seconds: Counter[str] = field(default_factory=Counter)
    """CPU seconds by part of the work."""

    @property
    def done(self) -> int:
        """Items accounted for."""
        return sum(self.counts.values())


Watch = Callable[[int, int, Tally], None]
"""Told of progress: items finished, items in all, and what came of them so far."""


def drive(step: Step, executor: Executor, tally: Tally, watch: Watch = lambda *_: None) -> None:
    """Does all that the step has to do, and keeps the tally.

    Raises `EnvironmentFaultError` if the surroundings fail; what was committed until then stands.
    """
    with step.ledger() as ledger:
        items = step.todo()
        pending = {item.key: item for item in items}
        run = _Run(step, ledger, tally, sum(map(step.weight, items)), watch)
        run.collect(executor, items, pending)
        for part in [part for item in pending.values() for part in step.split(item)]:
            left = {part.key: part}
            run.collect(executor, [part], left)
            run.finish([(item, Failed(key, "internal", _LOST)) for key, item in left.items()])


class _Run:
    def __init__(self, step: Step, ledger: Ledger, tally: Tally, total: int, watch: Watch) -> None:
        self._step = step
        self._ledger = ledger
        self._tally = tally
        self._total = total
        self._watch = watch
        self._finished = 0
        self._held: list[tuple[Item, Done | Failed]] = []
        self._committed = time.monotonic()

    def collect(self, executor: Executor, items: Sequence[Item], pending: dict[str, Item]) -> None:
        """Runs items and commits in batches; takes what came out of `pending`."""
        self._watch(self._finished, self._total, self._tally)
        self._committed = time.monotonic()
        try:
            for outcome in executor.run(self._step.stage, items):
                if isinstance(outcome, Fault):
                    raise EnvironmentFaultError(outcome.detail)
                if item := pending.pop(outcome.key, None):
                    self._hold(item, outcome)
        except ExecutorLostError:
            pass
        finally:
            self.finish(self._held)

    def _hold(self, item: Item, outcome: Done | Failed) -> None:
        self._held.append((item, outcome))
        self._finished += self._step.weight(item)
        if isinstance(outcome, Done):
            whole = {self._step.name: outcome.cpu_seconds}
            self._tally.cpu_seconds.update(getattr(outcome.value, "cpu_seconds", whole))
        late = time.monotonic() - self._committed > _COMMIT_SECONDS
        if late or len(self._held) >= _COMMIT_ITEMS:
            self.finish(self._held)
        self._watch(self._finished, self._total, self._tally)

    def finish(self, results: Iterable[tuple[Any, Done | Failed]]) -> None:
        """Commits results."""
        listed = list(results)
        self._held = []
        if listed:
            self._tally.counts.update(self._ledger.commit(listed))
            self._committed = time.monotonic()
            self._watch(self._finished, self._total, self._tally)
