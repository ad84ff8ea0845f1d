"""Routes of one source: its row with its clips in order, and its video."""

from __future__ import annotations

from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
from fastapi import FastAPI, HTTPException, Path, Request, Response
from pydantic import BaseModel

from curation.listing import entry_at
from curation.records import Source
from curation.storage import Storage
from pipelines.service.auth import Reader
from pipelines.service.byte_ranges import file_response
from pipelines.service.outputs import Outputs
from pipelines.service.routes.collections import CollectionName, SourceView, source_view
from pipelines.service.service import Service

SourceId = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
_TYPES = {"mp4": "video/mp4", "webm": "video/webm", "ogg": "video/ogg"}
"""Media types that browsers play, by a part of the demuxer's name."""
_COLUMNS = ("clip_id", "start_s", "end_s", "verdict", "reason")


class SourceDetail(BaseModel):
    """A source and its clips."""

    source: SourceView
    plays: bool
    """Whether its container is one that browsers play."""
    clips: list[dict[str, Any]]
    """Id, span in seconds and verdict, in order."""


def add(app: FastAPI, service: Service) -> None:
    """Adds the routes."""
    outputs = service.outputs

    @app.get("/v1/collections/{name}/sources/{source_id}")
    def get_source(name: CollectionName, source_id: SourceId, caller: Reader) -> SourceDetail:
        """A source and the spans of its clips."""
        row = _row(outputs, name, source_id)
        _, clips = outputs.clips(name)
        clips = clips.filter(pc.field("source_id") == source_id).sort_by("start_s")
        columns = [column for column in _COLUMNS if column in clips.column_names]
        return SourceDetail(
            source=source_view(row), plays=_media_type(row["container"]) is not None,
            clips=clips.select(columns).to_pylist(),
        )  # fmt: skip

    @app.get("/v1/collections/{name}/sources/{source_id}/video", response_class=Response)
    def get_source_video(
        name: CollectionName, source_id: SourceId, caller: Reader, request: Request
    ) -> Response:
        """The source's file, whole or a `Range` of it, if browsers play its container."""
        row = _row(outputs, name, source_id)
        media_type = _media_type(row["container"])
        if media_type is None:
            raise HTTPException(415, f"browsers do not play {row['container']}")
        service.check_source(row["uri"])
        return file_response(_unchanged(row), "", request.headers.get("range"), media_type)


def _row(outputs: Outputs, name: str, source_id: str) -> dict[str, Any]:
    """The scanned source; of several copies of the same bytes, the first by address."""
    where = (pc.field("source_id") == source_id) & (pc.field("outcome") == "scanned")
    rows: pa.Table = outputs.open(name).catalog.read("sources", Source, where=where)
    if not rows.num_rows:
        raise HTTPException(404, "the collection has no such source")
    row: dict[str, Any] = rows.sort_by("uri").slice(0, 1).to_pylist(maps_as_pydicts="lossy")[0]
    return row


def _media_type(container: str | None) -> str | None:
    names = (container or "").split(",")
    return next((media_type for name, media_type in _TYPES.items() if name in names), None)


def _unchanged(row: dict[str, Any]) -> Storage:
    """The source's file, if it is still the one that was scanned."""
    current = entry_at(row["uri"], {})
    if (current.size_bytes, current.modified) != (row["size_bytes"], row["modified"]):
        raise HTTPException(409, "the source no longer exists or has changed since it was scanned")
    return Storage.at(row["uri"])
