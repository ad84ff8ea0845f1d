"""What runs came to, from the table `runs`."""

from __future__ import annotations

from curation.catalog import Catalog
from curation.records import Run


def results(catalog: Catalog, step: str, selection_id: str | None = None) -> list[str]:
    """What the runs of a step filled or made, the oldest first.

    Those that worked on a subset, which somebody searched for, count as older than all others, but
    as newer if it is the subset `selection_id`.
    """
    columns = ["step", "started", "result", "selection_id"]
    rows = catalog.read("runs", Run, columns).sort_by("started").to_pylist()
    selections = {row["result"] for row in rows if row["step"] == "select"} | {None}

    def weight(row: dict[str, str | None]) -> int:
        on = row["selection_id"]
        return 1 if on in selections else 2 if on == selection_id else 0

    return [row["result"] for row in sorted(rows, key=weight) if row["step"] == step]


def latest_selection(catalog: Catalog) -> str | None:
    """Id of the selection that was asked for last, or None."""
    done = results(catalog, "select")
    return done[-1] if done else None
