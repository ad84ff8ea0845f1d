"""An executor with a budget: it starts no more items than the rest of the budget pays for.

The cost of an item is known only afterwards. So one is run first, then as many again as have been
run, but no more than the rest pays for at the mean cost so far, until it does not pay for one. A
run that stops this way has committed everything that it paid for, and resumes with a larger budget.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from curation.caption.base import Budget, CaptionedBatch
from curation.stage import Done, Fault, Outcome
from pipelines.run.executor import Executor, Feed, WorkerDied


@dataclass(frozen=True)
class BudgetedExecutor:
    """Runs batches of captions on another executor until their budget is spent."""

    executor: Executor
    budget: Budget
    spent: tuple[int, int]
    """Requests and tokens of earlier runs."""

    def run(self, feeds: Sequence[Feed]) -> Iterator[tuple[Feed, Outcome | WorkerDied]]:
        """Runs one feed; ends with a `Fault` where the budget does not pay for the other items."""
        (feed,) = feeds
        requests, tokens = self.spent
        group, done = Feed(feed.stage), 0
        while feed.fill(is_last=True):
            cost = (requests - self.spent[0], tokens - self.spent[1])
            count = min(max(1, done), self.budget.affordable((requests, tokens), cost, done))
            if count < 1:
                yield feed, Fault(feed.items[0].key, self._message(requests, tokens))
                return
            count = min(count, len(feed.items))
            group.items.extend(feed.items.popleft() for _ in range(count))
            for _, outcome in self.executor.run([group]):
                if isinstance(outcome, Done):
                    batch: CaptionedBatch = outcome.value
                    requests += sum(clip.requests for clip in batch.clips)
                    tokens += sum(clip.tokens_in + clip.tokens_out for clip in batch.clips)
                yield feed, outcome
            done += count

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
