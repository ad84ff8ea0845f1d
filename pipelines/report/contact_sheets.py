"""Contact sheets: the clips to show, and one small picture of each."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from curation.id_match import one_chunk, to_bools
from curation.records import Caption, Thumbnail
from curation.scan.collector import THUMBNAILS
from curation.select.policy import FILTER_REASONS, LIMITS
from pipelines.report.formatting import base_name, clock, duration, number, thousands
from pipelines.report.snapshot import OutputSnapshot

MAX_KEPT = 120
MAX_FILTERED = 24
"""Per reason."""
MAX_PAIRS = 40
_PICTURE_SIDE = 240
_JPEG_QUALITY = 70


@dataclass(frozen=True)
class Tile:
    """One clip."""

    clip_id: str
    picture: str | None
    """A `data:` address; None if there is no thumbnail."""
    name: str
    """File name of the source."""
    uri: str
    time_range: str
    duration: str
    caption: str
    note: str = ""
    """For a filtered clip: the value that broke the bound."""


@dataclass(frozen=True)
class ContactSheet:
    """Some clips under one heading."""

    name: str
    meaning: str
    tiles: list[Tile]
    total: int
    extent: str
    """How many of `total` are shown, and which."""


@dataclass(frozen=True)
class DuplicatePair:
    """A duplicate and the kept clip that represents it."""

    kept: Tile | None
    duplicate: Tile
    similarity: float


@dataclass(frozen=True)
class ContactSheets:
    """All contact sheets."""

    kept: ContactSheet
    filtered: list[ContactSheet]
    pairs: list[DuplicatePair]
    num_pairs: int
    pairs_extent: str


def gather(output: OutputSnapshot) -> ContactSheets:
    """Chooses the clips, then reads the pictures and captions of those alone."""
    rows = output.clips
    kept, num_kept = _kept(output)
    filtered = _filtered(output)
    pairs, num_pairs = _pairs(output)
    partners = _rows_of(output, [rows["duplicate_of"][row].as_py() for row in pairs])
    indices = {*kept, *pairs, *(row for row in partners if row is not None)}
    indices.update(row for _, some, _ in filtered for row in some)
    tiles = read_tiles(output, sorted(indices))
    return ContactSheets(
        kept=ContactSheet(
            "kept",
            "",
            [tiles[row] for row in kept],
            num_kept,
            _extent(len(kept), num_kept, ", spread evenly over all"),
        ),
        filtered=[
            ContactSheet(
                reason,
                FILTER_REASONS.get(reason, ""),
                [replace(tiles[row], note=_violation(output, reason, row)) for row in some],
                total,
                _extent(len(some), total, ", nearest to the bound"),
            )
            for reason, some, total in filtered
        ],
        pairs=[
            DuplicatePair(
                None if partner is None else tiles[partner],
                tiles[row],
                rows["similarity"][row].as_py() or 0.0,
            )
            for row, partner in zip(pairs, partners, strict=True)
        ],
        num_pairs=num_pairs,
        pairs_extent=_extent(len(pairs), num_pairs, ", least similar"),
    )


def _extent(shown: int, total: int, which: str) -> str:
    if shown == total:
        return f"All {total}"
    return f"First {thousands(shown)} of {thousands(total)}{which}"


def evenly_spread(rows: Sequence[int] | npt.NDArray[np.int64], at_most: int) -> list[int]:
    """At most so many of the rows, evenly spread over all."""
    picked = np.linspace(0, len(rows) - 1, min(at_most, len(rows))).round().astype(int)
    return [int(rows[index]) for index in picked]


def _kept(output: OutputSnapshot) -> tuple[list[int], int]:
    """Rows of up to `MAX_KEPT` kept clips by source and time, and the number of all."""
    rows = np.flatnonzero(output.verdicts["kept"])
    starts_s = output.clips["start_s"].to_numpy()
    order = np.lexsort((starts_s[rows], output.source_order[rows]))
    return evenly_spread(rows[order], MAX_KEPT), len(rows)


def _rows_of(output: OutputSnapshot, ids: list[str | None]) -> list[int | None]:
    """The row of each clip; None for one that is unknown."""
    index = pc.index_in(output.clips["clip_id"], pa.array(ids, pa.string()))
    rows = np.flatnonzero(pc.is_valid(index).to_numpy())
    row_of = {clip: int(row) for clip, row in zip(
        output.clips["clip_id"].take(pa.array(rows)).to_pylist(), rows, strict=True
    )}  # fmt: skip
    return [row_of.get(clip) for clip in ids]


def _filtered(output: OutputSnapshot) -> list[tuple[str, list[int], int]]:
    """For each reason the rows of the clips nearest to the bound, and the number of all."""
    if output.selection_id is None:
        return []
    starts = output.clips["start_s"].to_numpy()
    filtered = np.flatnonzero(output.verdicts["filtered"])
    clip_reasons = one_chunk(output.clips["reason"]).take(pa.array(filtered))
    reasons = set(pc.unique(clip_reasons.drop_null()).to_pylist())
    ranked = [*FILTER_REASONS, *sorted(reasons - set(FILTER_REASONS))]
    sheets = []
    for reason in (reason for reason in ranked if reason in reasons):
        rows = filtered[to_bools(pc.equal(clip_reasons, reason))]
        name, is_low = _limit(reason)
        values = output.values(name)[rows] if name else np.zeros(len(rows))
        place = output.source_order[rows]
        rows = rows[np.lexsort((starts[rows], place, -values if is_low else values))]
        sheets.append((reason, rows[:MAX_FILTERED].tolist(), len(rows)))
    return sheets


def _pairs(output: OutputSnapshot) -> tuple[list[int], int]:
    """Rows of the least similar duplicates, where a threshold errs first; the number of all."""
    rows = np.flatnonzero(output.verdicts["duplicate"])
    if not len(rows):
        return [], 0
    similarity = output.clips["similarity"].take(rows).to_numpy()
    return rows[np.argsort(similarity, kind="stable")][:MAX_PAIRS].tolist(), len(rows)


def _limit(reason: str) -> tuple[str | None, bool]:
    """The value that a reason is about, and whether it was too low."""
    for name, limit in LIMITS.items():
        if reason in (limit.low, limit.high):
            return name, reason == limit.low
    return None, False


def _violation(output: OutputSnapshot, reason: str, row: int) -> str:
    """The value that broke a bound, and the bound, such as `motion 0.06 < 0.12`."""
    name, is_low = _limit(reason)
    if name is None:
        return ""
    text = f"{name} {number(float(output.values(name)[row]))}"
    bounds = output.policy.limits.get(name) if output.policy else None
    bound = (bounds.min if is_low else bounds.max) if bounds else None
    return text if bound is None else f"{text} {'<' if is_low else '>'} {number(bound)}"


def read_tiles(output: OutputSnapshot, rows: list[int]) -> dict[int, Tile]:
    """Tiles of these rows of the output's clips, by row."""
    clips = output.clips.select(["clip_id", "uri", "start_s", "end_s"])
    clips = clips.take(pa.array(rows, "int64"))
    read = output.dataset.catalog.read
    requested = pc.field("clip_id").isin(clips["clip_id"].combine_chunks())
    jpegs = dict(_pairs_of(read(THUMBNAILS, Thumbnail, ["clip_id", "jpeg"], requested)))
    captions: dict[str, str] = {}
    for name in output.captions:
        captions.update(_pairs_of(read(name, Caption, ["clip_id", "text"], requested)))
    return {
        row: clip_tile(clip, jpegs.get(clip["clip_id"]), captions.get(clip["clip_id"], ""))
        for row, clip in zip(rows, clips.to_pylist(), strict=True)
    }


def _pairs_of(table: pa.Table) -> Iterable[tuple[Any, Any]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def clip_tile(clip: Mapping[str, Any], jpeg: bytes | None, caption: str) -> Tile:
    """The tile of a clip with `clip_id`, `uri`, `start_s` and `end_s`."""
    return Tile(
        clip_id=clip["clip_id"],
        picture=None if jpeg is None else _data_uri(jpeg),
        name=base_name(clip["uri"]),
        uri=clip["uri"],
        time_range=f"{clock(clip['start_s'])}–{clock(clip['end_s'])}",
        duration=duration(clip["end_s"] - clip["start_s"]),
        caption=caption,
    )


def _data_uri(jpeg: bytes) -> str | None:
    """The picture at no more than 240 pixels as a `data:` address; None if it is no picture."""
    buffer = io.BytesIO()
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
            picture.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
            picture.convert("RGB").save(buffer, "JPEG", quality=_JPEG_QUALITY)
    except (OSError, ValueError):
        return None
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
