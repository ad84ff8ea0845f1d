"""Drives one step to its end: run, commit as results come, find what is missing, account for all.

Attempts are at least once, commits exactly once. What an executor loses with its workers is tried
again alone, in its smallest parts; what kills its worker alone fails by name.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
        items = list(step.todo())
        run = _Run(step, ledger, tally, items, watch)
        suspects: list[Item] = []
        while items:
            in_flight = run.collect(executor, items)
            left = run.unfinished(items)
            suspects += left[:in_flight]
            items = left[in_flight:]
        run.alone(executor, [part for item in suspects for part in step.split(item)])


class _Run:
    def __init__(
        self, step: Step, ledger: Ledger, tally: Tally, items: Sequence[Item], watch: Watch
    ) -> None:
        self._step = step
        self._ledger = ledger
        self._tally = tally
        self._pending = {item.key: item for item in items}
        self._total = sum(map(step.weight, items))
        self._watch = watch
        self._finished = 0
        self._held: list[tuple[Item, Done | Failed]] = []
        self._committed = time.monotonic()
        watch(0, self._total, tally)

    def unfinished(self, items: Sequence[Item]) -> list[Item]:
        """Those of the items that have no outcome yet."""
        return [item for item in items if item.key in self._pending]

    def collect(self, executor: Executor, items: Sequence[Item]) -> int:
        """Runs items and commits in batches.

        Returns how many of the first unfinished items may have been at work when workers died for
        good; all, if the stream ended without them.
        """
        self._committed = time.monotonic()
        try:
            for outcome in executor.run(self._step.stage, items):
                if isinstance(outcome, Fault):
                    raise EnvironmentFaultError(outcome.detail)
                if item := self._pending.pop(outcome.key, None):
                    self._hold(item, outcome)
        except ExecutorLostError as error:
            return error.in_flight
        finally:
            self._commit()
        return len(items)

    def alone(self, executor: Executor, items: Sequence[Item]) -> None:
        """Runs items each by itself; what kills its worker again has failed.

        Unless nothing at all has come through and several items kill their workers: then the
        workers are at fault.
        """
        deadly = []
        for item in items:
            self._pending[item.key] = item
            self.collect(executor, [item])
            deadly += self.unfinished([item])
        if len(deadly) > 1 and not self._finished:
            raise EnvironmentFaultError("every worker died, whatever it worked on")
        for item in deadly:
            del self._pending[item.key]
            self._hold(item, Failed(item.key, "internal", _LOST))
        self._commit()

    def _hold(self, item: Item, outcome: Done | Failed) -> None:
        self._held.append((item, outcome))
        self._finished += self._step.weight(item)
        if isinstance(outcome, Done):
            whole = {self._step.name: outcome.cpu_seconds}
            self._tally.cpu_seconds.update(getattr(outcome.value, "cpu_seconds", whole))
        late = time.monotonic() - self._committed > _COMMIT_SECONDS
        if late or len(self._held) >= _COMMIT_ITEMS:
            self._commit()
        self._watch(self._finished, self._total, self._tally)

    def _commit(self) -> None:
        results, self._held = self._held, []
        if results:
            self._tally.counts.update(self._ledger.commit(results))
            self._committed = time.monotonic()
            self._watch(self._finished, self._total, self._tally)
