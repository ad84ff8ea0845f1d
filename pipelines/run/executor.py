"""Executors: they run a stage over items, in this process or on Ray, with the same outcomes."""

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

_MAX_SMALL = 256
"""Items for which a Ray cluster, whose start takes seconds, is not worth its start."""


class ExecutorLostError(ReelmillError):
    """Workers died for good, and the stream of outcomes broke off.

    `in_flight`, one or more, is how many items may have been at work then: the first ones without
    an outcome. The deadly one is searched among them; the others go on together.
    """

    def __init__(self, message: str, in_flight: int) -> None:
        super().__init__(message, in_flight)
        self.in_flight = in_flight

    def __str__(self) -> str:
        return str(self.args[0])


class ClusterError(ReelmillError, ValueError):
    """The cluster cannot be joined, or cannot run the stage."""


class Executor(Protocol):
    """Runs a stage."""

    def run(self, stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
        """One outcome per item, as they come, in any order.

        Raises `ExecutorLostError` when workers died for good; some outcomes are then missing.
        """


@dataclass(frozen=True)
class InProcessExecutor:
    """One worker, in this process: for tests, debugging and the smallest jobs."""

    def run(self, stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
        """Runs the items in order."""
        limit_threads()
        work = set_up_stage(stage)
        for item in items:
            yield attempt(work, item)


@dataclass
class LazyExecutor:
    """An executor that starts when it first runs a stage."""

    start: Callable[[], Executor]
    _executor: Executor | None = None

    def run(self, stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
        """See `Executor`."""
        if self._executor is None:
            self._executor = self.start()
        return self._executor.run(stage, items)


@dataclass
class SizedExecutor:
    """Runs few items, if they need no GPU, on one executor, and others on another.

    Once the other has started it runs everything, so that what is left of many items stays there.
    """

    small: Executor
    large: Executor
    _is_large: bool = False

    def run(self, stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
        """See `Executor`."""
        self._is_large |= len(items) > _MAX_SMALL or stage.resources.gpus > 0
        return (self.large if self._is_large else self.small).run(stage, items)


def set_up_stage(stage: Stage, check: Callable[[], None] | None = None) -> Callable[[Any], Any]:
    """The stage's work; if it cannot be set up, work that raises `InfrastructureError`.

    `check` is called first, and raises where the stage should not be set up.
    """
    try:
        if check is not None:
            check()
        return stage.setup()
    except Exception as error:
        message = f"{type(stage).__name__} cannot be set up: {type(error).__name__}: {error}"

        def fail(item: Any) -> Any:
            raise InfrastructureError(message)

        return fail


def limit_threads() -> None:
    """One thread per worker for numeric libraries: results then do not depend on the machine."""
    os.environ["OMP_NUM_THREADS"] = "1"
    threadpool_limits(1)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
