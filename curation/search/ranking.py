"""The hits of one query in order, as deep as they are paged.

Several lists are merged by reciprocal rank fusion (Cormack, Clarke and Büttcher 2009): a hit's
score is the sum over the lists of 1 / (60 + its rank), ranks counted from 1. What two lists agree
on comes first; cosines and BM25, which cannot be compared, are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from curation.search.mask import Bools, Ints
from curation.search.query import Cursor, Query
from curation.search.segment import Floats
from curation.search.vector_index import Hits

_DAMPING = 60
_POOL = 1000
"""Hits of each list that are fused; more where more are needed."""

TopHits = Callable[[int], Hits]
"""Returns the best so many hits."""


def fuse(rankings: Sequence[Hits]) -> Hits:
    """All hits of the lists, best first; equal scores by row."""
    rows = np.concatenate([hits.rows for hits in rankings])
    shares = np.concatenate([1 / (_DAMPING + 1 + np.arange(len(hits.rows))) for hits in rankings])
    distinct, inverse = np.unique(rows, return_inverse=True)
    scores = np.bincount(inverse, shares, len(distinct)).astype(np.float32)
    order = np.lexsort((distinct, -scores))
    return Hits(distinct[order], scores[order])


def fused_ranking(query: Query, rankings: list[TopHits]) -> TopHits:
    """The rankings as one; a single one as it is."""
    if len(rankings) == 1:
        return rankings[0]
    pool = max(_POOL, 2 * query.k)

    def top(depth: int) -> Hits:
        hits = fuse([ranking(pool) for ranking in rankings])
        return Hits(hits.rows[:depth], hits.scores[:depth])

    return top


@dataclass(frozen=True)
class Page:
    """Some hits in order."""

    rows: Ints
    scores: Floats
    is_last: bool
    """Whether no others follow."""


def next_page(
    ranking: TopHits,
    query: Query,
    groups: Ints | None,
    after: Cursor | None,
    excluded: list[int],
) -> Page:
    """The next `k` hits after a cursor; of each group the first only.

    `groups` holds for each row the row that represents it; None collapses nothing. `excluded` rows
    are no hits.
    """
    k = query.k
    depth = (after.count if after else 0) + k + 1 + len(excluded)
    while True:
        hits = ranking(depth)
        is_exhausted = len(hits.rows) < depth
        if query.min_score is not None and len(hits.rows):
            is_good = hits.scores >= query.min_score
            is_exhausted |= not is_good.all()
            hits = Hits(hits.rows[is_good], hits.scores[is_good])
        index = _page_index(hits, groups, after, excluded)
        if is_exhausted or len(index) > k:
            return Page(hits.rows[index[:k]], hits.scores[index[:k]], len(index) <= k)
        depth *= 2


def _page_index(hits: Hits, groups: Ints | None, after: Cursor | None, excluded: list[int]) -> Ints:
    """Positions of the hits that come after the cursor."""
    candidates = ~np.isin(hits.rows, excluded)
    shown = _shown_before(hits, after)
    if groups is None:
        return np.flatnonzero(candidates & ~shown)
    hit_groups = groups[hits.rows]
    is_first = np.zeros(len(hit_groups), bool)
    positions = np.flatnonzero(candidates)
    is_first[positions[np.unique(hit_groups[positions], return_index=True)[1]]] = True
    return np.flatnonzero(is_first & ~shown)


def _shown_before(hits: Hits, after: Cursor | None) -> Bools:
    """Which hits earlier pages had, or passed over."""
    if after is None:
        return np.zeros(len(hits.rows), bool)
    if after.score is None:
        return np.asarray(hits.rows <= after.row, bool)
    shown = np.isin(hits.rows, after.shown)
    if not after.is_fused:
        shown |= hits.scores > np.float32(after.score)
    return np.asarray(shown, bool)
