"""Running a stage over items: in this process, or on Ray. Both give the same outcomes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np  # noqa: F401  loaded first, so that its threads can be limited
from threadpoolctl import threadpool_limits

from curation.errors import InfrastructureError, ReelmillError
from curation.stage import Item, Outcome, Stage, attempt


class ExecutorLostError(ReelmillError):
    """Workers died for good and the stream of outcomes broke off.

    `in_flight`, one or more, is how many items may have been at work then: the first of those
    without an outcome. The one that kills is looked for among them; the others go on together.
    """

    def __init__(self, words: str, in_flight: int) -> None:
        super().__init__(words)
        self.in_flight = in_flight


class ClusterError(ReelmillError, ValueError):
    """The cluster cannot be joined, or cannot run what was asked for."""


class Executor(Protocol):
    """Runs a stage."""

    def run(self, stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
        """One outcome an item, as they come, in any order.

        Raises `ExecutorLostError` when workers died for good; some outcomes are missing then.
        """


@dataclass(frozen=True)
class InProcessExecutor:
    """One worker, here: for tests, debugging and the smallest jobs."""

    def run(self, stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
        """Runs the items in order."""
        limit_threads()
        work = set_up_stage(stage)
        for item in items:
            yield attempt(work, item)


@dataclass
class LazyExecutor:
    """An executor that is started when it first runs a stage."""

    start: Callable[[], Executor]
    _executor: Executor | None = None

    def run(self, stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
        """See `Executor`."""
        if self._executor is None:
            self._executor = self.start()
        return self._executor.run(stage, items)


def set_up_stage(stage: Stage, check: Callable[[], None] | None = None) -> Callable[[Any], Any]:
    """The stage's work; if it cannot be set up, work that says so of the surroundings.

    `check` is called first, and raises where the stage should not even be set up.
    """
    try:
        if check is not None:
            check()
        return stage.setup()
    except Exception as error:
        words = f"{type(stage).__name__} cannot be set up: {type(error).__name__}: {error}"

        def refuse(item: Any) -> Any:
            raise InfrastructureError(words)

        return refuse


def limit_threads() -> None:
    """Numeric libraries take one thread a worker: results then do not depend on the machine."""
    os.environ["OMP_NUM_THREADS"] = "1"
    threadpool_limits(1)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
