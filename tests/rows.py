"""Outputs that are written row by row: no video is made or decoded."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from curation import records
from curation.dataset import Dataset
from curation.embed.descriptor import FrameDct
from curation.embed.signature import COARSE, FINE, packed_rows
from curation.records import Clip, Embedding, Run, Signature, Source
from curation.scan.clips import clip_name
from curation.scan.collector import EMBEDDINGS, SIGNATURES
from curation.scores import SCORES, columns, table_name

SCAN = {
    "clips": Clip,
    **{table_name(score): score.record for score in SCORES.values()},
    EMBEDDINGS: Embedding,
    SIGNATURES: Signature,
}
"""What a scan fills before it announces the source."""


def clip_of(source_id: str, start: int, end: int, shot: tuple[int, int] | None = None) -> Clip:
    """A clip at 24 frames a second, named as scan names it."""
    first, last = shot or (start, end)
    clip = Clip("", source_id, start, end, start / 24, end / 24, first, last, start, end, "1/24")
    return replace(clip, clip_id=clip_name(clip, 0))


def source_of(uri: str, source_id: str, clips: Sequence[Clip], **more: Any) -> Source:
    """A scanned source of those clips."""
    digest = hashlib.sha256("".join(clip.clip_id for clip in clips).encode()).hexdigest()
    facts = {"stream_index": 0, "width": 640, "height": 360, "fps": 24.0, "frames": 240}
    known = {"source_id": source_id, "clips": len(clips), "clips_digest": digest}
    return Source(uri, 1000, "1", "scanned", **{**facts, **known, "scan_digest": "d", **more})


@dataclass
class Looks:
    """A clip and what was measured of it; what is not said is null."""

    clip: Clip
    vector: np.ndarray | None = None
    shows: np.ndarray | None = None
    """The direction of its signature's one picture, up to 77 numbers; else one of its own."""
    scores: dict[str, float | None] = field(default_factory=dict)


def signature_of(look: Looks) -> Signature:
    """The signature of a clip that shows one picture all along, or nothing if that is zero."""
    named = (look.clip.clip_id, look.clip.source_id)
    shows = look.shows
    if shows is None:
        shows = np.random.default_rng(int(look.clip.clip_id, 16)).normal(size=COARSE)
    if not shows.any():
        return Signature(*named, 4, 0, b"\0" * 8, b"", b"", b"", b"")
    frames = max(1, round(4 * (look.clip.end_s - look.clip.start_s)))
    shown = shows * 1e4 / np.linalg.norm(shows)
    scales, coarse = packed_rows(np.tile(np.pad(shown, (0, COARSE - len(shown))), (frames, 1)))
    fine = packed_rows(np.pad(shown, (0, FINE - len(shown)))[None])[1]
    still = np.array([0.5], "<f2").tobytes()
    return Signature(*named, frames, 1, b"\0" * 8, scales, coarse, fine, still)


def side_rows(looks: Sequence[Looks]) -> dict[str, list[Any]]:
    """Rows for each table that scan fills."""
    rows: dict[str, list[Any]] = {name: [] for name in SCAN}
    for look in looks:
        named = (look.clip.clip_id, look.clip.source_id)
        rows["clips"].append(look.clip)
        for score in SCORES.values():
            values = {f.name: look.scores.get(f.name) for f in columns(score)}
            rows[table_name(score)].append(score.record(*named, **values))
        vector = np.zeros(FrameDct.dim) if look.vector is None else look.vector
        packed = vector.astype("<f2").tobytes()
        rows[EMBEDDINGS].append(Embedding(*named, FrameDct.dim, packed))
        rows[SIGNATURES].append(signature_of(look))
    return rows


def scanned(
    dataset: Dataset,
    uri: str,
    looks: Sequence[Looks],
    *,
    announce: bool = True,
    tables: Mapping[str, type] = SCAN,
    **more: Any,
) -> None:
    """Commits one source as a scan does; without `announce` it is cut off before the last row."""
    source = source_of(uri, looks[0].clip.source_id, [look.clip for look in looks], **more)
    with dataset.catalog.writer("scan", {**tables, "sources": Source}) as writer:
        for name, rows in side_rows(looks).items():
            if name in tables:
                writer.append(name, records.table(SCAN[name], rows))
        if announce:
            writer.append("sources", records.table(Source, [source]))


def ran(  # noqa: PLR0917  in the order of the columns
    dataset: Dataset,
    step: str,
    result: str,
    counts: str = "{}",
    started: str = "",
    selection: str | None = None,
) -> None:
    """Records a run."""
    facts = ("{}", "{}", counts, "{}", result, selection)
    run = Run(f"{step}{started}", step, started, 0.1, *facts)
    dataset.catalog.append("runs", Run, records.table(Run, [run]))
