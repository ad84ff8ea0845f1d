"""Routes of one source: its facts with all its clips in order, and its bytes to seek in."""

from __future__ import annotations

from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
from fastapi import FastAPI, HTTPException, Path, Request, Response
from pydantic import BaseModel

from curation.listing import entry_at
from curation.records import Source
from curation.storage import Storage
from pipelines.service import byte_ranges
from pipelines.service.auth import Reader
from pipelines.service.outputs import Outputs
from pipelines.service.routes.collections import CollectionName, SourceView, source_view
from pipelines.service.service import Service

SourceId = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
_TYPES = {"mp4": "video/mp4", "webm": "video/webm", "ogg": "video/ogg"}
"""Containers that browsers play, by a word of the demuxer's name."""
_COLUMNS = ("clip_id", "start_s", "end_s", "verdict", "reason")


class SourceDetail(BaseModel):
    """A source and its clips."""

    source: SourceView
    plays: bool
    """Whether its container is one that browsers play."""
    clips: list[dict[str, Any]]
    """Id, span in seconds and verdict, from the first to the last."""


def add(app: FastAPI, service: Service) -> None:
    """Adds the routes."""
    outputs = service.outputs

    @app.get("/v1/collections/{name}/sources/{source_id}")
    def get_source(name: CollectionName, source_id: SourceId, caller: Reader) -> SourceDetail:
        """A source and where its clips lie in it."""
        row = _row(outputs, name, source_id)
        _, clips = outputs.clips(name)
        own = clips.filter(pc.field("source_id") == source_id).sort_by("start_s")
        known = [column for column in _COLUMNS if column in own.column_names]
        return SourceDetail(
            source=source_view(row), plays=_type(row["container"]) is not None,
            clips=own.select(known).to_pylist(),
        )  # fmt: skip

    @app.get("/v1/collections/{name}/sources/{source_id}/video", response_class=Response)
    def get_source_video(
        name: CollectionName, source_id: SourceId, caller: Reader, request: Request
    ) -> Response:
        """The source as it is, whole or a `Range` of it, where browsers play such files."""
        row = _row(outputs, name, source_id)
        kind = _type(row["container"])
        if kind is None:
            raise HTTPException(415, f"browsers do not play {row['container']}")
        return byte_ranges.file(_checked(row), "", request.headers.get("range"), kind)


def _row(outputs: Outputs, name: str, source_id: str) -> dict[str, Any]:
    """The scanned source; of several copies of the same bytes, the first by address."""
    where = (pc.field("source_id") == source_id) & (pc.field("outcome") == "scanned")
    rows: pa.Table = outputs.opened(name).catalog.read("sources", Source, where=where)
    if not rows.num_rows:
        raise HTTPException(404, "the collection has no such source")
    found: dict[str, Any] = rows.sort_by("uri").slice(0, 1).to_pylist(maps_as_pydicts="lossy")[0]
    return found


def _type(container: str | None) -> str | None:
    words = (container or "").split(",")
    return next((kind for word, kind in _TYPES.items() if word in words), None)


def _checked(row: dict[str, Any]) -> Storage:
    """The source's file, if it is still the one that was scanned."""
    now = entry_at(row["uri"], {})
    if (now.size_bytes, now.modified) != (row["size_bytes"], row["modified"]):
        raise HTTPException(409, "the source is no longer where it was scanned, or has changed")
    return Storage.at(row["uri"])
