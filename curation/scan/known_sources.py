"""Which bytes were scanned before, in eight bytes of memory a source.

Two files of the same bytes are two sources with one set of clips, so each new source is compared
with all before it. Memory holds a short hash of each id; the few that agree are looked up in the
table `sources`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.catalog import Catalog
from curation.records import Source

_MAX_RECENT = 1 << 16
_IS_SCANNED = pc.field("outcome") == "scanned"


def scanned_ids(catalog: Catalog) -> pa.Array:
    """Ids of the scanned sources of an output, each once."""
    return pc.unique(catalog.read("sources", Source, ["source_id"], _IS_SCANNED)["source_id"])


class KnownSources:
    """The scanned sources of an output: these, and those that are added."""

    def __init__(self, catalog: Catalog, source_ids: pa.Array) -> None:
        self._catalog = catalog
        hashes = (_short_hash(value.as_py()) for value in source_ids)
        self._sorted = np.sort(np.fromiter(hashes, np.uint64, len(source_ids)))
        self._recent: set[int] = set()

    def find(self, source_ids: Collection[str]) -> dict[str, Source]:
        """Of some ids those that are committed; of several copies the first by address."""
        known = [source_id for source_id in source_ids if self._may_have(source_id)]
        if not known:
            return {}
        where = _IS_SCANNED & pc.field("source_id").isin(known)
        rows = self._catalog.read("sources", Source, where=where)
        sources: dict[str, Source] = {}
        for source in sorted(records.from_table(Source, rows), key=lambda s: s.uri):
            sources.setdefault(source.source_id, source)
        return sources

    def add(self, source_ids: Iterable[str]) -> None:
        """Sources that were committed."""
        self._recent.update(_short_hash(source_id) for source_id in source_ids)
        if len(self._recent) > _MAX_RECENT:
            recent = np.fromiter(self._recent, np.uint64, len(self._recent))
            self._sorted = np.sort(np.concatenate([self._sorted, recent]))
            self._recent = set()

    def _may_have(self, source_id: str) -> bool:
        start = _short_hash(source_id)
        return start in self._recent or _contains(self._sorted, start)


def _short_hash(source_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(source_id.encode(), digest_size=8).digest(), "little")


def _contains(values: npt.NDArray[np.uint64], value: int) -> bool:
    index = int(np.searchsorted(values, np.uint64(value)))
    return index < len(values) and int(values[index]) == value
