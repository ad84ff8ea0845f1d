"""The expected cost of a job, from previous runs.

A scan is estimated by the bytes it has to read, at the previous seconds per byte; render, caption
and tokenize by the clips they have yet to do, at the previous seconds per clip. The number of clips
of new sources, and the share kept, follow the sources so far. Without previous runs there is no
estimate.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from dataclasses import dataclass, replace

import pyarrow.compute as pc

from curation import lineage
from curation.dataset import Dataset
from curation.listing import Entry, list_videos
from curation.steps import STEPS, clip_steps
from pipelines.config import Profile
from pipelines.run.applied_settings import applied_settings, setting_changes
from pipelines.service.outputs import NoOutputError, Outputs
from pipelines.service.schemas import JOB_KINDS, JobRequest, StepEstimate


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


def find_inputs(
    uris: list[str], request: JobRequest, outputs: Outputs
) -> tuple[list[Entry], list[Entry]]:
    """All inputs, and those that have no outcome yet."""
    out = outputs.uri(request.collection)
    entries = list_videos(uris, exclude=out, follow_links=False).entries if uris else []
    try:
        sources = outputs.open(request.collection).sources()
    except NoOutputError:
        return entries, entries
    columns = (sources[name].to_pylist() for name in ("uri", "size_bytes", "modified"))
    keys = {f"{uri}|{size}|{modified}" for uri, size, modified in zip(*columns, strict=True)}
    return entries, [entry for entry in entries if entry.key not in keys]


def estimate_steps(
    request: JobRequest, profile: Profile, new: list[Entry], outputs: Outputs
) -> tuple[dict[str, StepEstimate], Rates]:
    """Items and seconds of each step, and the rates that they follow from."""
    rates = measure_rates(request.collection, outputs)
    size_bytes = sum(entry.size_bytes for entry in new)
    is_curate = request.kind == "curate"
    new_clips = round(size_bytes * rates.clips_per_byte * rates.kept_share) if is_curate else 0
    pending = _pending_clips(request.collection, profile, outputs)
    estimates = {}
    for step in JOB_KINDS[request.kind].steps:
        if step == "scan":
            items, s_per_item = len(new), rates.scan_s_per_byte
            seconds = None if s_per_item is None else size_bytes * s_per_item
            seconds = seconds if new else 0.0
        else:
            items, s_per_item = pending.get(step, 0) + new_clips, (rates.s_per_clip or {}).get(step)
            is_unknown = is_curate and new and not rates.clips_per_byte
            seconds = None if s_per_item is None or is_unknown else items * s_per_item
        estimates[step] = StepEstimate(items=items, seconds=seconds)
    return estimates, rates


def _pending_clips(name: str, profile: Profile, outputs: Outputs) -> dict[str, int]:
    """Clips that each step would process now; select processes all.

    A step whose settings differ from those of its last run fills another table, and so processes
    all kept clips. No model is loaded to find that out.
    """
    try:
        dataset = outputs.open(name).snapshot()
    except NoOutputError:
        return {}
    catalog = dataset.catalog
    pending = {"select": catalog.rows("clips") or 0}
    if selection_id := dataset.latest_selection():
        kept = dataset.selection(selection_id).filter(pc.field("verdict") == "kept").num_rows
        applied = applied_settings(catalog)

        def is_unchanged(step: str) -> bool:
            now = profile.resolved[STEPS[step].section]
            return step in applied and not setting_changes(step, applied[step].settings, now)

        for step in clip_steps():
            reads = [step.name, *(["render"] if "render" in step.reads else [])]
            table = lineage.current_outcomes(catalog, step.kind, selection_id)
            done = catalog.rows(table) if table and all(map(is_unchanged, reads)) else 0
            pending[step.name] = max(0, kept - (done or 0))
    return pending


def measure_rates(name: str, outputs: Outputs) -> Rates:
    """Rates of the collection's own runs, or of all other collections' where it has none."""
    for group in ([name], [other for other in outputs.names() if other != name]):
        datasets = {}
        for collection in group:
            with contextlib.suppress(NoOutputError):
                datasets[collection] = outputs.open(collection)
        rates = _rates(list(datasets.values()))
        if rates.scan_s_per_byte is not None:
            return replace(rates, collections=tuple(datasets))
    return Rates()


def _rates(datasets: list[Dataset]) -> Rates:
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
