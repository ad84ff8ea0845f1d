"""Keeping to a budget: no more items are begun than what is left of it will pay for.

What an item costs is known only afterwards. So one is run first, then again as many as before, but
no more than what is left pays for at the mean price so far, until less is left than one costs. A
run that stops this way has committed all that it paid for, and goes on once the budget is raised.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from curation.caption.base import Budget, CaptionedBatch
from curation.stage import Done, Fault, Item, Outcome, Stage
from pipelines.run.executor import Executor


@dataclass(frozen=True)
class BudgetedExecutor:
    """Runs batches of captions on another executor until their budget is spent."""

    executor: Executor
    budget: Budget
    spent: tuple[int, int]
    """Requests and tokens of the runs before."""

    def run(self, stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
        """See `Executor`; ends with a `Fault` where items are left that nothing is left for."""
        requests, tokens = before = self.spent
        remaining = list(items)
        done = 0
        while remaining:
            price = (requests - before[0], tokens - before[1])
            count = min(max(1, done), self.budget.affordable((requests, tokens), price, done))
            if count < 1:
                yield Fault(remaining[0].key, self._message(requests, tokens))
                return
            group, remaining = remaining[:count], remaining[count:]
            for outcome in self.executor.run(stage, group):
                if isinstance(outcome, Done):
                    batch: CaptionedBatch = outcome.value
                    requests += sum(clip.requests for clip in batch.clips)
                    tokens += sum(clip.tokens_in + clip.tokens_out for clip in batch.clips)
                yield outcome
            done += len(group)

    def _message(self, requests: int, tokens: int) -> str:
        limits = [
            f"{name}_limit {limit:,}"
            for name, limit in (("request", self.budget.requests), ("token", self.budget.tokens))
            if limit is not None
        ]
        return (
            f"these captions have cost {requests:,} requests and {tokens:,} tokens, and what is"
            f" left of {' and '.join(limits)} does not pay for more; raise it to go on"
        )
