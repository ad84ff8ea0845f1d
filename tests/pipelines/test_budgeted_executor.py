"""A budget is kept: what it pays for is done, and nothing is started that it does not pay for."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from curation.caption.base import Budget, CaptionedBatch
from curation.records import CaptionedClip
from curation.stage import Done, Fault, Resources
from pipelines.run.budgeted_executor import BudgetedExecutor
from pipelines.run.engine import in_process
from pipelines.run.executor import Feed


@dataclass(frozen=True)
class Priced:
    """An item and what it costs."""

    key: str
    requests: int


@dataclass(frozen=True)
class Pay:
    """Spends ten tokens a request."""

    version: ClassVar[int] = 1
    resources: ClassVar[Resources] = Resources()

    def setup(self):
        return lambda item: CaptionedBatch([
            CaptionedClip(item.key, "s", "captioned", requests=item.requests,
                          tokens_in=8 * item.requests, tokens_out=2 * item.requests)
        ])  # fmt: skip


def run(budget: Budget, prices: list[int], spent=(0, 0)) -> tuple[int, str]:
    """How many were done, and the message about the others."""
    items = [Priced(str(number), price) for number, price in enumerate(prices)]
    executor = BudgetedExecutor(in_process(), budget, spent)
    outcomes = [outcome for _, outcome in executor.run([Feed.of(Pay(), items)])]
    done = [outcome for outcome in outcomes if isinstance(outcome, Done)]
    assert [outcome.key for outcome in done] == [item.key for item in items[: len(done)]]
    faults = outcomes[len(done) :]
    assert len(faults) == (len(done) < len(items))
    assert all(isinstance(fault, Fault) for fault in faults)
    return len(done), "".join(fault.detail for fault in faults)


@pytest.mark.parametrize(
    ("budget", "spent", "done"),
    [
        (Budget(requests=20), (0, 0), 10), (Budget(requests=7), (0, 0), 3),
        (Budget(requests=7), (4, 0), 1), (Budget(requests=7), (7, 0), 0),
        (Budget(requests=7), (9, 0), 0), (Budget(tokens=85), (0, 0), 4),
        (Budget(requests=6, tokens=100), (0, 0), 3), (Budget(requests=60, tokens=100), (0, 0), 5),
        (Budget(), (999, 999), 10),
    ],
)  # fmt: skip
def test_as_many_are_done_as_are_paid_for(budget, spent, done):
    assert run(budget, [2] * 10, spent)[0] == done


def test_uneven_prices_overdraw_by_no_more_than_they_differ():
    assert run(Budget(requests=10), [1, 3, 2, 2, 2, 2, 2])[0] == 5
    assert run(Budget(requests=9), [1, 3, 2, 4, 2, 2, 2])[0] == 4


def test_free_items_are_always_done():
    assert run(Budget(requests=1), [0] * 5)[0] == 5


def test_the_fault_says_what_was_spent_and_what_to_raise():
    _, message = run(Budget(requests=4, tokens=9000), [2] * 5)
    assert message == (
        "these captions have cost 4 requests and 40 tokens, and what is left of request_limit 4 and"
        " token_limit 9,000 does not pay for more; raise it to resume"
    )


def test_a_budget_holds_where_items_come_in_slices():
    executor = BudgetedExecutor(in_process(), Budget(requests=10), (2, 20))
    slices = [[Priced(f"{number}.{n}", 1) for n in range(5)] for number in range(4)]
    feed = Feed(Pay(), refill=lambda is_last: feed.items.extend(slices.pop(0) if slices else ()))
    outcomes = [outcome for _, outcome in executor.run([feed])]
    assert [type(outcome) for outcome in outcomes] == [Done] * 8 + [Fault]
