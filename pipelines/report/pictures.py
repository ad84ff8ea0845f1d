"""Contact sheets: which clips are shown, and one small picture of each."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from curation.records import Caption, Thumbnail
from curation.scan.collector import THUMBNAILS
from curation.select.policy import FILTER_REASONS, LIMITS
from pipelines.report.formatting import base_name, clock, duration, number, thousands
from pipelines.report.snapshot import Output

MOST_KEPT = 120
MOST_FILTERED = 24
"""Of each reason."""
MOST_PAIRS = 40
_SIDE = 240
_QUALITY = 70


@dataclass(frozen=True)
class Tile:
    """One clip."""

    clip_id: str
    picture: str | None
    """A `data:` address; None if there is no thumbnail."""
    name: str
    """File name of the source."""
    uri: str
    span: str
    duration: str
    caption: str
    note: str = ""
    """For a filtered clip: the value that broke the bound."""


@dataclass(frozen=True)
class Sheet:
    """Some clips under one heading."""

    name: str
    words: str
    tiles: list[Tile]
    total: int
    said: str
    """Which of how many are shown."""


@dataclass(frozen=True)
class Pair:
    """A duplicate and the kept clip that stands for it."""

    kept: Tile | None
    duplicate: Tile
    similarity: float


@dataclass(frozen=True)
class Pictures:
    """All contact sheets."""

    kept: Sheet
    filtered: list[Sheet]
    pairs: list[Pair]
    pairs_total: int
    pairs_said: str


def gather(output: Output) -> Pictures:
    """Chooses the clips, then reads the pictures and captions of those alone."""
    rows = output.clips
    where = {clip: at for at, clip in enumerate(rows["clip_id"].to_pylist())}
    kept, kept_total = _kept(output)
    filtered = _filtered(output)
    pairs, pairs_total = _pairs(output)
    partners = [where.get(rows["duplicate_of"][at].as_py()) for at in pairs]
    wanted = {*kept, *pairs, *(at for at in partners if at is not None)}
    wanted.update(at for _, found, _ in filtered for at in found)
    tiles = tiles_of(output, sorted(wanted))
    return Pictures(
        kept=Sheet(
            "kept",
            "",
            [tiles[at] for at in kept],
            kept_total,
            _said(len(kept), kept_total, ", spread evenly over all"),
        ),
        filtered=[
            Sheet(
                reason,
                FILTER_REASONS.get(reason, ""),
                [replace(tiles[at], note=_broken(output, reason, at)) for at in found],
                total,
                _said(len(found), total, ", nearest to the bound"),
            )
            for reason, found, total in filtered
        ],
        pairs=[
            Pair(
                None if partner is None else tiles[partner],
                tiles[at],
                rows["similarity"][at].as_py() or 0.0,
            )
            for at, partner in zip(pairs, partners, strict=True)
        ],
        pairs_total=pairs_total,
        pairs_said=_said(len(pairs), pairs_total, ", least similar"),
    )


def _said(shown: int, total: int, which: str) -> str:
    return (
        f"First {thousands(shown)} of {thousands(total)}{which}"
        if shown < total
        else f"All {total}"
    )


def _kept(output: Output) -> tuple[list[int], int]:
    """Up to `MOST_KEPT` kept clips by source and time, evenly spread, and how many there are."""
    at = np.flatnonzero(output.verdicts == "kept")
    part = output.clips.select(["uri", "start_s"]).take(at)
    order = pc.sort_indices(part, [("uri", "ascending"), ("start_s", "ascending")]).to_numpy()
    picked = np.linspace(0, len(at) - 1, min(MOST_KEPT, len(at))).round().astype(int)
    return [int(i) for i in at[order][picked]], len(at)


def _filtered(output: Output) -> list[tuple[str, list[int], int]]:
    """By reason the clips nearest to the bound, and how many there are."""
    if output.selection_id is None:
        return []
    given = np.array(output.clips["reason"].to_pylist(), object)
    uris = np.array(output.clips["uri"].to_pylist(), object)
    starts = output.clips["start_s"].to_numpy()
    given[output.verdicts != "filtered"] = None
    reasons = {reason for reason in given if reason is not None}
    ranked = [*FILTER_REASONS, *sorted(reasons - set(FILTER_REASONS))]
    found = []
    for reason in (reason for reason in ranked if reason in reasons):
        at = np.flatnonzero(given == reason)
        name, is_low = _limit(reason)
        values = output.values[name][at] if name else np.zeros(len(at))
        at = at[np.lexsort((starts[at], uris[at], -values if is_low else values))]
        found.append((reason, [int(i) for i in at[:MOST_FILTERED]], len(at)))
    return found


def _pairs(output: Output) -> tuple[list[int], int]:
    """The least similar duplicates, where a threshold errs first, and how many there are."""
    at = np.flatnonzero(output.verdicts == "duplicate")
    if not len(at):
        return [], 0
    similar = output.clips["similarity"].take(at).to_numpy()
    return [int(i) for i in at[np.argsort(similar, kind="stable")][:MOST_PAIRS]], len(at)


def _limit(reason: str) -> tuple[str | None, bool]:
    """The value that a reason is about, and whether it was too low."""
    for name, limit in LIMITS.items():
        if reason in (limit.low, limit.high):
            return name, reason == limit.low
    return None, False


def _broken(output: Output, reason: str, at: int) -> str:
    name, is_low = _limit(reason)
    if name is None:
        return ""
    text = f"{name} {number(float(output.values[name][at]))}"
    bounds = output.policy.limits.get(name) if output.policy else None
    bound = (bounds.min if is_low else bounds.max) if bounds else None
    return text if bound is None else f"{text} {'<' if is_low else '>'} {number(bound)}"


def tiles_of(output: Output, wanted: list[int]) -> dict[int, Tile]:
    """The clips at these places among the output's clips, with their pictures."""
    rows = output.clips.select(["clip_id", "uri", "start_s", "end_s"]).take(
        pa.array(wanted, "int64")
    )
    ids = rows["clip_id"].to_pylist()
    read = output.dataset.catalog.read
    is_wanted = pc.field("clip_id").isin(pa.array(ids, pa.string()))
    shots = read(THUMBNAILS, Thumbnail, ["clip_id", "jpeg"], is_wanted)
    pictures = dict(_columns(shots))
    captions: dict[str, str] = {}
    for name in output.captions:
        captions.update(_columns(read(name, Caption, ["clip_id", "text"], is_wanted)))
    tiles = (_tile(row, pictures, captions) for row in rows.to_pylist())
    return dict(zip(wanted, tiles, strict=True))


def _columns(table: pa.Table) -> Iterable[tuple[Any, Any]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def _tile(row: dict[str, Any], pictures: dict[str, bytes], captions: dict[str, str]) -> Tile:
    clip = row["clip_id"]
    return Tile(
        clip_id=clip,
        picture=shrunk(pictures[clip]) if clip in pictures else None,
        name=base_name(row["uri"]),
        uri=row["uri"],
        span=f"{clock(row['start_s'])}–{clock(row['end_s'])}",
        duration=duration(row["end_s"] - row["start_s"]),
        caption=captions.get(clip, ""),
    )


def shrunk(jpeg: bytes) -> str | None:
    """The picture at no more than 240 pixels as a `data:` address; None if it is no picture."""
    held = io.BytesIO()
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
            picture.thumbnail((_SIDE, _SIDE))
            picture.convert("RGB").save(held, "JPEG", quality=_QUALITY)
    except (OSError, ValueError):
        return None
    return "data:image/jpeg;base64," + base64.b64encode(held.getvalue()).decode()
