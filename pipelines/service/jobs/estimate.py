"""The expected cost of a job, from previous runs: `pipelines.run.estimate` for a collection."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from curation.dataset import Dataset
from curation.listing import Entry, list_videos
from curation.scan.stage import ScanItem
from pipelines.config import Profile
from pipelines.run import estimate
from pipelines.run.estimate import Rates
from pipelines.service.outputs import NoOutputError, Outputs
from pipelines.service.schemas import JOB_KINDS, JobRequest, StepEstimate


def find_inputs(
    uris: list[str], request: JobRequest, profile: Profile, outputs: Outputs
) -> tuple[list[Entry], list[ScanItem]]:
    """All inputs, and those that the job would scan.

    Known sources that lack a score are not among them: to know that, models would be opened.
    """
    out = outputs.uri(request.collection)
    entries = list_videos(uris, exclude=out, follow_links=False).entries if uris else []
    dataset = _open(request.collection, outputs)
    if dataset is not None:
        step = estimate.scan_step(dataset, profile, entries, request.retry)
        return entries, [ScanItem(entry) for entry in step.new_entries()]
    return entries, [ScanItem(entry) for entry in entries]


def estimate_steps(
    request: JobRequest, profile: Profile, new: list[ScanItem], outputs: Outputs
) -> tuple[dict[str, StepEstimate], Rates]:
    """Items and seconds of each step, and the rates that they follow from."""
    rates = measure_rates(request.collection, outputs)
    dataset = _open(request.collection, outputs)
    steps = JOB_KINDS[request.kind].steps
    costs = estimate.estimate_steps(dataset, profile, steps, new, rates, retry=request.retry)
    return {
        step: StepEstimate(items=cost.items, seconds=cost.seconds) for step, cost in costs.items()
    }, rates


def measure_rates(name: str, outputs: Outputs) -> Rates:
    """Rates of the collection's own runs, or of all other collections' where it has none."""
    for group in ([name], [other for other in outputs.names() if other != name]):
        datasets = {c: dataset for c in group if (dataset := _open(c, outputs)) is not None}
        rates = estimate.measure_rates(list(datasets.values()))
        if rates.scan_s_per_byte is not None:
            return replace(rates, collections=tuple(datasets))
    return Rates()


def _open(name: str, outputs: Outputs) -> Dataset | None:
    with contextlib.suppress(NoOutputError):
        return outputs.open(name)
    return None
