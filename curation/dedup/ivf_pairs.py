"""Pairs above a floor through inverted lists, searched list by list.

k-means cuts the vectors into cells (Sivic and Zisserman 2003; Jégou et al. 2011). Each vector
looks into its own cell and into those whose centres are nearly as near, and a pair is found if
either one looks into the other's cell. That is one matrix product a cell: its members against all
vectors that look into it, so memory stays flat and two cores are kept busy, where a search query by
query waits for memory.

How much farther a centre may be is measured, not guessed: a sample of vectors is searched for
exactly, and the least margin is taken that would have found `_RECALL` of the sample's pairs, and
some more. A margin asks little of a vector in the middle of its cell and more of one at a border.
If none would do, the search is exact.

Cost for n vectors in √n · 4 cells: k-means on a sample, n · cells products to find the cells, and
n · cells looked into · n / cells products to search.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.dedup.exact_pairs import SLACK, exact_hits
from curation.dedup.pairs import Hits, Rows, Vectors

Cells = npt.NDArray[np.uint16]

_RECALL = 0.9993
_SAMPLED = 2048
_SPARE = 1.15
"""How much wider the margin is than a sample needs, which lacks the rarest pairs."""
_MOST_PROBES = 192
"""Cells that a vector may look into."""
_MOST_CELLS = 65_000
_TRAINED_ON = 30
"""Vectors a cell that k-means sees."""
_SHARD = 4_000_000
"""Looks into cells that are sorted at once."""
_BLOCK = 16384


@dataclass(frozen=True)
class Lists:
    """The cells that each vector looks into."""

    probes: Cells
    """Cells nearest to each vector, the nearest first, shape [n, probes]; it lies in the first."""
    margins: npt.NDArray[np.float16]
    """How much less similar each of their centres is than the nearest, shape [n, probes]."""
    cells: int
    margin: float = np.inf
    """A vector looks into the cells up to this margin."""

    @property
    def home(self) -> Cells:
        """The cell of each vector, shape [n]."""
        return self.probes[:, 0]

    def within(self, margin: float) -> Lists:
        """The same up to a margin, rounded as the margins are, so that all compare alike."""
        margin = float(np.float16(margin))
        most = max(1, int((self.margins <= margin).sum(axis=1).max(initial=0)))
        probes, margins = self.probes[:, :most].copy(), self.margins[:, :most].copy()
        return Lists(probes, margins, self.cells, margin)

    def found_from(self, rows: Rows, others: Rows) -> npt.NDArray[np.float64]:
        """The margin from which each row looks into the other's cell; infinite if none does."""
        same = self.probes[rows] == self.home[others][:, None]
        return np.asarray(np.where(same, self.margins[rows], np.inf).min(axis=1), np.float64)


def listed_hits(vectors: Vectors, floor: float, new: npt.NDArray[np.bool_]) -> Iterator[Hits]:
    """Pairs near or above the floor of which one is new; nearly all there are."""
    lists = enough(cut(vectors), vectors, floor, new)
    if lists is None:
        yield from exact_hits(vectors, floor, new)
        return
    there: npt.NDArray[np.bool_] = np.asarray(vectors.any(axis=1))
    members = np.argsort(lists.home, kind="stable")
    bounds = np.searchsorted(lists.home[members], np.arange(lists.cells + 1))
    for cell, looking in _lookers(lists):
        inside = members[bounds[cell] : bounds[cell + 1]]
        inside, lookers = inside[there[inside]], looking[there[looking]]
        fresh = new[lookers]
        yield from _in_cell(vectors, floor, lists, inside, lookers[fresh])
        yield from _in_cell(vectors, floor, lists, inside[new[inside]], lookers[~fresh])


def cut(vectors: Vectors) -> Lists:
    """Cuts the vectors into cells; the same ones every time for the same vectors."""
    import faiss

    count, dim = vectors.shape
    cells = min(int(4 * np.sqrt(count)), count, _MOST_CELLS)
    picked = np.random.default_rng(0).permutation(count)[: _TRAINED_ON * cells]
    kmeans = faiss.Kmeans(dim, cells, niter=6, seed=0, spherical=True, min_points_per_centroid=1)
    kmeans.train(np.ascontiguousarray(vectors[np.sort(picked)]))
    nearest = faiss.IndexFlatIP(dim)
    nearest.add(np.asarray(kmeans.centroids))
    return Lists(*_nearest(nearest, vectors, min(cells, _MOST_PROBES)), cells)


def _nearest(index: Any, vectors: Vectors, probes: int) -> tuple[Cells, npt.NDArray[np.float16]]:
    found = np.empty((len(vectors), probes), np.uint16)
    margins = np.empty((len(vectors), probes), np.float16)
    for start in range(0, len(vectors), _BLOCK):
        part = slice(start, start + _BLOCK)
        similar, found[part] = index.search(np.ascontiguousarray(vectors[part]), probes)
        margins[part] = similar[:, :1] - similar
    return found, margins


def enough(
    lists: Lists, vectors: Vectors, floor: float, new: npt.NDArray[np.bool_]
) -> Lists | None:
    """The lists up to the margin that a sample's pairs need; None if they hold too few."""
    rng = np.random.default_rng(1)
    sample = np.sort(rng.permutation(np.flatnonzero(new))[:_SAMPLED])
    asked = np.zeros(len(vectors), bool)
    asked[sample] = True
    needed = [np.zeros(1)]
    for query, other in exact_hits(vectors, floor + SLACK, asked):
        either = lists.found_from(query, other), lists.found_from(other, query)
        needed.append(np.minimum(*either))
    margins = np.sort(np.concatenate(needed))
    margin = _SPARE * float(margins[int(np.ceil(_RECALL * len(margins))) - 1])
    return lists.within(margin) if np.isfinite(margin) else None


def _lookers(lists: Lists) -> Iterator[tuple[int, Rows]]:
    """Each cell and the rows that look into it, some cells at a time."""
    looks = int((lists.margins <= lists.margin).sum())
    step = max(1, lists.cells * _SHARD // looks)
    for start in range(0, lists.cells, step):
        end = min(start + step, lists.cells)
        asked = (lists.probes >= start) & (lists.probes < end) & (lists.margins <= lists.margin)
        rows, at = np.nonzero(asked)
        looked = lists.probes[rows, at]
        order = np.argsort(looked, kind="stable")
        bounds = np.searchsorted(looked[order], np.arange(start, end + 1))
        for cell in range(start, end):
            yield cell, rows[order[bounds[cell - start] : bounds[cell - start + 1]]]


def _in_cell(
    vectors: Vectors, floor: float, lists: Lists, inside: Rows, lookers: Rows
) -> Iterator[Hits]:
    """Pairs of a cell's members with what looks into it, unless they meet in the other's cell."""
    held = vectors[inside]
    for start in range(0, len(lookers), _BLOCK):
        rows = lookers[start : start + _BLOCK]
        similar = vectors[rows] @ held.T
        at, hit = np.nonzero(similar >= floor - SLACK)
        query, other = rows[at], inside[hit]
        meet_there = lists.found_from(other, query) <= lists.margin
        once = (query < other) | ((query > other) & ~meet_there)
        yield query[once], other[once]
