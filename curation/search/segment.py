"""Some vectors, opened: 16-bit floats to compare exactly, and 8-bit codes in inverted lists.

Both files are mapped, not read: what a query does not touch takes no memory. Within a segment
vectors are numbered from 0 (`places`); `rows` says which clip each belongs to.
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

_GATHERED = 512
_GATHERED_PART = 64
"""Up to so many vectors, or one in so many, are gathered and compared; more where they lie."""


class Segment:
    """The vectors of one segment."""

    def __init__(self, said: VectorSegment, path: Callable[[File], str]) -> None:
        self.count = said.count
        self._exact = _mapped(path(said.half))
        codes = self._exact.codes
        raw = faiss.rev_swig_ptr(codes.data(), codes.size())
        self.half: Halves = raw.view(np.float16).reshape(said.count, -1)
        """The vectors, float16 [count, dim]."""
        self.ivf: Any = None if said.ivf is None else _mapped(path(said.ivf))
        """The inverted lists, if there are any."""
        self._first = said.first_row or 0
        self._rows = None if said.rows is None else np.fromfile(path(said.rows), np.int64)

    @cached_property
    def sizes(self) -> Ints:
        """How many vectors each list holds, int64 [lists]."""
        lists = self.ivf.invlists
        return np.array([lists.list_size(n) for n in range(self.ivf.nlist)], np.int64)

    @cached_property
    def owners(self) -> Ints:
        """In which list each vector is, int64 [count]."""
        found = np.zeros(self.count, np.int64)
        lists = self.ivf.invlists
        for number in range(self.ivf.nlist):
            size = lists.list_size(number)
            if size:
                found[faiss.rev_swig_ptr(lists.get_ids(number), size)] = number
        return found

    def rows(self, places: Ints) -> Ints:
        """The rows of some vectors."""
        return places + self._first if self._rows is None else self._rows[places]

    def places(self, rows: Ints) -> Ints:
        """Where the vectors of these rows are; rows without one here are left out."""
        if self._rows is None:
            found = rows - self._first
            return found[(found >= 0) & (found < self.count)]
        return np.flatnonzero(np.isin(self._rows, rows))

    def part(self, mask: Mask) -> Part:
        """What of a mask falls on this segment."""
        found = mask.kept.get(self)
        if found is None:
            if self._rows is None:
                allowed = mask.allowed[self._first : self._first + self.count]
            else:
                allowed = mask.allowed[np.minimum(self._rows, len(mask.allowed) - 1)]
                allowed &= self._rows < len(mask.allowed)
            found = mask.kept[self] = Part(self, allowed)
        return found

    def scores(self, query: Floats, places: Ints) -> Floats:
        """Cosines of some vectors, float32; each the same in whatever company it is computed."""
        count = len(places)
        found, order = np.full(count, -np.inf, np.float32), np.empty(count, np.int64)
        codes, numbers = self.half[places], np.arange(count)
        scanner = self._exact.sq.select_InvertedListScanner(
            faiss.METRIC_INNER_PRODUCT, None, False, None
        )
        scanner.set_query(faiss.swig_ptr(query))
        scanner.set_list(0, 0.0)
        # A heap with a place for each vector: all come back. numpy takes about twice as long, most
        # of it to make 32 bits of 16.
        scanner.scan_codes(
            count, faiss.swig_ptr(codes.view(np.uint8)), faiss.swig_ptr(numbers),
            faiss.swig_ptr(found), faiss.swig_ptr(order), count,
        )  # fmt: skip
        scores = np.empty_like(found)
        scores[order] = found
        return scores

    def scan(self, query: Floats, k: int, part: Part | None) -> Ints:
        """Places of the `k` nearest, compared with all or with all allowed."""
        if part is not None and part.count <= max(_GATHERED, self.count // _GATHERED_PART, k):
            places = np.flatnonzero(part.allowed)
            if len(places) <= k:
                return places
            return places[np.argpartition(-self.scores(query, places), k)[:k]]
        settings = None
        if part is not None:
            settings = faiss.SearchParameters()
            settings.sel = part.selector
        _, found = self._exact.search(query[None], min(k, self.count), params=settings)
        places = found[0]
        return np.asarray(places[places >= 0], np.int64)

    @cached_property
    def _refined(self) -> Any:
        """The lists, and the floats to compare again by."""
        found = faiss.IndexRefine(self.ivf, self._exact)
        found.own_fields = found.own_refine_index = False
        return found

    def nearest(self, query: Floats, k: int, lists: int) -> tuple[Ints, Floats]:
        """Places and cosines of the `k` that seem nearest in so many lists.

        What `probe` and `scores` do, and to the same numbers, in one call of faiss.
        """
        scores, found = np.empty(k, np.float32), np.empty(k, np.int64)
        self._refined.search_c(
            1, faiss.swig_ptr(query), k, faiss.swig_ptr(scores), faiss.swig_ptr(found),
            _refining(lists),
        )  # fmt: skip
        is_there = found >= 0
        return found[is_there], scores[is_there]

    def probe(
        self, query: Floats, k: int, lists: Ints, closeness: Floats, part: Part | None
    ) -> Ints:
        """Places of the `k` that seem nearest in these lists, whose centres are so close."""
        wanted = np.ascontiguousarray(lists, np.int64)[None]
        close = np.ascontiguousarray(closeness, np.float32)[None]
        scores, found = np.empty((1, k), np.float32), np.empty((1, k), np.int64)
        if part is None:
            settings = _kept_settings(wanted.shape[1])
        else:
            settings = _settings(wanted.shape[1])
            settings.sel = part.selector
        self.ivf.search_preassigned_c(
            1, faiss.swig_ptr(query[None]), k, faiss.swig_ptr(wanted), faiss.swig_ptr(close),
            faiss.swig_ptr(scores), faiss.swig_ptr(found), False, settings,
        )  # fmt: skip
        places = found[0]
        return np.asarray(places[places >= 0], np.int64)


class Part:
    """The allowed vectors of a segment."""

    def __init__(self, segment: Segment, allowed: Bools) -> None:
        short = segment.count - len(allowed)
        self._segment = segment
        self.allowed = np.pad(allowed, (0, short)) if short else allowed
        """One bool for each vector."""
        self.count = int(np.count_nonzero(self.allowed))
        """How many are allowed."""

    @cached_property
    def selector(self) -> Any:
        """The same for faiss."""
        self._bits = np.packbits(self.allowed, bitorder="little")
        return faiss.IDSelectorBitmap(len(self._bits), faiss.swig_ptr(self._bits))

    @cached_property
    def in_lists(self) -> Ints:
        """How many are allowed in each list, int64 [lists]."""
        owners = self._segment.owners[self.allowed]
        return np.asarray(np.bincount(owners, minlength=self._segment.ivf.nlist), np.int64)


def _settings(lists: int) -> Any:
    settings: Any = faiss.SearchParametersIVF()
    settings.nprobe = lists
    return settings


_kept_settings = functools.lru_cache(_settings)
"""They take a quarter as long to make as a small query takes."""


@functools.lru_cache
def _refining(lists: int) -> Any:
    settings: Any = faiss.IndexRefineSearchParameters()
    settings.k_factor = 1.0
    settings.base_index_params = _kept_settings(lists)
    return settings


def _mapped(path: str) -> Any:
    return faiss.read_index(path, faiss.IO_FLAG_MMAP_IFC)
