"""Routes of clips: lists, one clip's facts, its video and its thumbnail."""

from __future__ import annotations

import math
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
from fastapi import FastAPI, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel

from curation import lineage, records
from curation.dataset import Dataset, source_rows
from curation.records import Clip, Render
from curation.storage import Storage
from pipelines.service import byte_ranges
from pipelines.service.auth import Reader
from pipelines.service.routes.collections import CollectionName
from pipelines.service.service import Service
from pipelines.service.thumbnails import Thumbnails

ClipId = Annotated[str, Path(pattern=r"^[0-9a-f]{16,64}$")]
_HELD = {"Cache-Control": "private, max-age=86400, immutable"}
"""A clip's id names its content, so that a browser may keep it."""
_FRESH = {"Cache-Control": "private, no-cache"}
"""Another render of a clip may come, with faces blurred, under the same address."""


class ClipList(BaseModel):
    """Clips, by id."""

    clips: list[dict[str, Any]]
    """Span, scores, source facts and verdict; null is not measured."""
    total: int
    """Clips in all with this verdict."""
    next: str | None
    """Give it as `after` to go on."""


class ClipView(BaseModel):
    """All that is known of one clip."""

    facts: dict[str, Any]
    """Span, scores, source facts and verdict."""
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
        left = table if after is None else table.filter(pc.field("clip_id") > after)
        page = [plain(row) for row in left.slice(0, limit).to_pylist()]
        more = left.num_rows > limit
        return ClipList(
            clips=page, total=table.num_rows, next=page[-1]["clip_id"] if more else None
        )

    @app.get("/v1/collections/{name}/clips/{clip_id}")
    def get_clip(name: CollectionName, clip_id: ClipId, caller: Reader) -> ClipView:
        """All that is known of one clip."""
        dataset, table = outputs.clips(name)
        rows = table.filter(pc.field("clip_id") == clip_id).to_pylist()
        if not rows:
            raise HTTPException(404, "the collection has no such clip")
        captions = {}
        for each in dataset.caption_tables():
            said = dataset.catalog.read(each, records.Caption, ["clip_id", "text", "window"],
                                        pc.field("clip_id") == clip_id)  # fmt: skip
            captions[each] = said.sort_by("window")["text"].to_pylist()
        renders = {each: plain(row) for each, row in _renders(dataset, clip_id)}
        return ClipView(facts=plain(rows[0]), captions=captions, renders=renders)

    @app.get("/v1/collections/{name}/clips/{clip_id}/thumbnail", response_class=Response)
    def get_thumbnail(name: CollectionName, clip_id: ClipId, caller: Reader) -> Response:
        """A small picture of the clip, as JPEG."""
        dataset = outputs.opened(name)
        pictures = outputs.kept(name, "pictures", dataset, lambda: Thumbnails(dataset.catalog))
        jpeg = pictures.jpeg(clip_id)
        if jpeg is None:
            raise HTTPException(404, "there is no thumbnail of this clip")
        return Response(jpeg, media_type="image/jpeg", headers=_HELD)

    @app.get("/v1/collections/{name}/clips/{clip_id}/video", response_class=Response)
    def get_video(
        name: CollectionName, clip_id: ClipId, caller: Reader, request: Request
    ) -> Response:
        """The clip as mp4, whole or a `Range` of it: its newest render, or a cut of its source."""
        dataset = outputs.opened(name)
        storage, relative = _video(service, dataset, clip_id)
        wanted = request.headers.get("range")
        return byte_ranges.file(storage, relative, wanted, "video/mp4", _FRESH)


def _video(service: Service, dataset: Dataset, clip_id: str) -> tuple[Storage, str]:
    """Where the clip lies as a file: its render by the newest profile, or a preview of the span.

    A render by another profile is never shown: faces may be blurred in the newest alone.
    """
    newest = lineage.renders(dataset.catalog, dataset.latest_selection())
    for table, row in _renders(dataset, clip_id):
        if row["path"] is not None and newest in (table, None):
            return dataset.catalog.storage, row["path"]
    rows = dataset.catalog.read("clips", Clip, where=pc.field("clip_id") == clip_id)
    found = records.records(Clip, rows)
    source = source_rows(dataset.catalog).get(found[0].source_id) if found else None
    if source is None:
        raise HTTPException(404, "the collection has no such clip")
    return service.previews.of(found[0], source)


def _renders(dataset: Dataset, clip_id: str) -> list[tuple[str, dict[str, Any]]]:
    """The clip's renders that came to be, by table, the one that was asked for last first."""
    found = []
    for table in lineage.newest_first(dataset.catalog, "renders", dataset.latest_selection()):
        where = (pc.field("clip_id") == clip_id) & (pc.field("outcome") == "rendered")
        rows: pa.Table = dataset.catalog.read(table, Render, where=where)
        found += [(table, row) for row in rows.to_pylist()]
    return found


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON can hold it: no NaN, no bytes, no place on this server."""
    shown = {}
    for key, value in row.items():
        if isinstance(value, bytes):
            continue
        if isinstance(value, float) and not math.isfinite(value):
            value = None  # noqa: PLW2901
        if key == "uri" and isinstance(value, str):
            key, value = "source", value.rstrip("/").rsplit("/", 1)[-1]  # noqa: PLW2901
        shown[key] = value
    return shown
