"""Some vectors, opened: 16-bit floats to compare exactly, and 8-bit codes in inverted lists.

Both files are mapped, not read: what a query does not touch takes no memory. Within a segment
vectors are numbered from 0 (positions); `rows_of` says which clip each belongs to.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import cached_property
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from curation.search.manifest import File, VectorSegment
from curation.search.mask import Bools, Ints, Mask

Floats = npt.NDArray[np.float32]
Halves = npt.NDArray[np.float16]

_GATHER_UP_TO = 512
_GATHER_FRACTION = 64
"""Up to so many vectors, or one in so many, are gathered and compared; more are scanned."""


class Segment:
    """The vectors of one segment."""

    def __init__(self, files: VectorSegment, path: Callable[[File], str]) -> None:
        self.count = files.count
        self._exact = _open_mapped(path(files.fp16))
        codes = self._exact.codes
        raw = faiss.rev_swig_ptr(codes.data(), codes.size())
        self.fp16: Halves = raw.view(np.float16).reshape(files.count, -1)
        """The vectors, float16 [count, dim]."""
        self.ivf: Any = None if files.ivf is None else _open_mapped(path(files.ivf))
        """The inverted lists, if there are any."""
        self._first_row = files.first_row or 0
        self._rows = None if files.rows is None else np.fromfile(path(files.rows), np.int64)

    @cached_property
    def list_sizes(self) -> Ints:
        """How many vectors each list holds, int64 [lists]."""
        lists = self.ivf.invlists
        return np.array([lists.list_size(n) for n in range(self.ivf.nlist)], np.int64)

    @cached_property
    def list_of_vector(self) -> Ints:
        """In which list each vector is, int64 [count]."""
        numbers = np.zeros(self.count, np.int64)
        lists = self.ivf.invlists
        for number in range(self.ivf.nlist):
            size = lists.list_size(number)
            if size:
                numbers[faiss.rev_swig_ptr(lists.get_ids(number), size)] = number
        return numbers

    def rows_of(self, positions: Ints) -> Ints:
        """The rows of some vectors."""
        return positions + self._first_row if self._rows is None else self._rows[positions]

    def positions_of(self, rows: Ints) -> Ints:
        """The positions of these rows' vectors; rows without one here are left out."""
        if self._rows is None:
            positions = rows - self._first_row
            return positions[(positions >= 0) & (positions < self.count)]
        return np.flatnonzero(np.isin(self._rows, rows))

    def mask(self, mask: Mask) -> SegmentMask:
        """The part of a mask that falls on this segment; cached in the mask."""
        part = mask.cache.get(self)
        if part is None:
            if self._rows is None:
                allowed = mask.allowed[self._first_row : self._first_row + self.count]
            else:
                allowed = mask.allowed[np.minimum(self._rows, len(mask.allowed) - 1)]
                allowed &= self._rows < len(mask.allowed)
            part = mask.cache[self] = SegmentMask(self, allowed)
        return part

    def scores(self, query: Floats, positions: Ints) -> Floats:
        """Cosines of some vectors, float32; independent of batch composition."""
        count = len(positions)
        ranked, order = np.full(count, -np.inf, np.float32), np.empty(count, np.int64)
        codes, numbers = self.fp16[positions], np.arange(count)
        scanner = self._exact.sq.select_InvertedListScanner(
            faiss.METRIC_INNER_PRODUCT, None, False, None
        )
        scanner.set_query(faiss.swig_ptr(query))
        scanner.set_list(0, 0.0)
        # A heap with a place for each vector: all come back. numpy takes about twice as long, most
        # of it to make 32 bits of 16.
        scanner.scan_codes(
            count, faiss.swig_ptr(codes.view(np.uint8)), faiss.swig_ptr(numbers),
            faiss.swig_ptr(ranked), faiss.swig_ptr(order), count,
        )  # fmt: skip
        scores = np.empty_like(ranked)
        scores[order] = ranked
        return scores

    def scan(self, query: Floats, k: int, mask: SegmentMask | None) -> Ints:
        """Positions of the `k` nearest, compared with all or with all allowed."""
        if mask is not None and mask.count <= max(_GATHER_UP_TO, self.count // _GATHER_FRACTION, k):
            positions = np.flatnonzero(mask.allowed)
            if len(positions) <= k:
                return positions
            return positions[np.argpartition(-self.scores(query, positions), k)[:k]]
        parameters = None
        if mask is not None:
            parameters = faiss.SearchParameters()
            parameters.sel = mask.selector
        _, result = self._exact.search(query[None], min(k, self.count), params=parameters)
        positions = result[0]
        return np.asarray(positions[positions >= 0], np.int64)

    @cached_property
    def _refined(self) -> Any:
        """The lists, and the floats to compare again by."""
        index = faiss.IndexRefine(self.ivf, self._exact)
        index.own_fields = index.own_refine_index = False
        return index

    def nearest(self, query: Floats, k: int, probes: int) -> tuple[Ints, Floats]:
        """Positions and cosines of the `k` that seem nearest in so many lists.

        What `probe` and `scores` do, and to the same numbers, in one call of faiss.
        """
        scores, positions = np.empty(k, np.float32), np.empty(k, np.int64)
        self._refined.search_c(
            1, faiss.swig_ptr(query), k, faiss.swig_ptr(scores), faiss.swig_ptr(positions),
            _refine_parameters(probes),
        )  # fmt: skip
        is_filled = positions >= 0
        return positions[is_filled], scores[is_filled]

    def probe(
        self, query: Floats, k: int, lists: Ints, closeness: Floats, mask: SegmentMask | None
    ) -> Ints:
        """Positions of the `k` that seem nearest in these lists, whose centres are so close."""
        lists = np.ascontiguousarray(lists, np.int64)[None]
        closeness = np.ascontiguousarray(closeness, np.float32)[None]
        scores, result = np.empty((1, k), np.float32), np.empty((1, k), np.int64)
        if mask is None:
            parameters = _cached_parameters(lists.shape[1])
        else:
            parameters = _ivf_parameters(lists.shape[1])
            parameters.sel = mask.selector
        self.ivf.search_preassigned_c(
            1, faiss.swig_ptr(query[None]), k, faiss.swig_ptr(lists), faiss.swig_ptr(closeness),
            faiss.swig_ptr(scores), faiss.swig_ptr(result), False, parameters,
        )  # fmt: skip
        positions = result[0]
        return np.asarray(positions[positions >= 0], np.int64)


class SegmentMask:
    """The allowed vectors of a segment."""

    def __init__(self, segment: Segment, allowed: Bools) -> None:
        missing = segment.count - len(allowed)
        self._segment = segment
        self.allowed = np.pad(allowed, (0, missing)) if missing else allowed
        """One bool for each vector."""
        self.count = int(np.count_nonzero(self.allowed))
        """How many are allowed."""

    @cached_property
    def selector(self) -> Any:
        """The mask as faiss takes it."""
        self._bits = np.packbits(self.allowed, bitorder="little")
        return faiss.IDSelectorBitmap(len(self._bits), faiss.swig_ptr(self._bits))

    @cached_property
    def list_sizes(self) -> Ints:
        """How many are allowed in each list, int64 [lists]."""
        lists = self._segment.list_of_vector[self.allowed]
        return np.asarray(np.bincount(lists, minlength=self._segment.ivf.nlist), np.int64)


def _ivf_parameters(probes: int) -> Any:
    parameters: Any = faiss.SearchParametersIVF()
    parameters.nprobe = probes
    return parameters


_cached_parameters = functools.lru_cache(_ivf_parameters)
"""Making them takes a quarter as long as a small query."""


@functools.lru_cache
def _refine_parameters(probes: int) -> Any:
    parameters: Any = faiss.IndexRefineSearchParameters()
    parameters.k_factor = 1.0
    parameters.base_index_params = _cached_parameters(probes)
    return parameters


def _open_mapped(path: str) -> Any:
    return faiss.read_index(path, faiss.IO_FLAG_MMAP_IFC)
