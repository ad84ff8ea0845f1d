"""Drives one step to its end: run, commit as results come, find what is missing, account for all.

Attempts are at least once, commits exactly once. When workers die for good, the items that may have
been at work are halved, and so are the halves that break again: of n suspects the one that kills is
found in about log2(n) rounds of two streams. What kills its worker alone is taken apart, if it has
parts; the smallest part that still kills fails by name. Two that kill with nothing ever finished
mean that no worker can live, and the run stops.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from curation.errors import InfrastructureError
from curation.stage import Away, Done, Failed, Fault, Item
from curation.step import Ledger, Step
from pipelines.run.executor import Executor, ExecutorLostError

_COMMIT_ITEMS = 256
_COMMIT_SECONDS = 15.0
AWAY = "out_of_reach"
_LOST = "its worker died each time it was tried alone"


@dataclass
class Tally:
    """What a step did."""

    counts: Counter[str] = field(default_factory=Counter)
    """Items by outcome: the good one's name, a reason, or `out_of_reach`, which decides nothing."""
    cpu_seconds: Counter[str] = field(default_factory=Counter)
    """CPU seconds by part of the work."""
    unreachable: list[str] = field(default_factory=list)
    """What was out of reach, in words, an item each."""

    @property
    def done(self) -> int:
        """Items accounted for."""
        return sum(self.counts.values())


Watch = Callable[[int, int, Tally], None]
"""Told of progress: items finished, items in all, and what came of them so far."""


def drive(
    step: Step,
    executor: Executor,
    tally: Tally,
    watch: Watch = lambda *_: None,
    *,
    give_up: bool = False,
) -> None:
    """Does all that the step has to do, and keeps the tally.

    With `give_up` an item that is out of reach fails as `missing` and is not left for another run.
    Raises `EnvironmentFaultError` if the surroundings fail; what was committed until then stands.
    """
    with step.ledger() as ledger:
        items = list(step.todo())
        run = _Run(step, ledger, tally, items, watch, give_up=give_up)
        apart = run.apart
        for item in run.through(executor, items):
            if not run.take_apart(item):
                run.condemn(item)
        for part in run.through(executor, apart):
            run.condemn(part)


class _Run:
    def __init__(
        self,
        step: Step,
        ledger: Ledger,
        tally: Tally,
        items: Sequence[Item],
        watch: Watch,
        *,
        give_up: bool,
    ) -> None:
        self.apart: list[Item] = []
        """Parts of items that are to be tried alone."""
        self._give_up = give_up
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

    def through(self, executor: Executor, items: Sequence[Item]) -> list[Item]:
        """Runs items until each has an outcome, but for those returned: they kill, each alone."""
        deadly: list[Item] = []
        groups = deque([list(items)])
        while groups:
            if not (group := groups.pop()):
                continue
            in_flight = self._collect(executor, group)
            left = [item for item in group if item.key in self._pending]
            if left and len(group) == 1:
                deadly += left
                if len(deadly) > 1 and not self._finished:
                    raise InfrastructureError("every worker died, whatever it worked on")
            elif not self._finished:  # is any worker able to live? two far apart tell
                groups += [left[1:-1], left[-1:], left[:1]]
            else:
                half = (min(in_flight, len(left)) + 1) // 2
                groups.extendleft([left[:half], left[half:in_flight]])
                groups.append(left[in_flight:])
        return deadly

    def take_apart(self, item: Item) -> bool:
        """Puts its parts in the place of an item, to be tried alone; False if it has none."""
        parts = self._step.split(item)
        if len(parts) <= 1:
            return False
        self._pending.pop(item.key, None)
        self._pending |= {part.key: part for part in parts}
        self._total += sum(map(self._step.weight, parts)) - self._step.weight(item)
        self.apart += parts
        return True

    def condemn(self, item: Item) -> None:
        """Fails an item that kills its worker."""
        del self._pending[item.key]
        self._hold(item, Failed(item.key, "internal", _LOST))
        self._commit()

    def _collect(self, executor: Executor, items: Sequence[Item]) -> int:
        """Runs items and commits in batches.

        Returns how many of the first unfinished items may have been at work when workers died for
        good; all, if the stream ended without them.
        """
        self._committed = time.monotonic()
        try:
            for outcome in executor.run(self._step.stage, items):
                if isinstance(outcome, Fault):
                    raise InfrastructureError(outcome.detail)
                if item := self._pending.pop(outcome.key, None):
                    self._hold(item, outcome)
        except ExecutorLostError as error:
            return error.in_flight
        finally:
            self._commit()
        return len(items)

    def _hold(self, item: Item, outcome: Done | Failed | Away) -> None:
        if isinstance(outcome, Away) and self._give_up:
            if self.take_apart(item):
                return
            outcome = Failed(item.key, "missing", outcome.detail)
        weight = self._step.weight(item)
        self._finished += weight
        if isinstance(outcome, Away):
            self._tally.counts[AWAY] += weight
            self._tally.unreachable.append(outcome.detail)
        else:
            self._held.append((item, outcome))
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
