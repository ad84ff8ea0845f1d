"""One promise of an output, and what was found of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Promise:
    """One promise and what was found."""

    words: str
    checked: int = 0
    """How many things were looked at."""
    broken: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing broke it."""
        return not self.broken

    def expect(self, good: bool, words: str) -> None:
        """Counts one thing, and keeps the words if it is not as it should be."""
        self.checked += 1
        if not good:
            self.broken.append(words)

    def once(self, values: Iterable[object], what: str) -> None:
        """Expects each value once."""
        for value, count in Counter(values).items():
            self.expect(count == 1, f"{what} {value} is there {count} times")
