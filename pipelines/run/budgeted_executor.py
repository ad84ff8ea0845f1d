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
class Budgeted:
    """Runs batches of captions on another executor until their budget is spent."""

    executor: Executor
    budget: Budget
    spent: tuple[int, int]
    """Requests and tokens of the runs before."""

    def run(self, stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
        """See `Executor`; ends with a `Fault` where items are left that nothing is left for."""
        requests, tokens = before = self.spent
        left = list(items)
        done = 0
        while left:
            price = (requests - before[0], tokens - before[1])
            count = min(max(1, done), self.budget.pays_for((requests, tokens), price, done))
            if count < 1:
                yield Fault(left[0].key, self._words(requests, tokens))
                return
            group, left = left[:count], left[count:]
            for outcome in self.executor.run(stage, group):
                if isinstance(outcome, Done):
                    made: CaptionedBatch = outcome.value
                    requests += sum(clip.requests for clip in made.clips)
                    tokens += sum(clip.tokens_in + clip.tokens_out for clip in made.clips)
                yield outcome
            done += len(group)

    def _words(self, requests: int, tokens: int) -> str:
        limits = [
            f"{name}_limit {limit:,}"
            for name, limit in (("request", self.budget.requests), ("token", self.budget.tokens))
            if limit is not None
        ]
        return (
            f"these captions have cost {requests:,} requests and {tokens:,} tokens, and what is"
            f" left of {' and '.join(limits)} does not pay for more; raise it to go on"
        )
