"""Two selections side by side: counts, what their policies differ in, and clips gained and lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from curation.errors import ReelmillError
from curation.records import Verdict
from curation.select.policy import FILTER_REASONS
from pipelines.config.flatten import leaves
from pipelines.report.formatting import thousands
from pipelines.report.pictures import Sheet, Tile, tiles_of
from pipelines.report.snapshot import Output, parsed

BEFORE = "before"
"""Names the selection before the newest."""
MOST_SHOWN = 60
_NEW = "newer than the selection"


class UnknownSelectionError(ReelmillError, ValueError):
    """There is no such selection to compare with."""


@dataclass(frozen=True)
class Outcome:
    """How many clips have one verdict or reason in each selection."""

    name: str
    words: str
    now: int
    before: int

    @property
    def change(self) -> str:
        """The difference, with its sign; empty if there is none."""
        return f"{self.now - self.before:+,}" if self.now != self.before else ""


@dataclass(frozen=True)
class Rule:
    """A setting of the policy that differs."""

    name: str
    now: str
    before: str


@dataclass(frozen=True)
class Comparison:
    """The newest selection and another one."""

    before_id: str
    outcomes: list[Outcome]
    """Kept, duplicates, then reasons, those that changed most first."""
    rules: list[Rule]
    both: int
    """Clips that both keep."""
    gained: Sheet
    """Clips that only the newest keeps."""
    lost: Sheet
    """Clips that only the other one keeps."""


def compare(output: Output, other: str) -> Comparison:
    """Compares the newest selection with another: an id, its beginning, a subset, or `before`.

    Raises `UnknownSelectionError`.
    """
    before_id = _resolved(output, other)
    rows = output.dataset.selection(before_id)
    columns = (rows[name].to_pylist() for name in ("clip_id", "verdict", "reason"))
    was = {clip: _word(verdict, reason) for clip, verdict, reason in zip(*columns, strict=True)}
    ids = output.clips["clip_id"].to_pylist()
    reasons = output.clips["reason"].to_pylist()
    now = [_word(v, r) for v, r in zip(output.verdicts.tolist(), reasons, strict=True)]
    before = [was.get(clip, _NEW) for clip in ids]
    pairs = list(zip(now, before, strict=True))
    gained = [at for at, (n, b) in enumerate(pairs) if n == "kept" and b != "kept"]
    lost = [at for at, (n, b) in enumerate(pairs) if n != "kept" and b == "kept"]
    shown = [*_spread(gained), *_spread(lost)]
    tiles = tiles_of(output, sorted(shown))
    return Comparison(
        before_id=before_id,
        outcomes=_outcomes(Counter(now), Counter(before)),
        rules=list(_rules(output, before_id)),
        both=sum(n == b == "kept" for n, b in pairs),
        gained=_sheet("gained", gained, {at: replace(tiles[at], note=before[at]) for at in shown}),
        lost=_sheet("lost", lost, {at: replace(tiles[at], note=now[at]) for at in shown}),
    )


def _resolved(output: Output, other: str) -> str:
    """The id of the selection that is meant."""
    if output.selection_id is None:
        raise UnknownSelectionError("there is no selection yet; run `reelmill select` first")
    runs = [run["result"] for run in output.runs if run["step"] == "select"]
    if other == BEFORE:
        earlier = [run for run in runs if run != output.selection_id]
        if not earlier:
            raise UnknownSelectionError("there is no other selection to compare with yet")
        return str(earlier[-1])
    known = sorted(output.dataset.catalog.values("selection", Verdict, "selection_id"))
    fitting = [name for name in known if other and name.startswith(other)]
    if len(fitting) == 1:
        return str(fitting[0])
    if not fitting and output.dataset.selection(other).num_rows:
        return other
    some = ", ".join(fitting or known)
    raise UnknownSelectionError(f"{other!r} names {len(fitting)} selections; there are {some}")


def _word(verdict: str | None, reason: str | None) -> str:
    return _NEW if verdict is None else (reason or verdict) if verdict != "kept" else "kept"


def _outcomes(now: Counter[str], before: Counter[str]) -> list[Outcome]:
    names = sorted(now | before, key=lambda name: (-abs(now[name] - before[name]), name))
    names.sort(key=lambda name: name != "kept")
    return [Outcome(n, FILTER_REASONS.get(n, ""), now[n], before[n]) for n in names]


def _spread(places: list[int]) -> list[int]:
    """At most `MOST_SHOWN` of the places, evenly spread."""
    picked = np.linspace(0, len(places) - 1, min(MOST_SHOWN, len(places))).round().astype(int)
    return [places[index] for index in picked]


def _sheet(name: str, places: list[int], tiles: Mapping[int, Tile]) -> Sheet:
    shown, total = _spread(places), len(places)
    said = "" if len(shown) == total else f"{len(shown)} of {thousands(total)}"
    return Sheet(name, "", [tiles[at] for at in shown], total, said)


def _rules(output: Output, before_id: str) -> Iterator[Rule]:
    """The settings that the recorded policies differ in; one that is empty is as good as none."""
    found = []
    for selection in (output.selection_id, before_id):
        runs = [
            run for run in output.runs if run["result"] == selection and run["step"] == "select"
        ]
        policy = parsed(runs[-1]["config"]).get("policy") if runs else None
        if not isinstance(policy, Mapping):
            return
        found.append({key: _shown(value) for key, value in leaves(policy).items()})
    now, before = found
    for name in sorted(now.keys() | before.keys()):
        if now.get(name) != before.get(name):
            yield Rule(name, now.get(name, "–"), before.get(name, "–"))


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:200]
