"""The rows that may be hits of a question, and which stand for which."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from curation.search.errors import SearchError
from curation.search.index import Index
from curation.search.mask import Ints, Mask
from curation.search.tombstones import Present
from curation.sql_filter import matching

_KEPT = 16


class Masks:
    """The masks of one index version, the last few kept."""

    def __init__(self, index: Index, present: Present) -> None:
        self._index = index
        self._present = present
        self._masks: dict[Any, Mask | None] = {}

    def of(
        self, where: str | None, first: int | None = None, table: str | None = None
    ) -> Mask | None:
        """Rows that are there and for which a condition holds; None for all.

        Of the `first` rows only; and with a vector in a table. Raises `SearchError`.
        """
        present = self._present.mask(table)
        key = (where, first, id(present))
        if key not in self._masks:
            if len(self._masks) >= _KEPT:
                self._masks.clear()
            mask, count = present, self._index.manifest.rows
            if first is not None and first < count:
                mask = Mask(np.arange(count) < first) & mask
            if where is not None:
                mask = self._matching(where) & mask
            self._masks[key] = mask
        return self._masks[key]

    def _matching(self, where: str) -> Mask:
        try:
            rows = matching(self._index.judged, where, ["row"])["row"].to_numpy()
        except ValueError as error:
            raise SearchError(str(error)) from error
        allowed = np.zeros(self._index.manifest.rows, bool)
        allowed[rows] = True
        return Mask(allowed)

    @cached_property
    def groups(self) -> Ints | None:
        """For each row the row that stands for it; None if a selection says nothing of that."""
        if self._index.manifest.verdicts is None:
            return None
        groups = np.arange(self._index.manifest.rows)
        standing = self._index.judged["duplicate_of"]
        at = np.flatnonzero(standing.is_valid().to_numpy())
        if len(at):
            found = self._index.rows(standing.drop_null())
            groups[at[found >= 0]] = found[found >= 0]
        return groups
