"""Routes of collections: totals, sources, runs and report of an output."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Annotated, Any

import pyarrow.compute as pc
from fastapi import FastAPI, Path, Query
from pydantic import BaseModel
from starlette.responses import HTMLResponse

from curation.dataset import Dataset
from pipelines.report.formatting import base_name
from pipelines.service.auth import Reader
from pipelines.service.schemas import NAME
from pipelines.service.service import Service

CollectionName = Annotated[str, Path(pattern=NAME)]
_META_POLICY = re.compile(r'http-equiv="Content-Security-Policy" content="([^"]*)"')


class CollectionView(BaseModel):
    """The totals of an output."""

    name: str
    sources: dict[str, int]
    """By outcome."""
    clips: int
    selection: str | None
    """The newest selection."""
    verdicts: dict[str, int]
    """Its clips by verdict."""
    reasons: dict[str, int]
    """Its filtered clips by reason."""
    tables: list[str]
    """Tables of renders, captions, tokens, embeddings and scores."""


class SourceView(BaseModel):
    """An input and its outcome."""

    name: str
    """The last part of its address."""
    source_id: str | None
    outcome: str
    reason: str | None
    detail: str | None
    size_bytes: int
    width: int | None
    height: int | None
    fps: float | None
    duration_s: float | None
    clips: int | None
    extra: dict[str, str]


class SourceList(BaseModel):
    """Inputs, by address."""

    sources: list[SourceView]
    total: int


class RunView(BaseModel):
    """A run that did work."""

    run_id: str
    step: str
    started: str
    seconds: float
    counts: dict[str, int]
    result: str


def add(app: FastAPI, service: Service) -> None:
    """Adds the routes."""
    outputs = service.outputs

    @app.get("/v1/sources")
    def list_configured_sources(caller: Reader) -> list[str]:
        """Names of the configured sources of inputs."""
        return sorted(service.settings.sources)

    @app.get("/v1/collections")
    def list_collections(caller: Reader) -> list[str]:
        """The outputs, by name."""
        return outputs.names()

    @app.get("/v1/collections/{name}")
    def get_collection(name: CollectionName, caller: Reader) -> CollectionView:
        """The totals of an output."""
        dataset = outputs.open(name)
        return outputs.cached(name, "totals", dataset, lambda: _totals(name, dataset))

    @app.get("/v1/collections/{name}/sources")
    def list_sources(
        name: CollectionName, caller: Reader,
        outcome: Annotated[str | None, Query(pattern="^(scanned|failed)$")] = None,
        offset: Annotated[int, Query(ge=0, le=2**40)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> SourceList:  # fmt: skip
        """Inputs and their outcomes; the failed ones with their reasons."""
        rows = outputs.open(name).sources()
        if outcome is not None:
            rows = rows.filter(pc.field("outcome") == outcome)
        page = rows.sort_by("uri").slice(offset, limit).to_pylist(maps_as_pydicts="lossy")
        return SourceList(sources=[source_view(row) for row in page], total=rows.num_rows)

    @app.get("/v1/collections/{name}/runs")
    def list_runs(name: CollectionName, caller: Reader) -> list[RunView]:
        """Runs that did work, oldest first."""
        rows = outputs.open(name).runs().to_pylist()
        return [RunView(**{**row, "counts": json.loads(row["counts"])}) for row in rows]

    @app.get("/v1/collections/{name}/report", response_class=HTMLResponse)
    @service.computations.route
    def get_report(name: CollectionName, caller: Reader) -> HTMLResponse:
        """The report as one page; its policy allows its script by digest, and no network."""
        from pipelines.report.page import page
        from pipelines.report.snapshot import OutputSnapshot

        dataset = outputs.open(name)
        text = outputs.cached(name, "report", dataset, lambda: page(OutputSnapshot.at(dataset)))
        policy = _META_POLICY.search(text)
        assert policy is not None, "a report has a content policy"
        return HTMLResponse(
            text, headers={"Content-Security-Policy": f"{policy[1]}; frame-ancestors 'none'"}
        )


def _totals(name: str, dataset: Dataset) -> CollectionView:
    sources = Counter(dataset.sources()["outcome"].to_pylist())
    selection = dataset.latest_selection()
    verdicts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    if selection is not None:
        rows = dataset.selection(selection)
        verdicts.update(rows["verdict"].to_pylist())
        reasons.update(rows.filter(pc.field("verdict") == "filtered")["reason"].to_pylist())
    folders = ("renders", "captions", "embeddings", "tokens", "scores")
    return CollectionView(
        name=name,
        sources=sources,
        clips=dataset.catalog.rows("clips") or 0,
        selection=selection,
        verdicts=verdicts,
        reasons=reasons,
        tables=[table for folder in folders for table in dataset.catalog.names(folder)],
    )


def source_view(row: dict[str, Any]) -> SourceView:
    """A row of `sources` with the file's name in place of its address."""
    fields = {key: row[key] for key in SourceView.model_fields if key not in ("name", "extra")}
    return SourceView(**fields, name=base_name(row["uri"]), extra=row["extra"] or {})
