"""Takes the frames and the sound of one source, and makes the rows of its clips' side tables.

What is kept of each frame is small: the scores' numbers, 4 KiB that signature and descriptor share,
what other embedders keep, and a JPEG in a temporary file.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from curation import records, scores
from curation.embed.base import Embedder, EmbeddingWatcher, table_name
from curation.embed.descriptor import FrameDct
from curation.embed.signature import SignatureWatcher
from curation.media.audio import Samples, Sound
from curation.media.decode import Frames, Lines
from curation.media.timeline import Timeline
from curation.records import Clip, Embedding, Signature, Thumbnail
from curation.scan.score_aggregator import Measures
from curation.scores import AnalysisFrame, Score

SIGNATURES = "signatures"
THUMBNAILS = "thumbnails"
EMBEDDINGS = f"embeddings/{FrameDct.name}"


def side_tables(measured: Sequence[Score], embedders: Sequence[Embedder]) -> dict[str, type[Any]]:
    """The side tables of clips, and their records."""
    scored = {scores.table_name(score): score.record for score in measured}
    embedded = {table_name(each): Embedding for each in embedders}
    return {**scored, **embedded, SIGNATURES: Signature, THUMBNAILS: Thumbnail}


class Watcher:
    """Takes the frames and the sound of one source and makes the side tables' rows."""

    def __init__(
        self,
        measured: Sequence[Score],
        embedders: Mapping[Embedder, EmbeddingWatcher],
        tables: Collection[str],
    ) -> None:
        """`tables` are the side tables that are wanted; what only others need is not done."""
        self._tables = tuple(tables)
        self._scores = tuple(s for s in measured if scores.table_name(s) in tables)
        self._measures = Measures(self._scores)
        self._embedders = {e: each for e, each in embedders.items() if table_name(e) in tables}
        self._signatures = SignatureWatcher() if SIGNATURES in tables else None
        self._keeps = THUMBNAILS in tables or self._measures.describes
        self._pictures = tempfile.TemporaryFile(prefix="reelmill-")  # noqa: SIM115  see `close`
        self._offsets = [0]

    def close(self) -> None:
        """Gives the pictures' temporary file back."""
        self._pictures.close()

    @property
    def sees(self) -> bool:
        """Whether it wants analysis frames."""
        shown = self._measures.watches("analysis") or self._signatures or self._embedders
        return bool(shown) or self._keeps

    @property
    def reads(self) -> bool:
        """Whether it wants lines of analysis frames."""
        return self._measures.watches("lines")

    @property
    def watches(self) -> bool:
        """Whether it wants any frames."""
        return self.sees or self.reads or self._measures.watches("all")

    @property
    def listens(self) -> bool:
        """Whether it wants the sound."""
        return self._measures.listens

    def see(self, frames: Frames) -> None:
        """Takes the next analysis frames, uint8 RGB [n, height, width, 3]."""
        for rgb in frames:
            look = AnalysisFrame.at(rgb)
            self._measures.see(look)
            if self._signatures is not None:
                self._signatures.see(look)
            for watcher in self._embedders.values():
                watcher.see(look)
            if self._keeps:
                self._pictures.write(jpeg(rgb))
                self._offsets.append(self._pictures.tell())

    def read(self, lines: Lines) -> None:
        """Takes the lines of the next analysis frames, uint8 [n, lines, columns]."""
        self._measures.read(lines)

    def hear(self, samples: Samples) -> None:
        """Takes the next piece of sound."""
        self._measures.hear(samples)

    def heard(self, sound: Sound | None) -> None:
        """Takes how loud the source is; None without sound."""
        self._measures.heard(sound)

    def glance(self, frames: Frames) -> None:
        """Takes the next of all frames, uint8 RGB [n, 27, 48, 3]."""
        self._measures.glance(frames)

    def tables(self, clips: Sequence[Clip], timeline: Timeline | None) -> dict[str, pa.Table]:
        """The rows of the wanted side tables; `timeline` is None where no frames were wanted."""
        forms = side_tables(self._scores, tuple(self._embedders))
        rows: dict[str, list[Any]] = {name: [] for name in self._tables}
        for clip in clips:
            for name, row in self._measures.rows(clip, timeline, self._picture).items():
                rows[name].append(row)
            if timeline is not None:
                for name, row in self._pictured(clip, timeline):
                    rows[name].append(row)
        return {name: records.table(forms[name], rows[name]) for name in self._tables}

    def _pictured(self, clip: Clip, timeline: Timeline) -> Iterator[tuple[str, Any]]:
        """The clip's thumbnail, signature and vectors, each with its table, as far as wanted."""
        bounds = np.searchsorted(timeline.analysed, (clip.start_frame, clip.end_frame))
        first, last = bounds.tolist()
        times_s = timeline.starts_s[timeline.analysed[first:last]]
        named = (clip.clip_id, clip.source_id)
        if first < last and THUMBNAILS in self._tables:
            yield THUMBNAILS, self._thumbnail(clip, timeline, (first + last) // 2)
        if self._signatures is not None:
            signature = self._signatures.signature(*named, slice(first, last), times_s)
            yield SIGNATURES, signature
        for each, watcher in self._embedders.items():
            vector = watcher.vector(first, last, times_s, (clip.start_s, clip.end_s))
            yield table_name(each), Embedding(*named, each.dim, vector)

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
