"""How much of a codebook is used, and how evenly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokenizer.models.interface import Codes

Counts = npt.NDArray[np.int64]
"""How often each entry of a codebook came, [size]."""


def count_codes(codes: Codes, size: int) -> Counts:
    """How often each of `size` entries comes in codes of any shape."""
    return np.bincount(codes.reshape(-1), minlength=size).astype(np.int64)


@dataclass(frozen=True, slots=True)
class CodebookUse:
    """What a tokenizer does with its codebook on some clips."""

    codes: int
    """Codes counted."""
    size: int
    """Entries in the codebook."""
    share: float
    """Entries that came at least once, of all; `codes` / `size` at most, so count enough."""
    entropy_bits: float
    """Shannon entropy of the codes as they came, at most log2 of `size` and of `codes`: what an
    ideal coder that knows only how often each code comes would spend on one."""

    @classmethod
    def of(cls, counts: Counts) -> CodebookUse:
        """What counts [size], not all 0, say."""
        total = int(counts.sum())
        seen = counts[counts > 0] / total
        entropy = float(-(seen * np.log2(seen)).sum()) + 0.0
        return cls(total, len(counts), len(seen) / len(counts), entropy)
