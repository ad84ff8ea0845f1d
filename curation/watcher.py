"""Takes the analysis frames of one source, and makes the rows of its clips' side tables.

What is kept of each frame is small: the scores' numbers, 4 KiB that signature and descriptor share,
what other embedders keep, and a JPEG in a temporary file.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from curation import records, scores
from curation.dedup.signature import SignatureWatcher
from curation.descriptor import FrameDct
from curation.embed.contract import Embedder, EmbeddingWatcher, table_name
from curation.measures import Measures
from curation.media.watch import Frames, Timeline
from curation.records import Clip, Embedding, Signature, Thumbnail
from curation.scores import Look, Score

SIGNATURES = "signatures"
THUMBNAILS = "thumbnails"
EMBEDDINGS = f"embeddings/{FrameDct.name}"


def side_tables(measured: Sequence[Score], embedders: Sequence[Embedder]) -> dict[str, type[Any]]:
    """The side tables of clips, and their records."""
    scored = {scores.table_name(score): score.record for score in measured}
    embedded = {table_name(each): Embedding for each in embedders}
    return {**scored, **embedded, SIGNATURES: Signature, THUMBNAILS: Thumbnail}


class Watcher:
    """Takes the analysis frames of one source and makes the side tables' rows."""

    def __init__(
        self, measured: Sequence[Score], embedders: Mapping[Embedder, EmbeddingWatcher]
    ) -> None:
        self._scores = tuple(measured)
        self._measures = Measures(measured)
        self._embedders = embedders
        self._signatures = SignatureWatcher()
        self._pictures = tempfile.TemporaryFile(prefix="reelmill-")  # noqa: SIM115  see `close`
        self._offsets = [0]

    def close(self) -> None:
        """Gives the pictures' temporary file back."""
        self._pictures.close()

    def see(self, frames: Frames) -> None:
        """Takes the next analysis frames, uint8 RGB [n, height, width, 3]."""
        for rgb in frames:
            look = Look.at(rgb)
            self._measures.see(look)
            self._signatures.see(look)
            for watcher in self._embedders.values():
                watcher.see(look)
            self._pictures.write(jpeg(rgb))
            self._offsets.append(self._pictures.tell())

    def glance(self, frames: Frames) -> None:
        """Takes the next of all frames, uint8 RGB [n, 27, 48, 3]."""
        self._measures.glance(frames)

    def tables(self, clips: Sequence[Clip], timeline: Timeline) -> dict[str, pa.Table]:
        """The rows of every side table, for the clips of this source."""
        forms = side_tables(self._scores, tuple(self._embedders))
        rows: dict[str, list[Any]] = {name: [] for name in forms}
        picked = timeline.starts_s[timeline.analysed]
        for clip in clips:
            bounds = np.searchsorted(timeline.analysed, (clip.start_frame, clip.end_frame))
            first, last = bounds.tolist()
            for name, row in self._measures.rows(clip, timeline, self._picture).items():
                rows[name].append(row)
            if first < last:
                middle = (first + last) // 2
                rows[THUMBNAILS].append(self._thumbnail(clip, timeline, middle))
            rows[SIGNATURES].append(
                self._signatures.signature(
                    clip.clip_id, clip.source_id, slice(first, last), picked[first:last]
                )
            )
            span_s = (clip.start_s, clip.end_s)
            for each, watcher in self._embedders.items():
                vector = watcher.vector(first, last, picked[first:last], span_s)
                row = Embedding(clip.clip_id, clip.source_id, each.dim, vector)
                rows[table_name(each)].append(row)
        return {name: records.table(form, rows[name]) for name, form in forms.items()}

    def _thumbnail(self, clip: Clip, timeline: Timeline, index: int) -> Thumbnail:
        frame = int(timeline.analysed[index])
        return Thumbnail(clip.clip_id, clip.source_id, frame, self._jpeg(index))

    def _jpeg(self, index: int) -> bytes:
        self._pictures.seek(self._offsets[index])
        return self._pictures.read(self._offsets[index + 1] - self._offsets[index])

    def _picture(self, index: int) -> npt.NDArray[np.uint8]:
        return np.asarray(Image.open(io.BytesIO(self._jpeg(index))))


def jpeg(rgb: npt.NDArray[np.uint8], quality: int = 80) -> bytes:
    """JPEG bytes of an RGB picture."""
    held = io.BytesIO()
    Image.fromarray(rgb).save(held, "JPEG", quality=quality)
    return held.getvalue()
