"""Takes the analysis frames of one source, and makes the rows of its clips' side tables.

What is kept of each frame is small: the scores' numbers, what embedders keep (the descriptor 4
KiB), and a JPEG in a temporary file.
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

from curation import embedder, records, scores
from curation.descriptor import FrameDct
from curation.embedder import Embedder, EmbeddingWatcher
from curation.media.watch import Frames, Timeline
from curation.records import Clip, Embedding, Thumbnail
from curation.scores import Look, Score

THUMBNAILS = "thumbnails"
EMBEDDINGS = f"embeddings/{FrameDct.name}"


def side_tables(measured: Sequence[Score], embedders: Sequence[Embedder]) -> dict[str, type[Any]]:
    """The side tables of clips, and their records."""
    scored = {scores.table_name(score): score.record for score in measured}
    embedded = {embedder.table_name(each): Embedding for each in embedders}
    return {**scored, **embedded, THUMBNAILS: Thumbnail}


class Watcher:
    """Takes the analysis frames of one source and makes the side tables' rows."""

    def __init__(
        self, measured: Sequence[Score], embedders: Mapping[Embedder, EmbeddingWatcher]
    ) -> None:
        self._scores = tuple(measured)
        self._embedders = embedders
        self._measures: list[list[tuple[float, ...]]] = [[] for _ in self._scores]
        self._pictures = tempfile.TemporaryFile(prefix="reelmill-")  # noqa: SIM115  see `close`
        self._offsets = [0]
        self._before: Look | None = None

    def close(self) -> None:
        """Gives the pictures' temporary file back."""
        self._pictures.close()

    def see(self, frames: Frames) -> None:
        """Takes the next analysis frames, uint8 RGB [n, height, width, 3]."""
        for rgb in frames:
            look = Look.at(rgb)
            for kept, score in zip(self._measures, self._scores, strict=True):
                kept.append(score.measure(look, self._before))
            for watcher in self._embedders.values():
                watcher.see(look)
            self._pictures.write(jpeg(rgb))
            self._offsets.append(self._pictures.tell())
            self._before = look

    def tables(self, clips: Sequence[Clip], timeline: Timeline) -> dict[str, pa.Table]:
        """The rows of every side table, for the clips of this source."""
        forms = side_tables(self._scores, tuple(self._embedders))
        rows: dict[str, list[Any]] = {name: [] for name in forms}
        measures = [np.array(m, np.float64).reshape(len(m), -1) for m in self._measures]
        picked = timeline.starts_s[timeline.analysed]
        for clip in clips:
            bounds = np.searchsorted(timeline.analysed, (clip.start_frame, clip.end_frame))
            first, last = bounds.tolist()
            self._summarise(clip, measures, picked, slice(first, last), rows)
            if first < last:
                middle = (first + last) // 2
                rows[THUMBNAILS].append(self._thumbnail(clip, timeline, middle))
            span_s = (clip.start_s, clip.end_s)
            for each, watcher in self._embedders.items():
                vector = watcher.vector(first, last, picked[first:last], span_s)
                row = Embedding(clip.clip_id, clip.source_id, each.dim, vector)
                rows[embedder.table_name(each)].append(row)
        return {name: records.table(form, rows[name]) for name, form in forms.items()}

    def _summarise(
        self,
        clip: Clip,
        measures: list[npt.NDArray[np.float64]],
        picked: npt.NDArray[np.float64],
        inside: slice,
        rows: dict[str, list[Any]],
    ) -> None:
        for score, numbers in zip(self._scores, measures, strict=True):
            values: dict[str, float | None]
            if inside.start < inside.stop:
                own = within_clip(score, numbers[inside])
                values = score.summarise(own, picked[inside])
            else:
                values = {f.name: None for f in scores.columns(type(score))}
            row = score.record(clip_id=clip.clip_id, source_id=clip.source_id, **values)
            rows[scores.table_name(score)].append(row)

    def _thumbnail(self, clip: Clip, timeline: Timeline, index: int) -> Thumbnail:
        self._pictures.seek(self._offsets[index])
        picture = self._pictures.read(self._offsets[index + 1] - self._offsets[index])
        frame = int(timeline.analysed[index])
        return Thumbnail(clip.clip_id, clip.source_id, frame, picture)


def within_clip(score: Score, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The clip's numbers; its first frame is not compared with one of another shot."""
    if not score.compares:
        return numbers
    own = numbers.copy()
    own[0] = np.nan
    return own


def jpeg(rgb: npt.NDArray[np.uint8], quality: int = 80) -> bytes:
    """JPEG bytes of an RGB picture."""
    held = io.BytesIO()
    Image.fromarray(rgb).save(held, "JPEG", quality=quality)
    return held.getvalue()
