"""The vectors of one table: which are nearest to a query, among all or among those allowed.

Up to 50,000 vectors are compared one by one. More lie in inverted lists of 8-bit codes (Jégou,
Douze and Schmid 2011; faiss `IVF,SQ8`): a query looks into the lists whose centres are nearest, and
the best few by code are compared again by their 16-bit floats. All segments share the centres, so a
query picks its lists once.

A filter changes the plan. If it leaves few vectors, those are compared one by one. If it leaves
more, lists are taken in the order of their centres, those without an allowed vector left out, until
twice as many *allowed* vectors were looked at as an unfiltered query looks at; then as many again,
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
_OPEN_SHARE = 0.98
"""One that leaves more is hardly one."""
_FEW = 32
"""The tuned number of lists is right for so many hits; for more it is found out."""
_WIDER = 2
"""Looking further starts with so many times the vectors that a plain query looks at."""
_CHANGED = 0.01
"""Looking further ends when less than this share of the hits changes."""


@dataclass(frozen=True)
class Near:
    """The nearest vectors, best first."""

    rows: Ints
    scores: Floats
    """Cosines, −1 to 1."""


class Vectors:
    """The vectors of one table, opened."""

    def __init__(self, said: VectorTable, path: Callable[[File], str]) -> None:
        self.said = said
        """What the manifest says of them."""
        self.segments = [Segment(segment, path) for segment in said.segments]
        self._listed = [segment for segment in self.segments if segment.ivf is not None]
        self._loose = [segment for segment in self.segments if segment.ivf is None]
        self._centres: Any = None
        self.probes = said.tuning.probes if said.tuning else 0
        """How many lists an unfiltered query looks into."""

    def search(
        self, query: Floats, k: int, mask: Mask | None = None, *, stray: bool = False
    ) -> Near:
        """The `k` nearest, or all that are allowed if those are fewer.

        `query` is float32 [dim] of unit length; `stray` says that it may lie away from all stored
        vectors, as that of words does among those of pictures, so that more lists are looked into.
        """
        query = np.ascontiguousarray(query, np.float32)
        faiss.omp_set_num_threads(1)  # for one query, threads cost more than they give
        allowed = self.said.count
        if mask is not None:
            allowed = sum(segment.part(mask).count for segment in self.segments)
        share = allowed / max(1, self.said.count)
        if not self._listed or share < _EXACT_SHARE or k * _FEW > allowed:
            return self._best(query, k, self._scanned(self.segments, query, k, mask))
        loose = self._scanned(self._loose, query, k, mask)
        if share > _OPEN_SHARE and k <= _FEW and not stray:
            found = self._plain(query, k, mask, loose)
            if len(found.rows) == k:
                return found
        return self._further(query, k, mask, loose)

    def vector(self, row: int) -> Floats | None:
        """The stored vector of a row, float32 [dim]; None if it has none."""
        for segment in self.segments:
            places = segment.places(np.array([row]))
            if len(places):
                return np.asarray(segment.half[places[0]], np.float32)
        return None

    def _scanned(
        self, segments: Sequence[Segment], query: Floats, k: int, mask: Mask | None
    ) -> list[tuple[Segment, Ints]]:
        return [(s, s.scan(query, k, None if mask is None else s.part(mask))) for s in segments]

    def _plain(
        self, query: Floats, k: int, mask: Mask | None, loose: list[tuple[Segment, Ints]]
    ) -> Near:
        """The nearest in the tuned number of lists, and of the vectors that are in none."""
        if mask is not None or len(self._listed) > 1:
            return self._best(query, k, [*loose, *self._probed(query, k, mask)])
        one = self._listed[0]
        places, scores = one.nearest(query, spare(k), self.probes)
        found = _first(one.rows(places), scores, k)
        return self._merged(found, self._best(query, k, loose), k) if loose else found

    def _probed(self, query: Floats, k: int, mask: Mask | None) -> list[tuple[Segment, Ints]]:
        """What the tuned number of lists holds."""
        close, lists = self._listed[0].ivf.quantizer.search(query[None], self.probes)
        return self._look(query, k, mask, lists[0], close[0])

    def _look(
        self, query: Floats, k: int, mask: Mask | None, lists: Ints, close: Floats
    ) -> list[tuple[Segment, Ints]]:
        wide = spare(k)
        return [
            (s, s.probe(query, wide, lists, close, None if mask is None else s.part(mask)))
            for s in self._listed
        ]

    def _further(
        self, query: Floats, k: int, mask: Mask | None, loose: list[tuple[Segment, Ints]]
    ) -> Near:
        """Looks into ever more lists until that changes hardly a hit."""
        close = self._closeness(query)
        held = self._held(mask)
        order = np.argsort(-close, kind="stable")
        order = order[held[order] > 0]
        reached = np.cumsum(held[order])
        volume = max(_WIDER * self.probes * self.said.count / len(held), 2.0 * k)
        done, found = 0, self._best(query, k, loose)
        while done < len(order):
            upto = max(done, int(np.searchsorted(reached, volume))) + 1
            lists = order[done:upto]
            looked = self._look(query, k, mask, lists, close[lists])
            before, found = found, self._merged(found, self._best(query, k, looked), k)
            same = len(np.intersect1d(before.rows, found.rows, assume_unique=True))
            if done and len(found.rows) == k and k - same <= k * _CHANGED:
                break
            done, volume = upto, volume * 2
        return found

    def _closeness(self, query: Floats) -> Floats:
        """Inner products with all centres, by one thread, float32 [lists]."""
        found = np.empty(len(self.centres), np.float32)
        pointers = [faiss.swig_ptr(each) for each in (found, query, self.centres)]
        faiss.fvec_inner_products_ny(  # type: ignore[attr-defined]
            *pointers, len(query), len(found)
        )
        return found

    @property
    def centres(self) -> Floats:
        """Centres of the lists, float32 [lists, dim]."""
        if self._centres is None:
            quantizer = self._listed[0].ivf.quantizer
            self._centres = quantizer.reconstruct_n(0, quantizer.ntotal)
        return np.asarray(self._centres, np.float32)

    def _held(self, mask: Mask | None) -> Ints:
        """How many allowed vectors each list holds."""
        held = [s.sizes if mask is None else s.part(mask).in_lists for s in self._listed]
        return np.asarray(np.sum(held, axis=0), np.int64)

    def _best(self, query: Floats, k: int, found: Sequence[tuple[Segment, Ints]]) -> Near:
        """The best `k` of some vectors by their exact scores."""
        rows = [segment.rows(places) for segment, places in found]
        scores = [segment.scores(query, places) for segment, places in found]
        none = Near(np.empty(0, np.int64), np.empty(0, np.float32))
        return _first(np.concatenate([none.rows, *rows]), np.concatenate([none.scores, *scores]), k)

    def _merged(self, one: Near, other: Near, k: int) -> Near:
        rows = np.concatenate([one.rows, other.rows])
        return _first(rows, np.concatenate([one.scores, other.scores]), k)


def spare(k: int) -> int:
    """How many are taken by their codes, so that the best `k` by their floats are among them."""
    return 2 * k + 8


def _first(rows: Ints, scores: Floats, k: int) -> Near:
    """The best `k`, equal scores by row."""
    order = np.lexsort((rows, -scores))[:k]
    return Near(rows[order], scores[order])
