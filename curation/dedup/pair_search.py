"""All pairs of vectors above a similarity floor: exact, or through inverted lists where many.

Up to 2.5 · 10⁹ comparisons (50,000 clips at once, or 2,500 new ones beside a million) every vector
is compared with every other, and so it is on a GPU that has room for all of them. Either way the
similarity of a pair is computed again on its own, in float64, so that it is independent of what
else was searched for in the same run.

Beyond that k-means partitions the vectors into cells (Sivic and Zisserman 2003; Jégou et al. 2011).
Each vector probes its own cell and those whose centres are nearly as near, and a pair is found if
either one probes the other's cell. That is one matrix product a cell: its members against all
vectors that probe it, so memory stays flat and two cores are kept busy, where a search query by
query waits for memory.

How much farther a centre may be is measured, not guessed: a sample of vectors is searched for
exactly, and the least margin is taken that would have found `_RECALL` of the sample's pairs, and
some more. A margin asks little of a vector in the middle of its cell and more of one at a border.
If none would do, the search is exact.

Cost for n vectors in √n · 4 cells: k-means on a sample, n · cells products to find the cells, and
n · cells probed · n / cells products to search.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.dedup.pairs import (
    SLACK,
    Pairs,
    RowPairs,
    concat_sorted,
    exact_pairs,
    torch_search,
    with_similarity,
)
from curation.dedup.vectors import Rows, Vectors

Bools = npt.NDArray[np.bool_]
Cells = npt.NDArray[np.uint16]

EXACT_UP_TO = 2_500_000_000
"""Most comparisons that an exact search makes on processors."""
_GPU_RESERVE_BYTES = 1 << 30
"""Memory of a GPU that vectors leave free."""
_RECALL = 0.9993
_SAMPLE = 2048
_MARGIN_FACTOR = 1.15
"""How much wider the margin is than a sample needs, which lacks the rarest pairs."""
_MAX_PROBES = 192
_MAX_CELLS = 65_000
_TRAINED_ON = 30
"""Vectors a cell that k-means sees."""
_SORT_BATCH = 4_000_000
"""Probes that are sorted by cell at once."""
_BLOCK = 16384


def similar_pairs(vectors: Vectors, floor: float, new: Bools | None = None) -> Pairs:
    """Pairs of unit vectors [n, dim] that are at least `floor` similar and of which one is new.

    Without `new`, all are. A zero vector is in no pair; `floor` has to be above 0.
    """
    return concat_sorted(pair_batches(vectors, floor, new))


def pair_batches(vectors: Vectors, floor: float, new: Bools | None = None) -> Iterator[Pairs]:
    """The same pairs, about a million at a time, in any order."""
    if new is None:
        new = np.ones(len(vectors), bool)
    if int(new.sum()) * len(vectors) <= EXACT_UP_TO:
        candidates = exact_pairs(vectors, floor, new)
    elif (device := _device(vectors)) is not None:
        candidates = exact_pairs(vectors, floor, new, torch_search(vectors, floor, device))
    else:
        candidates = ivf_pairs(vectors, floor, new)
    yield from with_similarity(candidates, vectors, floor)


def _device(vectors: Vectors) -> str | None:
    """The GPU that can hold all vectors, if there is one."""
    import torch

    if not torch.cuda.is_available():
        return None
    free_bytes, _ = torch.cuda.mem_get_info()
    return "cuda" if vectors.nbytes + _GPU_RESERVE_BYTES <= free_bytes else None


@dataclass(frozen=True)
class CellProbes:
    """The cells that each vector probes."""

    probes: Cells
    """Cells nearest to each vector, the nearest (its own) first, shape [n, probes]."""
    margins: npt.NDArray[np.float16]
    """How much less similar each of their centres is than the nearest, shape [n, probes]."""
    num_cells: int
    margin: float = np.inf
    """A vector probes cells up to this margin."""

    @property
    def home(self) -> Cells:
        """The cell of each vector, shape [n]."""
        return self.probes[:, 0]

    def within(self, margin: float) -> CellProbes:
        """The same up to a margin, rounded as the margins are, so that all compare alike."""
        margin = float(np.float16(margin))
        num_probes = max(1, int((self.margins <= margin).sum(axis=1).max(initial=0)))
        probes = self.probes[:, :num_probes].copy()
        return CellProbes(probes, self.margins[:, :num_probes].copy(), self.num_cells, margin)

    def required_margin(self, rows: Rows, others: Rows) -> npt.NDArray[np.float64]:
        """The margin from which each row probes the other's cell; infinite if none does."""
        is_home = self.probes[rows] == self.home[others][:, None]
        return np.asarray(np.where(is_home, self.margins[rows], np.inf).min(axis=1), np.float64)


def ivf_pairs(vectors: Vectors, floor: float, new: Bools) -> Iterator[RowPairs]:
    """Pairs near or above the floor of which one is new; nearly all there are."""
    cells = calibrate_margin(assign_cells(vectors), vectors, floor, new)
    if cells is None:
        yield from exact_pairs(vectors, floor, new)
        return
    search = CellSearch(vectors, floor, new, cells)
    for start, end in search.parts():
        yield from search.pairs(start, end)


@dataclass(frozen=True)
class CellSearch:
    """The search cell by cell; parts of it may be worked on apart."""

    vectors: Vectors
    floor: float
    new: Bools
    cells: CellProbes

    def parts(self, least: int = 1) -> list[tuple[int, int]]:
        """Ranges of cells with up to `_SORT_BATCH` probes, at least so many if there are."""
        cells = self.cells
        num_probes = int((cells.margins <= cells.margin).sum())
        count = max(least, -(-num_probes // _SORT_BATCH))
        step = max(1, cells.num_cells // count)
        starts = range(0, cells.num_cells, step)
        return [(start, min(start + step, cells.num_cells)) for start in starts]

    def pairs(self, start: int, end: int) -> Iterator[RowPairs]:
        """The pairs of members of some cells with those that probe them."""
        vectors, nonzero = self.vectors, self._nonzero
        by_cell, bounds = self._by_cell
        for cell, probing in _probing_rows(self.cells, start, end):
            members = by_cell[bounds[cell] : bounds[cell + 1]]
            members, queries = members[nonzero[members]], probing[nonzero[probing]]
            is_new = self.new[queries]
            for some, asking in ((members, is_new), (members[self.new[members]], ~is_new)):
                yield from _pairs_in_cell(vectors, self.floor, self.cells, some, queries[asking])

    @cached_property
    def _nonzero(self) -> Bools:
        return np.asarray(self.vectors.any(axis=1))

    @cached_property
    def _by_cell(self) -> tuple[Rows, Rows]:
        """The rows by their cells, and where each cell begins among them."""
        by_cell = np.argsort(self.cells.home, kind="stable")
        edges = np.arange(self.cells.num_cells + 1)
        return by_cell, np.searchsorted(self.cells.home[by_cell], edges)


def assign_cells(vectors: Vectors) -> CellProbes:
    """Partitions the vectors into cells; deterministic."""
    import faiss

    count, dim = vectors.shape
    num_cells = min(int(4 * np.sqrt(count)), count, _MAX_CELLS)
    sample = np.random.default_rng(0).permutation(count)[: _TRAINED_ON * num_cells]
    kmeans = faiss.Kmeans(
        dim, num_cells, niter=6, seed=0, spherical=True, min_points_per_centroid=1
    )
    kmeans.train(np.ascontiguousarray(vectors[np.sort(sample)]))
    centres = faiss.IndexFlatIP(dim)
    centres.add(np.asarray(kmeans.centroids))
    return CellProbes(*_nearest_cells(centres, vectors, min(num_cells, _MAX_PROBES)), num_cells)


def _nearest_cells(
    centres: Any, vectors: Vectors, num_probes: int
) -> tuple[Cells, npt.NDArray[np.float16]]:
    probes = np.empty((len(vectors), num_probes), np.uint16)
    margins = np.empty((len(vectors), num_probes), np.float16)
    for start in range(0, len(vectors), _BLOCK):
        block = slice(start, start + _BLOCK)
        similarity, probes[block] = centres.search(np.ascontiguousarray(vectors[block]), num_probes)
        margins[block] = similarity[:, :1] - similarity
    return probes, margins


def calibrate_margin(
    cells: CellProbes, vectors: Vectors, floor: float, new: Bools
) -> CellProbes | None:
    """The probes up to the margin that a sample's pairs need; None if there are too few."""
    sample = np.random.default_rng(1).permutation(np.flatnonzero(new))[:_SAMPLE]
    is_sampled = np.zeros(len(vectors), bool)
    is_sampled[sample] = True
    required = [np.zeros(1)]
    for query, other in exact_pairs(vectors, floor + SLACK, is_sampled):
        directions = cells.required_margin(query, other), cells.required_margin(other, query)
        required.append(np.minimum(*directions))
    margins = np.sort(np.concatenate(required))
    margin = _MARGIN_FACTOR * float(margins[int(np.ceil(_RECALL * len(margins))) - 1])
    return cells.within(margin) if np.isfinite(margin) else None


def _probing_rows(cells: CellProbes, start: int, end: int) -> Iterator[tuple[int, Rows]]:
    """Each of some cells and the rows that probe it."""
    in_range = (cells.probes >= start) & (cells.probes < end)
    rows, columns = np.nonzero(in_range & (cells.margins <= cells.margin))
    probed = cells.probes[rows, columns]
    order = np.argsort(probed, kind="stable")
    bounds = np.searchsorted(probed[order], np.arange(start, end + 1))
    for cell in range(start, end):
        yield cell, rows[order[bounds[cell - start] : bounds[cell - start + 1]]]


def _pairs_in_cell(
    vectors: Vectors, floor: float, cells: CellProbes, members: Rows, queries: Rows
) -> Iterator[RowPairs]:
    """Pairs of a cell's members with the rows that probe it, unless found in the other's cell."""
    member_vectors = vectors[members]
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        similarity = vectors[block] @ member_vectors.T
        query_index, member_index = np.nonzero(similarity >= floor - SLACK)
        query, other = block[query_index], members[member_index]
        found_in_other = cells.required_margin(other, query) <= cells.margin
        is_first = (query < other) | ((query > other) & ~found_in_other)
        yield query[is_first], other[is_first]
