"""An invariant of an output, and the result of checking it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from curation.dataset import Dataset


@dataclass
class CheckResult:
    """How many rows and files were checked, and what violates the invariant."""

    statement: str
    checked: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing violates the invariant."""
        return not self.violations

    def expect(self, condition: bool, message: str) -> None:
        """Counts one check, and records the message if the condition is false."""
        self.checked += 1
        if not condition:
            self.violations.append(message)

    def expect_unique(self, values: Iterable[object], subject: str) -> None:
        """Expects each value once."""
        for value, count in Counter(values).items():
            self.expect(count == 1, f"{subject} {value} occurs {count} times")


@dataclass(frozen=True)
class Invariant:
    """A statement that is true of every intact output, and its check."""

    statement: str
    check: Callable[[Dataset, CheckResult], None]
