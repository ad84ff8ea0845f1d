"""Pairs above a floor through inverted lists, searched list by list.

k-means cuts the vectors into cells (Sivic and Zisserman 2003; Jégou et al. 2011). Each vector
looks into the cells nearest to it, its probes, and a pair is found if either one looks into the
other's cell. That is one matrix product a cell: its members against all vectors that look into it,
so memory stays flat and two cores are kept busy, where a search query by query waits for memory.

How many probes are enough is measured, not guessed: a sample of vectors is searched for exactly,
and the least number of probes is taken that would have found `_RECALL` of the sample's pairs. If
none would, every vector looks into every cell, which is an exact search again.

Cost for n vectors in √n · 4 cells: k-means on a sample, n · cells products to find the probes, and
n · probes · n / cells products to search.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.dedup.pairs import SLACK, Hits, Rows, Vectors, exact_hits

Cells = npt.NDArray[np.uint16]

_RECALL = 0.9998
_SAMPLED = 1024
_MOST_PROBES = 96
_MOST_CELLS = 65_000
_TRAINED_ON = 40
"""Vectors a cell that k-means sees."""
_SHARD = 2_000_000
"""Looks into cells that are sorted at once."""
_BLOCK = 16384


@dataclass(frozen=True)
class Lists:
    """The cells that each vector looks into."""

    probes: Cells
    """Cells nearest to each vector, the nearest first, shape [n, probes]; it lies in the first."""
    cells: int

    @property
    def home(self) -> Cells:
        """The cell of each vector, shape [n]."""
        return self.probes[:, 0]


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
    kmeans = faiss.Kmeans(dim, cells, niter=8, seed=0, spherical=True, min_points_per_centroid=1)
    kmeans.train(np.ascontiguousarray(vectors[np.sort(picked)]))
    nearest = faiss.IndexFlatIP(dim)
    nearest.add(np.asarray(kmeans.centroids))
    return Lists(_nearest(nearest, vectors, min(cells, _MOST_PROBES)), cells)


def _nearest(index: Any, vectors: Vectors, probes: int) -> Cells:
    found = np.empty((len(vectors), probes), np.uint16)
    for start in range(0, len(vectors), _BLOCK):
        part = slice(start, start + _BLOCK)
        found[part] = index.search(np.ascontiguousarray(vectors[part]), probes)[1]
    return found


def enough(
    lists: Lists, vectors: Vectors, floor: float, new: npt.NDArray[np.bool_]
) -> Lists | None:
    """The lists with as many probes as a sample's pairs need; None if they have too few."""
    rng = np.random.default_rng(1)
    sample = np.sort(rng.permutation(np.flatnonzero(new))[:_SAMPLED])
    asked = np.zeros(len(vectors), bool)
    asked[sample] = True
    needed = [
        np.minimum(_rank(lists, query, other), _rank(lists, other, query))
        for query, other in exact_hits(vectors, floor + SLACK, asked)
    ]
    ranks = np.sort(np.concatenate(needed))
    if not len(ranks):
        return Lists(lists.probes[:, :1], lists.cells)
    worst = int(ranks[min(len(ranks) - 1, int(np.ceil(_RECALL * len(ranks))) - 1)])
    probes = worst + 1
    if probes > lists.probes.shape[1]:
        return None
    return Lists(np.ascontiguousarray(lists.probes[:, :probes]), lists.cells)


def _rank(lists: Lists, query: Rows, other: Rows) -> Rows:
    """At which of its probes a vector looks into the other's cell; the number of probes if none."""
    same = lists.probes[query] == lists.home[other][:, None]
    return np.asarray(np.where(same.any(axis=1), same.argmax(axis=1), lists.probes.shape[1]))


def _lookers(lists: Lists) -> Iterator[tuple[int, Rows]]:
    """Each cell and the rows that look into it, some cells at a time."""
    step = max(1, lists.cells * _SHARD // lists.probes.size)
    for start in range(0, lists.cells, step):
        end = min(start + step, lists.cells)
        rows, at = np.nonzero((lists.probes >= start) & (lists.probes < end))
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
        meet_there = (lists.probes[other] == lists.home[query][:, None]).any(axis=1)
        once = (query < other) | ((query > other) & ~meet_there)
        yield query[once], other[once]
