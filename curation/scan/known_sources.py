"""Which bytes were scanned before, in eight bytes of memory a source.

Two files of the same bytes are two sources with one set of clips, so each new source is compared
with all before it. Memory holds a short hash of each id; the few that agree are looked up in the
table `sources`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import pyarrow as pa

from curation.catalog import Catalog
from curation.dataset import sources_by_id
from curation.id_match import id_hashes
from curation.records import Source

_MAX_RECENT = 1 << 16


class KnownSources:
    """The scanned sources of an output: these, and those that are added."""

    def __init__(self, catalog: Catalog, source_ids: pa.Array) -> None:
        self._catalog = catalog
        self._sorted = np.sort(id_hashes(source_ids))
        self._recent: set[int] = set()

    def find(self, source_ids: Collection[str]) -> dict[str, Source]:
        """Of some ids those that are committed; of several copies the first by address."""
        ids = pa.array(source_ids, pa.string())
        hashes = id_hashes(ids)
        places = np.searchsorted(self._sorted, hashes)
        is_old = np.append(self._sorted, np.uint64(0))[places] == hashes
        is_recent = [value in self._recent for value in hashes.tolist()]
        known = ids.filter(pa.array(is_old | np.array(is_recent, bool)))
        return sources_by_id(self._catalog, known.to_pylist()) if len(known) else {}

    def add(self, source_ids: Iterable[str]) -> None:
        """Sources that were committed."""
        self._recent.update(id_hashes(pa.array(list(source_ids), pa.string())).tolist())
        if len(self._recent) > _MAX_RECENT:
            recent = np.fromiter(self._recent, np.uint64, len(self._recent))
            self._sorted = np.sort(np.concatenate([self._sorted, recent]))
            self._recent = set()
