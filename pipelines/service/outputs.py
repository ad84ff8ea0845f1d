"""The outputs below the root, by name; a name is that of one folder and never a path.

What is computed from an output is cached until its tables change.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import pyarrow as pa
from pyarrow import fs

from curation.dataset import Dataset
from curation.errors import ReelmillError
from curation.search.filters import log_mtime
from curation.storage import Storage, storage_faults
from pipelines.service.schemas import NAME

Value = TypeVar("Value")
_MAX_CACHED = 24


class NoOutputError(ReelmillError, LookupError):
    """There is no collection of this name."""


@dataclass(eq=False)
class _CachedValue:
    """What was computed from an output, and when the tables that it is of had changed."""

    mtimes: tuple[Any, ...] = (None,)
    value: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while it is computed: requests at the same time wait for one result."""


class Outputs:
    """The folders of the root that hold an output."""

    def __init__(self, root: str) -> None:
        self._storage = Storage.at(root)
        self._cache: OrderedDict[tuple[str, str], _CachedValue] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def root(self) -> str:
        """Their folder or address."""
        return self._storage.root

    def names(self) -> list[str]:
        """Every collection, sorted."""
        selector = fs.FileSelector(self._storage.path(""), allow_not_found=True)
        with storage_faults():
            entries = self._storage.filesystem.get_file_info(selector)
        folders = sorted(e.base_name for e in entries if e.type == fs.FileType.Directory)
        return [name for name in folders if re.match(NAME, name) and self._is_output(name)]

    def _is_output(self, name: str) -> bool:
        path = self._storage.path(f"{name}/sources/_delta_log")
        with storage_faults():
            return bool(self._storage.filesystem.get_file_info(path).type == fs.FileType.Directory)

    def uri(self, name: str) -> str:
        """The folder or address of a collection, which may not exist yet."""
        if not re.match(NAME, name):
            raise NoOutputError("a collection is named by letters, digits, _ and -")
        return self._storage.uri(name)

    def open(self, name: str) -> Dataset:
        """One collection; raises `NoOutputError`."""
        uri = self.uri(name)
        if not self._is_output(name):
            raise NoOutputError(f"there is no collection {name}")
        return Dataset(uri)

    def snapshot(self, name: str) -> Dataset:
        """One collection with its tables as they are since the last run ended."""
        dataset = self.open(name)
        return self.cached(name, "snapshot", dataset, dataset.snapshot)

    def clips(self, name: str) -> tuple[Dataset, pa.Table]:
        """A collection and its `Dataset.scored_clips`."""
        dataset = self.open(name)
        return dataset, self.cached(name, "clips", dataset, dataset.scored_clips)

    def cached(self, name: str, what: str, dataset: Dataset, compute: Callable[[], Value]) -> Value:
        """The result of `compute`, computed again only after the tables have changed."""
        with self._lock:
            entry = self._cache.setdefault((name, what), _CachedValue())
            self._cache.move_to_end((name, what))
            while len(self._cache) > _MAX_CACHED:
                self._cache.popitem(last=False)
        with entry.lock:
            mtimes = tuple(log_mtime(dataset.catalog, table) for table in ("sources", "runs"))
            if None in mtimes or entry.mtimes != mtimes:
                entry.value, entry.mtimes = compute(), mtimes
            return cast(Value, entry.value)
