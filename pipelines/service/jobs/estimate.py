"""The expected cost of a job, from previous runs: `pipelines.run.estimate` for a collection."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from curation.dataset import Dataset
from curation.listing import Entry, list_videos
from pipelines.config import Profile
from pipelines.run import estimate
from pipelines.run.estimate import Rates
from pipelines.service.outputs import NoOutputError, Outputs
from pipelines.service.schemas import JOB_KINDS, JobRequest, StepEstimate


def find_inputs(
    uris: list[str], request: JobRequest, outputs: Outputs
) -> tuple[list[Entry], list[Entry]]:
    """All inputs, and those that have no outcome yet."""
    out = outputs.uri(request.collection)
    entries = list_videos(uris, exclude=out, follow_links=False).entries if uris else []
    return entries, estimate.new_entries(_open(request.collection, outputs), entries)


def estimate_steps(
    request: JobRequest, profile: Profile, new: list[Entry], outputs: Outputs
) -> tuple[dict[str, StepEstimate], Rates]:
    """Items and seconds of each step, and the rates that they follow from."""
    rates = measure_rates(request.collection, outputs)
    dataset = _open(request.collection, outputs)
    costs = estimate.estimate_steps(dataset, profile, JOB_KINDS[request.kind].steps, new, rates)
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
