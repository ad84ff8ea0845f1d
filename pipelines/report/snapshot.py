"""The tables that the report reads once: sources, clips with verdicts, runs, policy."""

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

from curation import lineage, records
from curation.dataset import Dataset
from curation.id_match import IdMatcher, one_chunk
from curation.records import Source
from curation.select.filter import filter_values
from curation.select.policy import LIMITS, TAGS, Policy, Range, Semantic
from curation.steps import StepInfo
from pipelines.config.policy import current_keys

Float64s = npt.NDArray[np.float64]
_VERDICTS = ("kept", "duplicate", "filtered")
WAITING = "waiting"
_COLUMNS = ("uri", "start_s", "end_s", *LIMITS, *TAGS, "verdict", "reason", "duplicate_of",
            "similarity")  # fmt: skip
"""What is shown of all clips."""
_RULE_COLUMNS = ("source_id", "shot_start_frame")
"""What rules of a policy look at as well."""
_SOURCE_COLUMNS = ["source_id", "uri", "outcome", "reason", "detail", "duration_s", "remarks"]


@dataclass(frozen=True)
class OutputSnapshot:
    """One output folder as it is now, with its newest selection."""

    dataset: Dataset
    sources: pa.Table
    """Every input and its outcome."""
    clips: pa.Table
    """Every clip with its source, what a policy looks at and, with a selection, its verdict."""
    runs: list[dict[str, Any]]
    """Runs that did work, oldest first."""
    selection_id: str | None
    """The newest selection; None before the first."""
    policy: Policy | None
    """Its policy; None where that is not recorded."""

    @classmethod
    def at(
        cls, dataset: Dataset, policy: Policy | None = None, *, for_rules: bool = False
    ) -> OutputSnapshot:
        """Reads an output; `policy` replaces the one that its runs record.

        With `for_rules` a policy can be applied to the clips.
        """
        dataset = dataset.snapshot()
        runs = dataset.runs().to_pylist()
        selection_id = dataset.latest_selection()
        columns = (*_COLUMNS, *_RULE_COLUMNS) if for_rules else _COLUMNS
        clips = dataset.scored_clips(
            selection_id=selection_id, columns=columns, as_dictionaries=not for_rules
        )
        policy = policy or _policy(recorded_settings(runs, selection_id).get("policy"))
        sources = dataset.catalog.read("sources", Source, _SOURCE_COLUMNS)
        return cls(dataset, sources, clips, runs, selection_id, policy)

    def values(self, name: str) -> Float64s:
        """A value that a policy may bound [clips]; NaN is not measured."""
        return filter_values(self.clips.select([name]))[name]

    @cached_property
    def verdicts(self) -> dict[str, npt.NDArray[np.bool_]]:
        """By verdict which clips [clips] have it; `waiting` are clips newer than the selection."""
        if self.selection_id is None:
            verdicts = pa.nulls(len(self.clips), pa.string())
        else:
            verdicts = one_chunk(self.clips["verdict"])
        verdicts = pc.fill_null(verdicts, WAITING)
        return {
            name: pc.equal(verdicts, name).to_numpy(zero_copy_only=False)
            for name in (*_VERDICTS, WAITING)
        }

    def by_verdict(self, name: str) -> dict[str, Float64s]:
        """One value [clips of the verdict] for each verdict."""
        values = self.values(name)
        return {verdict: values[mask] for verdict, mask in self.verdicts.items()}

    @cached_property
    def source_order(self) -> npt.NDArray[np.int64]:
        """For each clip the place of its source's address among the sorted ones [clips]."""
        encoded = one_chunk(self.clips["uri"]).dictionary_encode()
        rank = np.empty(len(encoded.dictionary) + 1, np.int64)
        rank[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(encoded.dictionary))
        rank[-1] = len(encoded.dictionary)
        return np.asarray(rank[pc.fill_null(encoded.indices, len(rank) - 1).to_numpy()], np.int64)

    @cached_property
    def kept_ids(self) -> pa.Array:
        """Ids of the kept clips."""
        return one_chunk(self.clips["clip_id"]).filter(pa.array(self.verdicts["kept"]))

    def kept_rows(self, name: str, record: type, columns: list[str]) -> pa.Table:
        """Rows of a side table about kept clips: the columns and `clip_id`."""
        rows = self.dataset.catalog.read(name, record, [*columns, "clip_id"])
        return rows.filter(pc.is_valid(IdMatcher(rows["clip_id"]).rows(self.kept_ids)))

    @cached_property
    def renders(self) -> str | None:
        """The current table of renders: the one that was requested last."""
        catalog = self.dataset.catalog
        if current := lineage.current_renders(catalog, self.selection_id):
            return current
        names = catalog.names("renders")
        return names[-1] if names else None

    @cached_property
    def captions(self) -> list[str]:
        """Current tables of captions: measured facts, then those of models, the newest last."""
        catalog = self.dataset.catalog
        names = lineage.tables_of_renders(catalog, "captions", self.selection_id, of=self.renders)
        names.reverse()
        return sorted(names, key=lambda name: "/facts" not in name)

    def outcomes_table(self, step: StepInfo) -> str | None:
        """The current table of a step's outcomes: made from these renders, requested last."""
        catalog, of = self.dataset.catalog, self.renders
        return lineage.current_outcomes(catalog, step.kind, self.selection_id, of)

    def kept_outcomes(self, step: StepInfo) -> pa.Table:
        """`clip_id`, `outcome`, `reason` and `detail` of the kept clips in a step."""
        columns = ["clip_id", "outcome", "reason", "detail"]
        table = self.outcomes_table(step)
        if table is None:
            return records.arrow_schema(step.load_record()).empty_table().select(columns)
        return self.kept_rows(table, step.load_record(), columns[1:])


def count_values(table: pa.Table, column: str) -> Counter[str]:
    """How often each value of a column occurs; null does not count."""
    pairs = pc.value_counts(table[column].drop_null()).to_pylist()
    return Counter({pair["values"]: pair["counts"] for pair in pairs})


def parsed(text: str | None) -> dict[str, Any]:
    """A JSON object of a run's row; empty if it is none, as the report shows the rest."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def selection_run(runs: list[dict[str, Any]], selection_id: str | None) -> dict[str, Any]:
    """The newest run that made a selection; empty if none did."""
    runs = [run for run in runs if run["step"] == "select" and run["result"] == selection_id]
    return runs[-1] if runs else {}


def recorded_settings(runs: list[dict[str, Any]], selection_id: str | None) -> dict[str, Any]:
    """The configuration with which a selection was made; empty if that is not recorded."""
    return parsed(selection_run(runs, selection_id).get("config"))


def _policy(record: object) -> Policy | None:
    """A policy as a run recorded it, without what this version does not know."""
    if not isinstance(record, Mapping):
        return None
    limits = {
        name: Range(_number(bounds.get("min")), _number(bounds.get("max")))
        for name, bounds in _mapping(record.get("limits")).items()
        if name in LIMITS and isinstance(bounds, Mapping)
    }
    semantic = _mapping(record.get("semantic"))
    embedding = semantic.get("embedding")
    try:
        return Policy(
            limits,
            _number(current_keys(record).get("near_duplicates")),
            Semantic(
                embedding if isinstance(embedding, str) else None,
                _number(semantic.get("similarity")) or Semantic.similarity,
            ),
        )
    except ValueError:
        return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
