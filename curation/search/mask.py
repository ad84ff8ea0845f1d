"""Which rows of an index are allowed, as one bool for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Mask:
    """One bool for each row."""

    allowed: Bools
    cache: dict[Any, Any] = field(default_factory=dict)
    """What is derived from the mask, so that the next query need not."""

    @cached_property
    def count(self) -> int:
        """How many rows are allowed."""
        return int(np.count_nonzero(self.allowed))

    @cached_property
    def rows(self) -> Ints:
        """The allowed rows."""
        return np.flatnonzero(self.allowed)

    def __and__(self, other: Mask | None) -> Mask:
        """Rows that both allow."""
        return self if other is None else Mask(self.allowed & other.allowed)
