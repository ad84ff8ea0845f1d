"""The hits of one question in order, as deep as they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from curation.search.cursor import Cursor
from curation.search.fusion import fused
from curation.search.mask import Bools, Ints
from curation.search.query import Question
from curation.search.segment import Floats
from curation.search.vector_index import Near

_POOL = 1000
"""Of each list so many hits are fused; more where more are asked for."""

Ranked = Callable[[int], Near]
"""The best so many hits."""


def together(question: Question, parts: list[Ranked]) -> Ranked:
    """The lists as one; a single one as it is."""
    if len(parts) == 1:
        return parts[0]
    pool = max(_POOL, 2 * question.k)

    def best(depth: int) -> Near:
        found = fused([part(pool) for part in parts])
        return Near(found.rows[:depth], found.scores[:depth])

    return best


@dataclass(frozen=True)
class Page:
    """Some hits in order."""

    rows: Ints
    scores: Floats
    is_last: bool
    """Whether no others follow."""


def page(
    ranked: Ranked,
    question: Question,
    groups: Ints | None,
    after: Cursor | None,
    left_out: list[int],
) -> Page:
    """The next `k` hits after a cursor; of each group the first only.

    `groups` holds for each row the row that stands for it; None collapses nothing.
    """
    k = question.k
    depth = (after.count if after else 0) + k + 1 + len(left_out)
    while True:
        near = ranked(depth)
        is_all = len(near.rows) < depth
        if question.min_score is not None and len(near.rows):
            good = near.scores >= question.min_score
            is_all |= not good.all()
            near = Near(near.rows[good], near.scores[good])
        chosen = _chosen(near, groups, after, left_out)
        if is_all or len(chosen) > k:
            return Page(near.rows[chosen[:k]], near.scores[chosen[:k]], len(chosen) <= k)
        depth *= 2


def _chosen(near: Near, groups: Ints | None, after: Cursor | None, left_out: list[int]) -> Ints:
    """Places of the hits to show."""
    wanted = ~np.isin(near.rows, left_out)
    before = _before(near, after)
    if groups is None:
        return np.flatnonzero(wanted & ~before)
    own = groups[near.rows]
    first = np.zeros(len(own), bool)
    places = np.flatnonzero(wanted)
    first[places[np.unique(own[places], return_index=True)[1]]] = True
    return np.flatnonzero(first & ~before)


def _before(near: Near, after: Cursor | None) -> Bools:
    """Which hits earlier pages had, or passed over."""
    if after is None:
        return np.zeros(len(near.rows), bool)
    if after.score is None:
        return np.asarray(near.rows <= after.row, bool)
    shown = np.isin(near.rows, after.shown)
    if not after.is_fused:
        shown |= near.scores > np.float32(after.score)
    return np.asarray(shown, bool)
