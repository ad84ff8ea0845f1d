"""Two selections side by side: counts, differences of their policies, clips gained and lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.errors import UnknownSelectionError
from curation.id_match import IdMatcher, one_chunk, to_bools
from curation.records import Verdict
from curation.select.policy import FILTER_REASONS
from pipelines.config.merge import flatten
from pipelines.config.policy import current_keys
from pipelines.report.contact_sheets import ContactSheet, Tile, evenly_spread, read_tiles
from pipelines.report.formatting import thousands
from pipelines.report.snapshot import OutputSnapshot, recorded_settings

Rows = npt.NDArray[np.int64]
PREVIOUS = "before"
"""Names the selection before the newest."""
_MAX_TILES = 60
_NEWER = "newer than the selection"


@dataclass(frozen=True)
class OutcomeChange:
    """How many clips have one verdict or reason in each selection."""

    name: str
    meaning: str
    current: int
    previous: int

    @property
    def change(self) -> str:
        """The difference, with its sign; empty if there is none."""
        difference = self.current - self.previous
        return f"{difference:+,}" if difference else ""


@dataclass(frozen=True)
class PolicyChange:
    """A setting in which the policies differ."""

    name: str
    current: str
    previous: str


@dataclass(frozen=True)
class Comparison:
    """The newest selection and another one, here the previous one."""

    previous_id: str
    outcomes: list[OutcomeChange]
    """Kept, then duplicates and reasons, the largest changes first."""
    policy: list[PolicyChange]
    both_keep: int
    gained: ContactSheet
    """Clips that only the newest keeps."""
    lost: ContactSheet
    """Clips that only the other one keeps."""


def compare(output: OutputSnapshot, other: str) -> Comparison:
    """Compares the newest selection with another: an id, its beginning, a subset, or `before`.

    Raises `UnknownSelectionError`.
    """
    previous_id = _selection_id(output, other)
    rows = output.dataset.selection(previous_id)
    current = _outcomes(output.clips["verdict"], output.clips["reason"])
    index = IdMatcher(output.clips["clip_id"]).rows(rows["clip_id"])
    previous = _outcomes(*(one_chunk(rows[name]).take(index) for name in ("verdict", "reason")))
    is_kept, was_kept = (to_bools(pc.equal(column, "kept")) for column in (current, previous))
    gained, lost = np.flatnonzero(is_kept & ~was_kept), np.flatnonzero(was_kept & ~is_kept)
    tiles = read_tiles(
        output, sorted([*evenly_spread(gained, _MAX_TILES), *evenly_spread(lost, _MAX_TILES)])
    )
    return Comparison(
        previous_id=previous_id,
        outcomes=_outcome_changes(_counts(current), _counts(previous)),
        policy=list(_policy_changes(output, previous_id)),
        both_keep=int((is_kept & was_kept).sum()),
        gained=_sheet("gained", gained, tiles, previous),
        lost=_sheet("lost", lost, tiles, current),
    )


def _selection_id(output: OutputSnapshot, other: str) -> str:
    if output.selection_id is None:
        raise UnknownSelectionError("there is no selection yet; run `reelmill select` first")
    if other == PREVIOUS:
        results = [run["result"] for run in output.runs if run["step"] == "select"]
        earlier = [result for result in results if result != output.selection_id]
        if not earlier:
            raise UnknownSelectionError("there is no other selection to compare with yet")
        return str(earlier[-1])
    names = sorted(output.dataset.catalog.values("selection", Verdict, "selection_id"))
    matches = [name for name in names if other and name.startswith(other)]
    if len(matches) == 1:
        return str(matches[0])
    if not matches and output.dataset.selection(other).num_rows:
        return other
    choices = ", ".join(matches or names)
    raise UnknownSelectionError(f"{other!r} names {len(matches)} selections; there are {choices}")


def _outcomes(verdicts: pa.Array, reasons: pa.Array) -> pa.Array:
    """For each clip `kept`, the reason why it is not, or that it is newer."""
    outcomes = pc.if_else(pc.equal(verdicts, "kept"), verdicts, pc.coalesce(reasons, verdicts))
    return one_chunk(pc.fill_null(outcomes, _NEWER))


def _counts(outcomes: pa.Array) -> Counter[str]:
    counts = pc.value_counts(outcomes).to_pylist()
    return Counter({pair["values"]: pair["counts"] for pair in counts})


def _outcome_changes(current: Counter[str], previous: Counter[str]) -> list[OutcomeChange]:
    names = sorted(
        current | previous,
        key=lambda name: (name != "kept", -abs(current[name] - previous[name]), name),
    )
    return [
        OutcomeChange(name, FILTER_REASONS.get(name, ""), current[name], previous[name])
        for name in names
    ]


def _sheet(name: str, rows: Rows, tiles: Mapping[int, Tile], notes: pa.Array) -> ContactSheet:
    shown = [
        replace(tiles[row], note=notes[row].as_py()) for row in evenly_spread(rows, _MAX_TILES)
    ]
    total = len(rows)
    extent = "" if len(shown) == total else f"{len(shown)} of {thousands(total)}"
    return ContactSheet(name, "", shown, total, extent)


def _policy_changes(output: OutputSnapshot, previous_id: str) -> Iterator[PolicyChange]:
    """Settings in which the recorded policies differ; an empty one equals a missing one."""
    policies = []
    for selection_id in (output.selection_id, previous_id):
        policy = recorded_settings(output.runs, selection_id).get("policy")
        if not isinstance(policy, Mapping):
            return
        policies.append(
            {
                key: json.dumps(value, ensure_ascii=False)[:200]
                for key, value in flatten(current_keys(policy)).items()
            }
        )
    current, previous = policies
    for name in sorted(current.keys() | previous.keys()):
        if current.get(name) != previous.get(name):
            yield PolicyChange(name, current.get(name, "–"), previous.get(name, "–"))
