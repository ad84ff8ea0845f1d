"""The results of runs, from the table `runs`."""

from __future__ import annotations

from curation.catalog import Catalog
from curation.records import Run


def run_results(catalog: Catalog, step: str, selection_id: str | None = None) -> list[str]:
    """The tables or selections that runs of a step made, the oldest first.

    Runs that worked on a subset of clips, from a search, count as older than all others; those on
    the subset `selection_id` as newer.
    """
    columns = ["step", "started", "result", "selection_id"]
    rows = catalog.read("runs", Run, columns).sort_by("started").to_pylist()
    selections = {row["result"] for row in rows if row["step"] == "select"} | {None}

    def rank(row: dict[str, str | None]) -> int:
        worked_on = row["selection_id"]
        return 1 if worked_on in selections else 2 if worked_on == selection_id else 0

    return [row["result"] for row in sorted(rows, key=rank) if row["step"] == step]


def latest_selection(catalog: Catalog) -> str | None:
    """Id of the selection that was asked for last, or None."""
    results = run_results(catalog, "select")
    return results[-1] if results else None
