"""What the report reads once and all its parts use: sources, clips with verdicts, runs, policy."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation import lineage
from curation.dataset import Dataset
from curation.select.filter import numbers
from curation.select.policy import LIMITS, Policy, Range, Semantic

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Output:
    """One output folder as it is now, seen through its newest selection."""

    dataset: Dataset
    sources: pa.Table
    """Every input and its outcome."""
    clips: pa.Table
    """Every clip with scores and source facts and, with a selection, `verdict` and `reason`."""
    runs: list[dict[str, Any]]
    """Runs that did work, oldest first."""
    selection_id: str | None
    """The newest selection; None before the first."""
    policy: Policy | None
    """Its policy; None where that is not recorded."""

    @classmethod
    def at(cls, dataset: Dataset, policy: Policy | None = None) -> Output:
        """Reads an output; `policy` stands in for the one that its runs record."""
        runs = dataset.runs().to_pylist()
        chosen = dataset.latest_selection()
        clips = dataset.clips(selection_id=chosen)
        recorded = _policy(runs, chosen)
        return cls(dataset, dataset.sources(), clips, runs, chosen, policy or recorded)

    @cached_property
    def values(self) -> dict[str, Floats]:
        """Every value that a policy may bound, one array [clips] each; NaN is not measured."""
        return numbers(self.clips)

    @cached_property
    def verdicts(self) -> npt.NDArray[np.object_]:
        """`kept`, `filtered`, `duplicate`, or None for a clip newer than the selection."""
        if self.selection_id is None:
            return np.full(self.clips.num_rows, None, object)
        return np.array(self.clips["verdict"].to_pylist(), object)

    @cached_property
    def kept_ids(self) -> pa.Array:
        """Ids of the kept clips."""
        kept = self.clips["clip_id"].to_numpy()[self.verdicts == "kept"]
        return pa.array(kept.tolist(), pa.string())

    def of_kept(self, name: str, record: type, columns: list[str]) -> pa.Table:
        """Rows of a side table that speak of kept clips."""
        rows = self.dataset.catalog.read(name, record, [*columns, "clip_id"])
        return rows.filter(pc.is_in(rows["clip_id"], self.kept_ids))

    @cached_property
    def renders(self) -> str | None:
        """The table of renders that counts: the one that was last asked for."""
        catalog = self.dataset.catalog
        if found := lineage.renders(catalog, self.selection_id):
            return found
        there = catalog.names("renders")
        return there[-1] if there else None

    @cached_property
    def captions(self) -> list[str]:
        """Tables of captions that count: measured facts, then what models said, the newest last."""
        catalog = self.dataset.catalog
        names = lineage.belonging(catalog, "captions", self.selection_id, of=self.renders)
        age = {name: -at for at, name in enumerate(names)}
        return sorted(names, key=lambda name: ("/facts" not in name, age[name]))

    @cached_property
    def tokenized(self) -> str | None:
        """The table of tokenized clips that counts: of these renders, the one last asked for."""
        names = lineage.belonging(
            self.dataset.catalog, "tokens", self.selection_id, of=self.renders
        )
        return lineage.marker(names[0]) if names else None


def tally(table: pa.Table, column: str) -> Counter[str]:
    """How often each value of a column occurs; null does not count."""
    pairs = pc.value_counts(table[column].drop_null()).to_pylist()
    return Counter({pair["values"]: pair["counts"] for pair in pairs})


def parsed(text: str | None) -> dict[str, Any]:
    """A JSON object of a run's row; empty if it is none, since a report is no place to fail."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _policy(runs: list[dict[str, Any]], selection_id: str | None) -> Policy | None:
    for run in reversed(runs):
        if run["step"] == "select" and run["result"] == selection_id:
            return _read(parsed(run["config"]).get("policy"))
    return None


def _read(found: object) -> Policy | None:
    """A policy as a run recorded it; what this version does not know is left out."""
    if not isinstance(found, Mapping):
        return None
    limits = found.get("limits")
    known = {}
    for name, bounds in (limits if isinstance(limits, Mapping) else {}).items():
        if name in LIMITS and isinstance(bounds, Mapping):
            known[name] = Range(_bound(bounds.get("min")), _bound(bounds.get("max")))
    semantic = found.get("semantic")
    said = semantic if isinstance(semantic, Mapping) else {}
    table = said.get("embedding")
    meaning = Semantic(
        table if isinstance(table, str) else None,
        _bound(said.get("similarity")) or Semantic.similarity,
    )
    try:
        return Policy(known, _bound(found.get("copies")), meaning)
    except ValueError:
        return None


def _bound(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
