"""An invariant of an output, and the result of checking it.

Checks are made of whole columns; only what violates an invariant becomes words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.dataset import Dataset
from curation.id_match import Bools, id_hashes, mix64


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

    def expect_all(
        self,
        holds: Bools,
        columns: Mapping[str, Any],
        message: Callable[[dict[str, Any]], str],
    ) -> None:
        """Counts one check a row; `message` gets the columns of each row that fails."""
        self.checked += len(holds)
        failed = np.flatnonzero(~holds)
        if len(failed):
            rows = pa.table(dict(columns)).take(pa.array(failed))
            self.violations += map(message, rows.to_pylist())

    def expect_unique(self, subject: str, *key: pa.ChunkedArray) -> None:
        """Expects each value of a column, or of several together, once."""
        if are_unique(*key):
            self.checked += len(key[0])
            return
        names = [str(number) for number in range(len(key))]
        counts = pa.table(list(key), names).group_by(names, use_threads=False).aggregate(
            [([], "count_all")]
        )  # fmt: skip
        self.checked += len(counts)
        for row in counts.filter(pc.field("count_all") > 1).to_pylist():
            values = tuple(row[name] for name in names)
            value = values[0] if len(values) == 1 else values
            self.violations.append(f"{subject} {value} occurs {row['count_all']} times")


def are_unique(*key: pa.ChunkedArray) -> bool:
    """Whether no value occurs twice, as far as 64-bit hashes tell: False may be an accident."""
    hashes = np.zeros(len(key[0]), np.uint64)
    for column in key:
        if column.null_count:
            return False
        is_text = pa.types.is_string(column.type)
        words = id_hashes(column) if is_text else column.to_numpy().astype(np.uint64)
        hashes = mix64(hashes) ^ words
    hashes.sort()
    return not bool((hashes[1:] == hashes[:-1]).any())


@dataclass(frozen=True)
class Invariant:
    """A statement that is true of every intact output, and its check."""

    statement: str
    check: Callable[[Dataset, CheckResult], None]
