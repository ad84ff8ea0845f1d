"""Routes of statistics: funnel, histograms of values, and the outcome of another policy."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from curation.select.policy import Range
from pipelines import config
from pipelines.config.policy import current_keys
from pipelines.report import funnel, tokenizers, totals
from pipelines.report.snapshot import OutputSnapshot, parsed
from pipelines.service import what_if
from pipelines.service.auth import Reader, Searcher
from pipelines.service.histograms import HistogramView, histograms
from pipelines.service.routes.collections import CollectionName
from pipelines.service.schemas import JobRequest, StrictModel
from pipelines.service.service import Service

_MAX_IDS = 200


class FunnelView(BaseModel):
    """The funnel from inputs to tokens, as rows of bars."""

    rows: list[dict[str, Any]]
    """Title, total, parts with their share of the width in per cent, and text."""
    seconds: dict[str, float]
    """Of source video, of all clips, and of the kept ones."""


class ValuesView(BaseModel):
    """The measured values, and the bounds of the newest selection."""

    selection: str | None
    histograms: list[HistogramView]
    near_duplicates: float | None
    """From which similarity on clips are near-duplicates; null where these are kept."""


class BoundsRequest(StrictModel):
    """Bounds on one value; either may be open."""

    min: float | int | None = None
    max: float | int | None = None


class WhatIfRequest(StrictModel):
    """Bounds to try instead of those of the newest selection."""

    limits: Annotated[dict[str, BoundsRequest], Field(max_length=100, default_factory=dict)]
    """By the value's name; others stay as they are."""
    near_duplicates: Annotated[float, Field(ge=0.6, le=1)] | None = None


class WhatIfResult(BaseModel):
    """What would be kept; nothing was stored."""

    kept_before: int
    kept_after: int
    before: dict[str, int]
    """Clips by verdict or, where filtered, by reason."""
    after: dict[str, int]
    gained: list[str]
    """Clips that would be kept and are not; at most 200."""
    lost: list[str]
    """Clips that are kept and would not be; at most 200."""
    uncompared: int
    """Kept clips that no selection has compared for duplicates yet."""
    settings: dict[str, Any] | None
    """Settings of a `select` job with this outcome; null where settings cannot express it."""


def add(app: FastAPI, service: Service) -> None:
    """Adds the routes."""
    outputs, computed = service.outputs, service.computations.route

    def load_output(name: str) -> OutputSnapshot:
        dataset = outputs.open(name)
        return outputs.cached(
            name, "output", dataset, lambda: OutputSnapshot.at(dataset, for_rules=True)
        )

    @app.get("/v1/collections/{name}/funnel")
    @computed
    def get_funnel(name: CollectionName, caller: Reader) -> FunnelView:
        """Inputs, clips, kept, rendered and tokenized clips, and why the others were left out."""
        output = load_output(name)
        return outputs.cached(name, "funnel", output.dataset, lambda: _funnel(output))

    @app.get("/v1/collections/{name}/values")
    @computed
    def get_values(name: CollectionName, caller: Reader) -> ValuesView:
        """The distribution of each value that a policy may bound, by verdict."""
        output = load_output(name)
        views = outputs.cached(name, "histograms", output.dataset, lambda: histograms(output))
        return ValuesView(
            selection=output.selection_id,
            histograms=views,
            near_duplicates=output.policy.near_duplicates if output.policy else None,
        )

    @app.post("/v1/collections/{name}/reselection")
    @computed
    def try_policy(name: CollectionName, trial: WhatIfRequest, caller: Searcher) -> WhatIfResult:
        """The newest selection with other bounds; nothing is stored."""
        output = load_output(name)
        if output.selection_id is None:
            raise HTTPException(409, "there is no selection yet; run `select` first")
        recorded = _recorded_config(output)
        limits = {key: Range(bounds.min, bounds.max) for key, bounds in trial.limits.items()}
        policy = config.recorded_policy(recorded)
        policy = what_if.with_bounds(policy, limits, trial.near_duplicates)
        result = what_if.evaluate(output.dataset, output.clips, policy)
        request = JobRequest(kind="select", collection=name)
        base = service.commands.profile(request, caller).resolved["policy"]
        return WhatIfResult(
            kept_before=result.before["kept"], kept_after=result.after["kept"],
            before=result.before, after=result.after,
            gained=result.gained[:_MAX_IDS], lost=result.lost[:_MAX_IDS],
            uncompared=result.uncompared,
            settings=what_if.settings(base, _with_trial(current_keys(recorded["policy"]), trial)),
        )  # fmt: skip


def _funnel(output: OutputSnapshot) -> FunnelView:
    counts = totals.gather(output)
    tokens = tokenizers.amount(tokenizers.gather(output))
    rows = funnel.draw(counts, output.selection_id is not None, tokens)
    seconds = {"source": counts.source_s, "clips": counts.clips_s, "kept": counts.kept_s}
    return FunnelView(rows=[asdict(row) for row in rows], seconds=seconds)


def _recorded_config(output: OutputSnapshot) -> dict[str, Any]:
    """The configuration of the run that made the newest selection."""
    for run in reversed(output.runs):
        if run["step"] == "select" and run["result"] == output.selection_id:
            recorded = parsed(run["config"])
            if isinstance(recorded.get("policy"), dict):
                return recorded
    raise HTTPException(409, "no run records the policy of the newest selection")


def _with_trial(policy: dict[str, Any], trial: WhatIfRequest) -> dict[str, Any]:
    """A resolved policy with the bounds of the trial."""
    limits = {**(policy.get("limits") or {})}
    limits |= {name: {"min": r.min, "max": r.max} for name, r in trial.limits.items()}
    thresholds = {}
    if trial.near_duplicates is not None:
        thresholds["near_duplicates"] = trial.near_duplicates
    return {**policy, "limits": limits, **thresholds}
