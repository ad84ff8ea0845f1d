"""A step of the pipeline, apart from where it runs: what is to do, by which stage, and committing.

What is to do is always an anti-join: what the step's input has and its output lacks. So resuming
after a crash, running again after more input came, and running twice are one and the same thing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from curation.stage import Done, Failed, Item, Stage


class Ledger(Protocol):
    """Commits outcomes while its step holds the tables."""

    def commit(self, results: Sequence[tuple[Any, Done | Failed]]) -> Counter[str]:
        """Commits items and their outcomes; returns how many of each kind.

        `Failed` becomes a row with its reason.
        """


class Step(Protocol):
    """One step."""

    @property
    def name(self) -> str:
        """`scan`, `render` or `tokenize`."""

    @property
    def stage(self) -> Stage:
        """The work on one item."""

    @property
    def result(self) -> str:
        """The table that announces results."""

    def todo(self) -> Sequence[Item]:
        """What is to do, in a fixed order."""

    def split(self, item: Any) -> Sequence[Item]:
        """The item in its smallest parts, to find the one that kills workers."""

    def weight(self, item: Any) -> int:
        """How many things a user would count in the item."""

    def ledger(self) -> AbstractContextManager[Ledger]:
        """Takes the tables, and drops what a run that was cut short left behind."""
