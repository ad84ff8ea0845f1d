"""The outputs below the root, by name; a name is one folder's and never a path.

What is read of an output is kept until its tables change.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import pyarrow as pa
from pyarrow import fs

from curation.dataset import Dataset
from curation.errors import ReelmillError
from curation.storage import Storage, storage_faults
from pipelines.service.schemas import NAME

Made = TypeVar("Made")
_KEPT = 24
"""Things read of outputs that are kept in memory."""


class NoOutputError(ReelmillError, LookupError):
    """There is no collection of this name."""


class Outputs:
    """The folders of the root that hold an output."""

    def __init__(self, root: str) -> None:
        self._storage = Storage.at(root)
        self._kept: OrderedDict[tuple[str, str], tuple[Any, Any]] = OrderedDict()
        self._turn = threading.Lock()

    @property
    def root(self) -> str:
        """Where they lie."""
        return self._storage.root

    def names(self) -> list[str]:
        """Every collection, by name."""
        selector = fs.FileSelector(self._storage.path(""), allow_not_found=True)
        with storage_faults():
            found = self._storage.filesystem.get_file_info(selector)
        folders = sorted(i.base_name for i in found if i.type == fs.FileType.Directory)
        return [name for name in folders if re.match(NAME, name) and self._is_output(name)]

    def _is_output(self, name: str) -> bool:
        with storage_faults():
            info = self._storage.filesystem.get_file_info(
                self._storage.path(f"{name}/sources/_delta_log")
            )
        return bool(info.type == fs.FileType.Directory)

    def place(self, name: str) -> str:
        """Where a collection lies, or would lie."""
        if not re.match(NAME, name):
            raise NoOutputError("a collection is named by letters, digits, _ and -")
        return self._storage.uri(name)

    def opened(self, name: str) -> Dataset:
        """One collection; raises `NoOutputError`."""
        place = self.place(name)
        if not self._is_output(name):
            raise NoOutputError(f"there is no collection {name}")
        return Dataset(place)

    def clips(self, name: str) -> tuple[Dataset, pa.Table]:
        """A collection and its clips, as `Dataset.clips` gives them."""
        dataset = self.opened(name)
        return dataset, self.kept(name, "clips", dataset, dataset.clips)

    def kept(self, name: str, what: str, dataset: Dataset, make: Callable[[], Made]) -> Made:
        """What `make` gives, made anew only after the tables have changed."""
        stamp = tuple(dataset.catalog.version(table) for table in ("sources", "runs"))
        with self._turn:
            found = self._kept.get((name, what))
            if found is not None and found[0] == stamp:
                self._kept.move_to_end((name, what))
                made: Made = found[1]
                return made
        made = make()
        with self._turn:
            self._kept[name, what] = (stamp, made)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made
