"""What a search found as one page of pictures: a file that stands alone, as the report does."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment, PackageLoader, StrictUndefined

from curation.dataset import Dataset
from curation.records import Thumbnail
from curation.scan.collector import THUMBNAILS
from curation.storage import Storage
from pipelines.report.formatting import base_name, clock, duration
from pipelines.report.pictures import Tile, shrunk


def write_hits(dataset: Dataset, hits: pa.Table, title: str, path: Path) -> Path:
    """Writes the page of some hits, as `Search.query` returns them, and returns where it is."""
    wanted = hits["clip_id"].combine_chunks()
    rows = dataset.catalog.read(
        THUMBNAILS, Thumbnail, ["clip_id", "jpeg"], pc.field("clip_id").isin(wanted)
    )
    pictures = dict(zip(rows["clip_id"].to_pylist(), rows["jpeg"].to_pylist(), strict=True))
    tiles = [(_tile(hit, pictures.get(hit["clip_id"])), hit["score"]) for hit in hits.to_pylist()]
    environment = Environment(
        loader=PackageLoader("pipelines", "report"), autoescape=True, undefined=StrictUndefined
    )
    place = dataset.catalog.storage.root
    text = environment.get_template("hits.html").render(title=title, place=place, tiles=tiles)
    target = path.expanduser().absolute()
    with Storage.at(target.parent).writing(target.name) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
    return target


def _tile(hit: dict[str, object], jpeg: bytes | None) -> Tile:
    start_s, end_s = float(str(hit["start_s"])), float(str(hit["end_s"]))
    return Tile(
        clip_id=str(hit["clip_id"]),
        picture=None if jpeg is None else shrunk(jpeg),
        name=base_name(str(hit["uri"])),
        uri=str(hit["uri"]),
        span=f"{clock(start_s)}–{clock(end_s)}",
        duration=duration(end_s - start_s),
        caption=str(hit["caption"] or ""),
    )
