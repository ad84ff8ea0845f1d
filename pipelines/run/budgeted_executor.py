"""An executor with a budget: it starts no more items than the rest of the budget pays for.

The cost of an item is known only afterwards. So one is run first, then as many again as have been
run, but no more than the rest pays for at the mean cost so far, until it does not pay for one. A
run that stops this way has committed everything that it paid for, and resumes with a larger budget.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from curation.caption.base import Budget, CaptionedBatch
from curation.stage import Done, Fault, Item, Outcome, Stage
from pipelines.run.executor import Executor


@dataclass
class BudgetedExecutor:
    """Runs batches of captions on another executor until their budget is spent."""

    executor: Executor
    budget: Budget
    spent: tuple[int, int]
    """Requests and tokens of earlier runs."""
    _cost: tuple[int, int] = (0, 0)
    """The same of this run."""
    _done: int = 0

    def run(self, stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
        """See `Executor`; ends with a `Fault` where the budget does not pay for the other items."""
        remaining = items
        while remaining:
            spent = self.spent[0] + self._cost[0], self.spent[1] + self._cost[1]
            count = min(max(1, self._done), self.budget.affordable(spent, self._cost, self._done))
            if count < 1:
                yield Fault(remaining[0].key, self._message(*spent))
                return
            group, remaining = remaining[:count], remaining[count:]
            for outcome in self.executor.run(stage, group):
                if isinstance(outcome, Done):
                    self._add(outcome.value)
                yield outcome
            self._done += len(group)

    def _add(self, batch: CaptionedBatch) -> None:
        requests, tokens = self._cost
        requests += sum(clip.requests for clip in batch.clips)
        tokens += sum(clip.tokens_in + clip.tokens_out for clip in batch.clips)
        self._cost = requests, tokens

    def _message(self, requests: int, tokens: int) -> str:
        limits = [
            f"{name}_limit {limit:,}"
            for name, limit in (("request", self.budget.requests), ("token", self.budget.tokens))
            if limit is not None
        ]
        return (
            f"these captions have cost {requests:,} requests and {tokens:,} tokens, and what is"
            f" left of {' and '.join(limits)} does not pay for more; raise it to resume"
        )
