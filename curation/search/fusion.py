"""Several ranked lists as one: reciprocal rank fusion (Cormack, Clarke and Büttcher 2009).

A hit's score is the sum over the lists of 1 / (60 + its rank), ranks counted from 1. What two lists
agree on comes first; cosines and BM25, which cannot be compared, are not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curation.search.vector_index import Near

_DAMPING = 60


def fused(lists: Sequence[Near]) -> Near:
    """All hits of the lists, best first; equal scores by row."""
    rows = np.concatenate([each.rows for each in lists])
    shares = np.concatenate([1 / (_DAMPING + 1 + np.arange(len(each.rows))) for each in lists])
    found, at = np.unique(rows, return_inverse=True)
    scores = np.bincount(at, shares, len(found)).astype(np.float32)
    order = np.lexsort((found, -scores))
    return Near(found[order], scores[order])
