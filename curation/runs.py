"""What runs came to, from the table `runs`."""

from __future__ import annotations

import pyarrow.compute as pc

from curation.catalog import Catalog
from curation.records import Run


def results(catalog: Catalog, step: str) -> list[str]:
    """What the runs of a step that did work filled or made, the oldest first."""
    rows = catalog.read("runs", Run, ["started", "result"], pc.field("step") == step)
    found: list[str] = rows.sort_by("started")["result"].to_pylist()
    return found
