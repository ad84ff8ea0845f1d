"""Which rows are still there: clips that were deleted are no hits from the next query on."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.catalog import Catalog
from curation.dataset import Dataset
from curation.records import Clip, Embedding
from curation.search.incremental import Fresh
from curation.search.index import Index
from curation.search.manifest import Seen
from curation.search.mask import Bools, Mask

_YOUNG_S = 0.1
"""A log that changed less than this ago may change again without its time saying so."""


class Present:
    """The rows of one index version that are still there, looked up again when tables change."""

    def __init__(self, dataset: Dataset, index: Index) -> None:
        self._dataset = dataset
        self._index = index
        self._stamps: dict[str, Any] = {}
        self._there: dict[str, Bools | None] = {}
        self._masks: dict[tuple[int, ...], Mask] = {}
        absent = index.manifest.absent
        if absent is not None:
            there = np.ones(index.manifest.rows, bool)
            there[np.fromfile(index.folder.path(absent), np.int64)] = False
            self._there["absent"] = there

    def mask(self, embeddings: str | None = None) -> Mask | None:
        """The rows that are there, with a vector in a table if one is named; None for all."""
        for name in ("sources", "clips", *([embeddings] if embeddings else [])):
            self._look(name)
        wanted = [self._there.get(n) for n in ("absent", "sources", "clips", embeddings or "")]
        there = [each for each in wanted if each is not None]
        if not there:
            return None
        key = tuple(id(each) for each in there)
        if key not in self._masks:
            self._masks = {key: Mask(np.logical_and.reduce(there))}
        return self._masks[key]

    def _look(self, name: str) -> None:
        stamp = log_stamp(self._dataset.catalog, name)
        if stamp is None or self._stamps.get(name) != stamp:
            self._there[name] = self._looked_up(name)
            self._stamps[name] = stamp

    def _looked_up(self, name: str) -> Bools | None:
        """Whether each row is in a table; None if no file of it that the index read is gone."""
        manifest, catalog = self._index.manifest, self._dataset.catalog
        record = Clip if name == "clips" else Embedding
        if not Fresh.of(catalog, name, record, manifest.seen.get(name, Seen(()))).gone:
            return None
        if name.startswith("embeddings/"):
            ids = pc.unique(catalog.read(name, record, ["clip_id"])["clip_id"])
            return _among(self._index.facts["clip_id"], ids)
        return announced(self._dataset, self._index)


def announced(dataset: Dataset, index: Index) -> Bools:
    """Whether the clip of each row is there and its source is announced."""
    sources = dataset.sources().filter(pc.field("outcome") == "scanned")["source_id"]
    ids = dataset.catalog.read("clips", Clip, ["clip_id"])["clip_id"]
    facts = index.facts
    return _among(facts["source_id"], pc.unique(sources)) & _among(facts["clip_id"], ids)


def _among(column: Any, values: Any) -> Bools:
    return np.asarray(pc.is_in(column, values).cast(pa.uint8()).to_numpy(), bool)


def log_stamp(catalog: Catalog, name: str) -> Any:
    """Changes whenever a table does; None where that has to be looked up.

    A commit adds a file to the log's folder. On S3 the version is asked for.
    """
    storage = catalog.storage
    if storage.is_s3:
        return catalog.version(name)
    try:
        changed = os.stat(storage.uri(f"{name}/_delta_log")).st_mtime_ns
    except FileNotFoundError:
        return 0
    return changed if time.time_ns() - changed > _YOUNG_S * 1e9 else None
