"""The tables of an output, each held at one version for as long as a feed lives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curation.catalog import Catalog
from curation.errors import InfrastructureError
from curation.storage import Storage

ABSENT = -1
"""The version of a table that does not exist."""


class Snapshot(Catalog):
    """Reads each table at a given version, or at the one that was the newest at first sight."""

    def __init__(self, storage: Storage, versions: Mapping[str, int]) -> None:
        super().__init__(storage)
        self.versions = dict(versions)
        """Version of each table read so far."""

    def open(self, name: str, version: int | None = None) -> Any:
        """The table as the snapshot holds it; `ValueError` if it never had that version."""
        wanted = self.versions.get(name) if version is None else version
        if wanted == ABSENT:
            return None
        try:
            table = super().open(name, wanted)
        except (InfrastructureError, OverflowError) as error:
            newest = Catalog(self.storage).version(name)
            if wanted is None or 0 <= wanted <= newest:
                raise
            raise ValueError(
                f"{name} of {self.storage.root} has no version {wanted}; the newest is {newest}"
            ) from error
        self.versions[name] = ABSENT if table is None else int(table.version())
        return table
