"""Search hits as one self-contained page of pictures."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from curation.dataset import Dataset
from curation.records import Thumbnail
from curation.scan.collector import THUMBNAILS
from pipelines.report.contact_sheets import clip_tile
from pipelines.report.templates import template, write_text


def write_hits(dataset: Dataset, hits: pa.Table, title: str, path: Path) -> Path:
    """Writes the page of some hits, as `Search.query` returns them, and returns where it is."""
    is_hit = pc.field("clip_id").isin(hits["clip_id"].combine_chunks())
    rows = dataset.catalog.read(THUMBNAILS, Thumbnail, ["clip_id", "jpeg"], is_hit)
    jpegs = dict(zip(rows["clip_id"].to_pylist(), rows["jpeg"].to_pylist(), strict=True))
    tiles = [
        (clip_tile(hit, jpegs.get(hit["clip_id"]), hit["caption"] or ""), hit["score"])
        for hit in hits.to_pylist()
    ]
    output = dataset.catalog.storage.root
    return write_text(path, template("hits.html").render(title=title, output=output, tiles=tiles))
