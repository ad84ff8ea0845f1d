"""What a run would do and take, from the tables and previous runs; nothing is written.

A scan is estimated by the bytes it has to read, at the previous seconds per byte; render, caption
and tokenize by the clips they have yet to do, at the previous seconds per clip. The number of clips
of new sources, and the share kept, follow the sources so far. Without previous runs there is no
estimate.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import pyarrow.compute as pc

from curation import lineage
from curation.dataset import Dataset
from curation.listing import Entry
from curation.scan.stage import ScanItem
from curation.scan.step import ScanStep
from curation.step import unfinished_ids
from curation.steps import STEPS, clip_steps
from pipelines.config import Profile
from pipelines.run.applied_settings import applied_settings, setting_changes

_OUTCOME_COLUMNS = ["clip_id", "outcome", "reason"]


@dataclass(frozen=True)
class Rates:
    """Measured rates; None or empty where nothing has run."""

    scan_s_per_byte: float | None = None
    s_per_clip: dict[str, float] | None = None
    """By step."""
    clips_per_byte: float = 0.0
    kept_share: float = 0.0
    collections: tuple[str, ...] = ()
    """The collections that were measured."""


@dataclass(frozen=True)
class StepCost:
    """What one step would do."""

    items: int | None
    """Sources or clips; None where nothing tells how many clips new sources give."""
    seconds: float | None
    """None where it is not known."""


def scan_step(
    dataset: Dataset, profile: Profile, entries: Sequence[Entry], retry: Collection[str]
) -> ScanStep:
    """The scan of these inputs, whose work list is that of a run."""
    return ScanStep(dataset.catalog, profile.scan, entries, frozenset(retry))


def estimate_steps(
    dataset: Dataset | None,
    profile: Profile,
    steps: Iterable[str],
    scan: Sequence[ScanItem],
    rates: Rates,
    *,
    retry: Collection[str] = (),
) -> dict[str, StepCost]:
    """Items and seconds of each of these steps of one run.

    `scan` is the work list of the scan, `retry` the reasons of failures that are tried again.
    """
    names = tuple(steps)
    scans_too = "scan" in names
    size_bytes = sum(item.entry.size_bytes for item in scan)
    new = [item.entry.size_bytes for item in scan if item.known_clips is None]
    new_clips = sum(new) * rates.clips_per_byte if scans_too else 0.0
    is_unknown = scans_too and bool(new) and not new_clips  # as sizes of the web are
    pending = {} if dataset is None else pending_clips(dataset.snapshot(), profile, retry)
    costs = {}
    items: int | None
    for step in names:
        if step == "scan":
            items, s_per_item = len(scan), rates.scan_s_per_byte
            is_known = bool(size_bytes) and s_per_item is not None
            seconds = size_bytes * (s_per_item or 0.0) if is_known or not scan else None
        else:
            share = 1.0 if step == "select" else rates.kept_share
            items = None if is_unknown else pending.get(step, 0) + round(new_clips * share)
            s_per_item = (rates.s_per_clip or {}).get(step)
            seconds = None if s_per_item is None or items is None else items * s_per_item
        costs[step] = StepCost(items, seconds)
    return costs


def pending_clips(
    dataset: Dataset, profile: Profile, retry: Collection[str] = ()
) -> dict[str, int]:
    """Clips that each step would process now; select processes all.

    A step whose settings differ from those of its last run fills another table, and so processes
    all kept clips. No model is loaded to find that out.
    """
    catalog = dataset.catalog
    pending = {"select": catalog.rows("clips") or 0}
    if selection_id := dataset.latest_selection():
        kept = dataset.kept_clip_ids(selection_id)
        applied = applied_settings(catalog)

        def is_unchanged(step: str) -> bool:
            now = profile.resolved[STEPS[step].section]
            return step in applied and not setting_changes(step, applied[step].settings, now)

        for step in clip_steps():
            reads = [step.name, *(["render"] if "render" in step.reads else [])]
            table = lineage.current_outcomes(catalog, step.kind, selection_id)
            pending[step.name] = len(kept)
            if table and all(map(is_unchanged, reads)):
                outcomes = catalog.read(table, step.load_record(), _OUTCOME_COLUMNS)
                pending[step.name] = len(unfinished_ids(kept, outcomes, retry))
    return pending


def measure_rates(datasets: Sequence[Dataset]) -> Rates:
    """Rates of all runs of these outputs."""
    seconds: Counter[str] = Counter()
    items: Counter[str] = Counter()
    size_bytes = clips = kept = selected = 0
    for dataset in datasets:
        for run in dataset.runs().to_pylist():
            seconds[run["step"]] += run["seconds"]
            items[run["step"]] += sum(json.loads(run["counts"]).values())
        scanned = dataset.sources().filter(pc.field("outcome") == "scanned")
        size_bytes += pc.sum(scanned["size_bytes"]).as_py() or 0
        clips += pc.sum(scanned["clips"]).as_py() or 0
        if selection := dataset.latest_selection():
            rows = dataset.selection(selection)
            selected += rows.num_rows
            kept += rows.filter(pc.field("verdict") == "kept").num_rows
    return Rates(
        scan_s_per_byte=seconds["scan"] / size_bytes if size_bytes else None,
        s_per_clip={step: seconds[step] / count for step, count in items.items() if count},
        clips_per_byte=clips / size_bytes if size_bytes else 0.0,
        kept_share=kept / selected if selected else 1.0,
    )
