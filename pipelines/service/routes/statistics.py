"""Routes of what a collection looks like: funnel, spread of values, and trying another policy."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from curation.select.policy import Range
from pipelines import config
from pipelines.report import funnel, tokenizers, totals
from pipelines.report.page import amount
from pipelines.report.snapshot import Output, parsed
from pipelines.service import what_if
from pipelines.service.auth import Reader, Searcher
from pipelines.service.histograms import Histogram, histograms
from pipelines.service.routes.collections import CollectionName
from pipelines.service.schemas import Record, Wish
from pipelines.service.service import Service

_MOST_IDS = 200


class Funnel(BaseModel):
    """The way from inputs to tokens, as rows of bars."""

    rows: list[dict[str, Any]]
    """Title, total, parts with their share of the width in per cent, and words."""
    seconds: dict[str, float]
    """Of source video, of all clips, and of the kept ones."""


class Values(BaseModel):
    """What was measured, and what the newest selection asks of it."""

    selection: str | None
    histograms: list[Histogram]
    copies: float | None
    """From where on clips are copies; null where copies are kept."""


class Side(Record):
    """Bounds on one value; without any it has none."""

    min: float | int | None = None
    max: float | int | None = None


class Trial(Record):
    """Bounds to try instead of those of the newest selection."""

    limits: Annotated[dict[str, Side], Field(max_length=100, default_factory=dict)]
    """By the value's name; one that is not named stays as it is."""
    copies: Annotated[float, Field(ge=0.6, le=1)] | None = None


class Tried(BaseModel):
    """What would be kept; nothing was stored."""

    kept_before: int
    kept_after: int
    before: dict[str, int]
    """Clips by verdict or, where filtered, by reason."""
    after: dict[str, int]
    gained: list[str]
    """Some of the clips that would be kept and are not; at most 200."""
    lost: list[str]
    """Some of the clips that are kept and would not be; at most 200."""
    uncompared: int
    """Clips among those kept that no selection has compared for duplicates yet."""
    settings: dict[str, Any] | None
    """What to give to a `select` job so that it is so; null where settings cannot say it."""


def add(app: FastAPI, service: Service) -> None:
    """Adds the routes."""
    outputs = service.outputs

    def output(name: str) -> Output:
        dataset = outputs.opened(name)
        return outputs.kept(name, "output", dataset, lambda: Output.at(dataset))

    @app.get("/v1/collections/{name}/funnel")
    def get_funnel(name: CollectionName, caller: Reader) -> Funnel:
        """Inputs, clips, kept, rendered and tokenized clips, and what was left out why."""
        found = output(name)
        return outputs.kept(name, "funnel", found.dataset, lambda: _funnel(found))

    @app.get("/v1/collections/{name}/values")
    def get_values(name: CollectionName, caller: Reader) -> Values:
        """How each value that a policy may bound is spread, by verdict."""
        found = output(name)
        drawn = outputs.kept(name, "histograms", found.dataset, lambda: histograms(found))
        copies = found.policy.copies if found.policy else None
        return Values(selection=found.selection_id, histograms=drawn, copies=copies)

    @app.post("/v1/collections/{name}/reselection")
    def try_policy(name: CollectionName, trial: Trial, caller: Searcher) -> Tried:
        """What the newest selection would be with other bounds; nothing is stored."""
        found = output(name)
        if found.selection_id is None:
            raise HTTPException(409, "there is no selection yet; run `select` first")
        recorded = _recorded(found)
        limits = {key: Range(r.min, r.max) for key, r in trial.limits.items()}
        try:
            policy = what_if.changed(config.recorded_policy(recorded), limits, trial.copies)
            tried = what_if.reselect(found.dataset, found.clips, policy)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        wish = Wish(kind="select", collection=name)
        base = service.orders.profile(wish, caller).resolved["policy"]
        return _tried(tried, what_if.settings(base, _changed(recorded["policy"], trial)))


def _funnel(output: Output) -> Funnel:
    counts = totals.gather(output)
    made = amount(tokenizers.gather(output))
    rows = funnel.draw(counts, output.selection_id is not None, made)
    seconds = {"source": counts.source_s, "clips": counts.clips_s, "kept": counts.kept_s}
    return Funnel(rows=[asdict(row) for row in rows], seconds=seconds)


def _recorded(output: Output) -> dict[str, Any]:
    """The configuration of the run that made the newest selection."""
    for run in reversed(output.runs):
        if run["step"] == "select" and run["result"] == output.selection_id:
            found = parsed(run["config"])
            if isinstance(found.get("policy"), dict):
                return found
    raise HTTPException(409, "no run tells the policy of the newest selection")


def _changed(policy: dict[str, Any], trial: Trial) -> dict[str, Any]:
    """A resolved policy with what is tried."""
    limits = {**(policy.get("limits") or {})}
    limits |= {name: {"min": r.min, "max": r.max} for name, r in trial.limits.items()}
    copies = {} if trial.copies is None else {"copies": trial.copies}
    return {**policy, "limits": limits, **copies}


def _tried(tried: what_if.Reselection, settings: dict[str, Any] | None) -> Tried:
    return Tried(
        kept_before=tried.before["kept"], kept_after=tried.after["kept"],
        before=tried.before, after=tried.after,
        gained=tried.gained[:_MOST_IDS], lost=tried.lost[:_MOST_IDS],
        uncompared=tried.uncompared, settings=settings,
    )  # fmt: skip
