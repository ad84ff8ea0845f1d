"""All pairs of vectors above a similarity floor: exact, or through inverted lists where many.

Up to 2.5 · 10⁹ comparisons (50,000 clips at once, or 2,500 new ones beside a million) every vector
is compared with every other, and so it is on a GPU that has room for all of them. Otherwise
`curation.dedup.ivf_pairs` compares each with its neighbourhood alone, as far out as a sample of
exact searches shows to be needed. Either way a found pair's similarity is computed again on its
own, in float64, so that it does not depend on what else was searched for in the same run.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from curation.dedup.exact_pairs import by_torch, exact_hits
from curation.dedup.ivf_pairs import listed_hits
from curation.dedup.pairs import Hits, Pairs, Vectors, gathered, measured

EXACT_UP_TO = 2_500_000_000
"""Most comparisons that an exact search makes on processors."""
_BESIDE = 1 << 30
"""Bytes of a GPU's memory that vectors leave free."""


def similar_pairs(
    vectors: Vectors, floor: float, new: npt.NDArray[np.bool_] | None = None
) -> Pairs:
    """Pairs of unit vectors [n, dim] that are at least `floor` similar and of which one is new.

    Without `new`, all are. A zero vector is in no pair; `floor` has to be above 0.
    """
    return gathered(pair_batches(vectors, floor, new))


def pair_batches(
    vectors: Vectors, floor: float, new: npt.NDArray[np.bool_] | None = None
) -> Iterator[Pairs]:
    """The same pairs, about a million at a time, in any order."""
    fresh = np.ones(len(vectors), bool) if new is None else new
    yield from measured(_hits(vectors, floor, fresh), vectors, floor)


def _hits(vectors: Vectors, floor: float, new: npt.NDArray[np.bool_]) -> Iterator[Hits]:
    if int(new.sum()) * len(vectors) <= EXACT_UP_TO:
        return exact_hits(vectors, floor, new)
    if (device := _device(vectors)) is not None:
        return exact_hits(vectors, floor, new, by_torch(vectors, floor, device))
    return listed_hits(vectors, floor, new)


def _device(vectors: Vectors) -> str | None:
    """The GPU that can hold all vectors, if there is one."""
    import torch

    if not torch.cuda.is_available():
        return None
    free, _ = torch.cuda.mem_get_info()
    return "cuda" if vectors.nbytes + _BESIDE <= free else None
