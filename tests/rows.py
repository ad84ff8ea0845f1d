"""Outputs that are written row by row: no video is made or decoded."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from curation import records
from curation.dataset import Dataset
from curation.embed.descriptor import FrameDct
from curation.embed.signature import NUM_COARSE, NUM_FINE, quantize_rows
from curation.records import Clip, Embedding, Run, Signature, Source
from curation.scan.clips import compute_clip_id
from curation.scan.collector import EMBEDDINGS, SIGNATURES
from curation.scores import SCORES, columns, table_name
from curation.storage import file_sha256

SCAN = {
    "clips": Clip,
    **{table_name(score): score.record for score in SCORES.values()},
    EMBEDDINGS: Embedding,
    SIGNATURES: Signature,
}
"""The tables that a scan fills before it commits the source."""


def file_facts(path: Path) -> dict[str, Any]:
    """What a render records of its file; nothing of a file that is missing."""
    if not path.exists():
        return {}
    return {"sha256": file_sha256(str(path)), "size_bytes": path.stat().st_size}


def make_clip(source_id: str, start: int, end: int, shot: tuple[int, int] | None = None) -> Clip:
    """A clip at 24 frames a second, named as scan names it."""
    first, last = shot or (start, end)
    clip = Clip("", source_id, start, end, start / 24, end / 24, first, last, start, end, "1/24")
    return replace(clip, clip_id=compute_clip_id(clip, 0))


def make_source(uri: str, source_id: str, clips: Sequence[Clip], **more: Any) -> Source:
    """A scanned source of those clips."""
    digest = hashlib.sha256("".join(clip.clip_id for clip in clips).encode()).hexdigest()
    values = {"stream_index": 0, "width": 640, "height": 360, "fps": 24.0, "frames": 240}
    values |= {"source_id": source_id, "clips": len(clips), "clips_digest": digest}
    return Source(uri, 1000, "1", "scanned", **{**values, "scan_digest": "d", **more})


@dataclass
class MeasuredClip:
    """A clip with its measured values; the others are null."""

    clip: Clip
    vector: np.ndarray | None = None
    shows: np.ndarray | None = None
    """The direction of its signature's one picture, up to 77 numbers; else one of its own."""
    scores: dict[str, float | None] = field(default_factory=dict)


def make_signature(measured: MeasuredClip) -> Signature:
    """The signature of a clip that shows one picture all along, or nothing if that is zero."""
    ids = (measured.clip.clip_id, measured.clip.source_id)
    shows = measured.shows
    if shows is None:
        shows = np.random.default_rng(int(measured.clip.clip_id, 16)).normal(size=NUM_COARSE)
    if not shows.any():
        return Signature(*ids, 4, 0, b"\0" * 8, b"", b"", b"", b"")
    frames = max(1, round(4 * (measured.clip.end_s - measured.clip.start_s)))
    picture = shows * 1e4 / np.linalg.norm(shows)
    scales, coarse = quantize_rows(
        np.tile(np.pad(picture, (0, NUM_COARSE - len(picture))), (frames, 1))
    )
    fine = quantize_rows(np.pad(picture, (0, NUM_FINE - len(picture)))[None])[1]
    still = np.array([0.5], "<f2").tobytes()
    return Signature(*ids, frames, 1, b"\0" * 8, scales, coarse, fine, still)


def make_scan_rows(clips: Sequence[MeasuredClip]) -> dict[str, list[Any]]:
    """Rows for each table that scan fills."""
    rows: dict[str, list[Any]] = {name: [] for name in SCAN}
    for measured in clips:
        ids = (measured.clip.clip_id, measured.clip.source_id)
        rows["clips"].append(measured.clip)
        for score in SCORES.values():
            values = {f.name: measured.scores.get(f.name) for f in columns(score)}
            rows[table_name(score)].append(score.record(*ids, **values))
        vector = np.zeros(FrameDct.dim) if measured.vector is None else measured.vector
        packed = vector.astype("<f2").tobytes()
        rows[EMBEDDINGS].append(Embedding(*ids, FrameDct.dim, packed))
        rows[SIGNATURES].append(make_signature(measured))
    return rows


def add_source(
    dataset: Dataset,
    uri: str,
    clips: Sequence[MeasuredClip],
    *,
    commit: bool = True,
    tables: Mapping[str, type] = SCAN,
    **more: Any,
) -> None:
    """Commits one source as a scan does; without `commit` it lacks the last row."""
    source = make_source(
        uri, clips[0].clip.source_id, [measured.clip for measured in clips], **more
    )
    with dataset.catalog.writer("scan", {**tables, "sources": Source}) as writer:
        for name, rows in make_scan_rows(clips).items():
            if name in tables:
                writer.append(name, records.to_table(SCAN[name], rows))
        if commit:
            writer.append("sources", records.to_table(Source, [source]))


def add_run(  # noqa: PLR0917  in the order of the columns
    dataset: Dataset,
    step: str,
    result: str,
    counts: str = "{}",
    started: str = "",
    selection: str | None = None,
) -> None:
    """Records a run."""
    run = Run(f"{step}{started}", step, started, 0.1, "{}", "{}", counts, "{}", result, selection)
    dataset.catalog.append("runs", Run, records.to_table(Run, [run]))
