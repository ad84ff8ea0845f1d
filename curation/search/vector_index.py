"""The vectors of one table: which are nearest to a query, among all or among those allowed.

Up to 50,000 vectors are compared one by one. More lie in inverted lists of 8-bit codes (Jégou,
Douze and Schmid 2011; faiss `IVF,SQ8`): a query probes the lists whose centres are nearest, and
the best few by code are compared again by their 16-bit floats. All segments share the centres, so a
query picks its lists once.

A filter changes the plan. If it leaves few vectors, those are compared one by one. If it leaves
more, lists are probed in the order of their centres, those without an allowed vector left out,
until twice as many *allowed* vectors were compared as by an unfiltered query; then as many again,
until that changes nothing. So neither a rare filter nor one that leaves nothing near the query
costs recall.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from curation.search.manifest import File, VectorTable
from curation.search.mask import Ints, Mask
from curation.search.segment import Floats, Segment

_EXACT_SHARE = 0.1
"""A filter that leaves less than this is scanned."""
_UNFILTERED_SHARE = 0.98
"""One that leaves more hardly filters."""
_TUNED_HITS = 32
"""The tuned number of lists suffices for so many hits; for more it is determined by widening."""
_WIDENING = 2
"""Widening starts with so many times the vectors that an unfiltered query compares."""
_CHANGED_SHARE = 0.01
"""Widening ends when less than this share of the hits changes."""


@dataclass(frozen=True)
class Hits:
    """Rows and their scores, best first."""

    rows: Ints
    scores: Floats
    """Of vectors cosines, −1 to 1."""


Candidates = list[tuple[Segment, Ints]]
"""By segment the positions of vectors that may be hits."""


class VectorIndex:
    """The vectors of one table, opened."""

    def __init__(self, table: VectorTable, path: Callable[[File], str]) -> None:
        self.table = table
        """The manifest's entry."""
        self.segments = [Segment(segment, path) for segment in table.segments]
        self._ivf_segments = [segment for segment in self.segments if segment.ivf is not None]
        self._flat_segments = [segment for segment in self.segments if segment.ivf is None]
        self._centres: Any = None
        self.probes = table.tuning.probes if table.tuning else 0
        """How many lists an unfiltered query probes."""

    def search(
        self, query: Floats, k: int, mask: Mask | None = None, *, out_of_distribution: bool = False
    ) -> Hits:
        """The `k` nearest, or all that are allowed if those are fewer.

        `query` is float32 [dim] of unit length; `out_of_distribution` says that it may be far from
        all stored vectors, as that of words among those of pictures, so that more lists are probed.
        """
        query = np.ascontiguousarray(query, np.float32)
        faiss.omp_set_num_threads(1)  # for one query, threads cost more than they give
        allowed = self.table.count
        if mask is not None:
            allowed = sum(segment.mask(mask).count for segment in self.segments)
        share = allowed / max(1, self.table.count)
        if not self._ivf_segments or share < _EXACT_SHARE or k * _TUNED_HITS > allowed:
            return self._best(query, k, self._scan(self.segments, query, k, mask))
        flat = self._scan(self._flat_segments, query, k, mask)
        if share > _UNFILTERED_SHARE and k <= _TUNED_HITS and not out_of_distribution:
            hits = self._search_tuned(query, k, mask, flat)
            if len(hits.rows) == k:
                return hits
        return self._search_widening(query, k, mask, flat)

    def vector(self, row: int) -> Floats | None:
        """The stored vector of a row, float32 [dim]; None if it has none."""
        for segment in self.segments:
            positions = segment.positions_of(np.array([row]))
            if len(positions):
                return np.asarray(segment.fp16[positions[0]], np.float32)
        return None

    @property
    def centres(self) -> Floats:
        """Centres of the lists, float32 [lists, dim]."""
        if self._centres is None:
            quantizer = self._ivf_segments[0].ivf.quantizer
            self._centres = quantizer.reconstruct_n(0, quantizer.ntotal)
        return np.asarray(self._centres, np.float32)

    def _scan(
        self, segments: Sequence[Segment], query: Floats, k: int, mask: Mask | None
    ) -> Candidates:
        return [(s, s.scan(query, k, None if mask is None else s.mask(mask))) for s in segments]

    def _search_tuned(self, query: Floats, k: int, mask: Mask | None, flat: Candidates) -> Hits:
        """The nearest in the tuned number of lists, and of the vectors that are in none."""
        if mask is None and len(self._ivf_segments) == 1:
            segment = self._ivf_segments[0]
            positions, scores = segment.nearest(query, _num_candidates(k), self.probes)
            hits = _top(segment.rows_of(positions), scores, k)
            return _merge(hits, self._best(query, k, flat), k) if flat else hits
        closeness, lists = self._ivf_segments[0].ivf.quantizer.search(query[None], self.probes)
        probed = self._probe(query, k, mask, lists[0], closeness[0])
        return self._best(query, k, [*flat, *probed])

    def _search_widening(self, query: Floats, k: int, mask: Mask | None, flat: Candidates) -> Hits:
        """Probes ever more lists until that changes hardly a hit."""
        closeness = np.empty(len(self.centres), np.float32)
        pointers = [faiss.swig_ptr(array) for array in (closeness, query, self.centres)]
        faiss.fvec_inner_products_ny(  # type: ignore[attr-defined]
            *pointers, len(query), len(closeness)
        )
        allowed = np.asarray(
            np.sum([s.list_sizes if mask is None else s.mask(mask).list_sizes
                    for s in self._ivf_segments], axis=0), np.int64,
        )  # fmt: skip
        order = np.argsort(-closeness, kind="stable")
        order = order[allowed[order] > 0]
        cumulative = np.cumsum(allowed[order])
        volume = max(_WIDENING * self.probes * self.table.count / len(allowed), 2.0 * k)
        probed, hits = 0, self._best(query, k, flat)
        while probed < len(order):
            end = max(probed, int(np.searchsorted(cumulative, volume))) + 1
            lists = order[probed:end]
            candidates = self._probe(query, k, mask, lists, closeness[lists])
            previous, hits = hits, _merge(hits, self._best(query, k, candidates), k)
            unchanged = len(np.intersect1d(previous.rows, hits.rows, assume_unique=True))
            if probed and len(hits.rows) == k and k - unchanged <= k * _CHANGED_SHARE:
                break
            probed, volume = end, volume * 2
        return hits

    def _probe(
        self, query: Floats, k: int, mask: Mask | None, lists: Ints, closeness: Floats
    ) -> Candidates:
        count = _num_candidates(k)
        return [
            (s, s.probe(query, count, lists, closeness, None if mask is None else s.mask(mask)))
            for s in self._ivf_segments
        ]

    def _best(self, query: Floats, k: int, candidates: Candidates) -> Hits:
        """The best `k` of some vectors by their exact scores."""
        rows = [segment.rows_of(positions) for segment, positions in candidates]
        scores = [segment.scores(query, positions) for segment, positions in candidates]
        empty = np.empty(0, np.int64), np.empty(0, np.float32)
        return _top(np.concatenate([empty[0], *rows]), np.concatenate([empty[1], *scores]), k)


def _num_candidates(k: int) -> int:
    """How many are taken by their codes, so that the best `k` by their floats are among them."""
    return 2 * k + 8


def _merge(one: Hits, other: Hits, k: int) -> Hits:
    rows = np.concatenate([one.rows, other.rows])
    return _top(rows, np.concatenate([one.scores, other.scores]), k)


def _top(rows: Ints, scores: Floats, k: int) -> Hits:
    """The best `k`, equal scores by row."""
    order = np.lexsort((rows, -scores))[:k]
    return Hits(rows[order], scores[order])
