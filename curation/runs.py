"""What runs came to, from the table `runs`."""

from __future__ import annotations

import pyarrow.compute as pc

from curation.catalog import Catalog
from curation.records import Run


def results(catalog: Catalog, step: str, selection_id: str | None = None) -> list[str]:
    """What the runs of a step filled or made, the oldest first.

    Those that worked on `selection_id`, if one is given, count as newer than all others.
    """
    columns = ["started", "result", "selection_id"]
    rows = catalog.read("runs", Run, columns, pc.field("step") == step).sort_by("started")
    found: list[str] = rows["result"].to_pylist()
    if selection_id is None:
        return found
    own = [each == selection_id for each in rows["selection_id"].to_pylist()]
    return [found[at] for at in sorted(range(len(found)), key=own.__getitem__)]


def latest_selection(catalog: Catalog) -> str | None:
    """Id of the selection that was asked for last, or None."""
    done = results(catalog, "select")
    return done[-1] if done else None
