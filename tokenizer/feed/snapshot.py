"""The tables of an output, each pinned to one version for the life of a feed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curation.catalog import Catalog
from curation.delta_table import VersionGoneError
from curation.errors import InfrastructureError
from curation.storage import Storage
from tokenizer.feed.errors import FeedError

ABSENT = -1
"""The version of a table that does not exist."""


class Snapshot(Catalog):
    """Reads each table at a given version, or at the newest when it was first opened."""

    def __init__(self, storage: Storage, versions: Mapping[str, int]) -> None:
        super().__init__(storage)
        self.versions = dict(versions)
        """Version of each table read so far."""

    def open(self, name: str, version: int | None = None) -> Any:
        """The table at its pinned version; `FeedError` if it does not have that version."""
        pinned = self.versions.get(name) if version is None else version
        if pinned == ABSENT:
            return None
        try:
            table = super().open(name, pinned)
        except VersionGoneError as error:
            raise FeedError(
                f"{error}, and a feed or its state names it: start a feed without the state, or"
                " restore the output from a copy. A feed that may write to the output keeps the"
                " versions that it reads"
            ) from error
        except (InfrastructureError, OverflowError) as error:
            newest = Catalog(self.storage).version(name)
            if pinned is None or 0 <= pinned <= newest:
                raise
            raise FeedError(
                f"{name} of {self.storage.root} has no version {pinned}; the newest is {newest}"
            ) from error
        self.versions[name] = ABSENT if table is None else int(table.version())
        return table
