"""Routes of clips: lists, one clip's data, its video and its thumbnail."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
from fastapi import FastAPI, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel

from curation import lineage, records
from curation.dataset import Dataset, sources_by_id
from curation.records import Clip, Render
from curation.storage import Storage
from pipelines.report.formatting import base_name
from pipelines.service.auth import Reader
from pipelines.service.byte_ranges import file_response
from pipelines.service.outputs import Outputs
from pipelines.service.routes.collections import CollectionName
from pipelines.service.service import Service
from pipelines.service.thumbnails import Thumbnails

ClipId = Annotated[str, Path(pattern=r"^[0-9a-f]{16,64}$")]
_IMMUTABLE = {"Cache-Control": "private, max-age=86400, immutable"}
"""A clip's id names its content, so that browsers may cache it."""
_NO_CACHE = {"Cache-Control": "private, no-cache"}
"""A later render, with faces blurred, appears under the same address."""


class ClipList(BaseModel):
    """Clips, by id."""

    clips: list[dict[str, Any]]
    """Span, scores, source columns and verdict; null is not measured."""
    total: int
    """Clips with this verdict."""
    next: str | None
    """The `after` of the next page."""


class ClipView(BaseModel):
    """Everything about one clip."""

    facts: dict[str, Any]
    """Span, scores, source columns and verdict."""
    captions: dict[str, list[str]]
    """By table, window by window."""
    renders: dict[str, dict[str, Any]]
    """By table."""


def add(app: FastAPI, service: Service) -> None:
    """Adds the routes."""
    outputs = service.outputs

    @app.get("/v1/collections/{name}/clips")
    def list_clips(
        name: CollectionName, caller: Reader,
        verdict: Annotated[str | None, Query(pattern="^(kept|filtered|duplicate)$")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: Annotated[str | None, Query(pattern=r"^[0-9a-f]{1,64}$")] = None,
    ) -> ClipList:  # fmt: skip
        """Clips with their spans, scores and verdicts."""
        _, table = outputs.clips(name)
        if verdict is not None:
            if "verdict" not in table.column_names:
                raise HTTPException(409, "there is no selection yet; run `select` first")
            table = table.filter(pc.field("verdict") == verdict)
        rest = table if after is None else table.filter(pc.field("clip_id") > after)
        page = [json_row(row) for row in rest.slice(0, limit).to_pylist()]
        has_more = rest.num_rows > limit
        return ClipList(
            clips=page, total=table.num_rows, next=page[-1]["clip_id"] if has_more else None
        )

    @app.get("/v1/collections/{name}/clips/{clip_id}")
    def get_clip(name: CollectionName, clip_id: ClipId, caller: Reader) -> ClipView:
        """Everything about one clip."""
        _, table = outputs.clips(name)
        dataset, tables = _clip_tables(outputs, name)
        rows = table.filter(pc.field("clip_id") == clip_id).to_pylist()
        if not rows:
            raise HTTPException(404, "the collection has no such clip")
        captions = {}
        for caption_table in tables.captions:
            windows = dataset.catalog.read(
                caption_table, records.Caption, ["clip_id", "text", "window"],
                pc.field("clip_id") == clip_id,
            )  # fmt: skip
            captions[caption_table] = windows.sort_by("window")["text"].to_pylist()
        renders = {table: json_row(row) for table, row in _renders(dataset, tables, clip_id)}
        return ClipView(facts=json_row(rows[0]), captions=captions, renders=renders)

    @app.get("/v1/collections/{name}/clips/{clip_id}/thumbnail", response_class=Response)
    def get_thumbnail(name: CollectionName, clip_id: ClipId, caller: Reader) -> Response:
        """The clip's thumbnail, as JPEG."""
        dataset = outputs.open(name)
        thumbnails = outputs.cached(
            name, "thumbnails", dataset, lambda: Thumbnails(dataset.catalog)
        )
        jpeg = thumbnails.jpeg(clip_id)
        if jpeg is None:
            raise HTTPException(404, "there is no thumbnail of this clip")
        return Response(jpeg, media_type="image/jpeg", headers=_IMMUTABLE)

    @app.get("/v1/collections/{name}/clips/{clip_id}/video", response_class=Response)
    async def get_video(
        name: CollectionName, clip_id: ClipId, caller: Reader, request: Request
    ) -> Response:
        """The clip as mp4, whole or a `Range` of it: its newest render, or a cut of its source."""
        range_header = request.headers.get("range")

        def run() -> Response:
            storage, relative = _video(service, name, clip_id)
            return file_response(storage, relative, range_header, "video/mp4", _NO_CACHE)

        return await service.computations.run(caller.name, run, decodes=True)


@dataclass(frozen=True)
class _ClipTables:
    """The tables that say something of single clips."""

    captions: list[str]
    renders: list[str]
    """The latest requested first."""
    newest_renders: str | None


def _clip_tables(outputs: Outputs, name: str) -> tuple[Dataset, _ClipTables]:
    """A collection as of its last run, and those of its tables."""
    dataset = outputs.snapshot(name)

    def find() -> _ClipTables:
        catalog, selection = dataset.catalog, dataset.latest_selection()
        return _ClipTables(
            captions=dataset.caption_tables(),
            renders=lineage.newest_first(catalog, "renders", selection),
            newest_renders=lineage.current_renders(catalog, selection),
        )

    return dataset, outputs.cached(name, "clip tables", dataset, find)


def _video(service: Service, name: str, clip_id: str) -> tuple[Storage, str]:
    """Storage and path of the clip's render by the newest profile, or of a preview of its span.

    Renders by other profiles are never shown: only the newest may blur faces.
    """
    dataset, tables = _clip_tables(service.outputs, name)
    for table, row in _renders(dataset, tables, clip_id):
        if row["path"] is not None and tables.newest_renders in (table, None):
            return dataset.catalog.storage, row["path"]
    rows = dataset.catalog.read("clips", Clip, where=pc.field("clip_id") == clip_id)
    clips = records.from_table(Clip, rows)
    sources = sources_by_id(dataset.catalog, {clip.source_id for clip in clips})
    source = sources.get(clips[0].source_id) if clips else None
    if source is None:
        raise HTTPException(404, "the collection has no such clip")
    service.check_source(source.uri)
    return service.previews.get(clips[0], source)


def _renders(
    dataset: Dataset, tables: _ClipTables, clip_id: str
) -> list[tuple[str, dict[str, Any]]]:
    """The clip's successful renders and their tables, the latest requested first."""
    renders = []
    for table in tables.renders:
        where = (pc.field("clip_id") == clip_id) & (pc.field("outcome") == "rendered")
        rows: pa.Table = dataset.catalog.read(table, Render, where=where)
        renders += [(table, row) for row in rows.to_pylist()]
    return renders


def json_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row for JSON: NaN as null, without bytes, with the file's name in place of its address."""
    result = {}
    for key, value in row.items():
        if isinstance(value, bytes):
            continue
        if isinstance(value, float) and not math.isfinite(value):
            value = None  # noqa: PLW2901
        if key == "uri" and isinstance(value, str):
            key, value = "source", base_name(value)  # noqa: PLW2901
        result[key] = value
    return result
