"""Collects the decoded streams of one source into the rows of its clips' side tables.

Each stream is worked on in a thread of its own, shots and scores of one stream in two, so that
decoding goes on meanwhile; order, and with it every number, stays that of the stream.
Little of each frame is kept: the scores' numbers, 4 KiB that signature and descriptor share, what
other embedders keep, and a JPEG in a temporary file.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from curation import records, scores
from curation.embed.base import Embedder, EmbeddingCollector, table_name
from curation.embed.descriptor import FrameDct
from curation.embed.signature import SignatureCollector
from curation.media.audio import Samples, SourceLoudness
from curation.media.decode import Frames, LineColumns
from curation.media.timeline import Timeline
from curation.records import Clip, Embedding, Signature, Thumbnail
from curation.scan.clips import analysis_slice
from curation.scan.cpu_timer import CpuTimer
from curation.scan.in_order import InOrder
from curation.scan.recorded import PlacedRecording
from curation.scan.score_aggregator import ScoreAggregator
from curation.scan.shots import ShotFinder
from curation.scores import AnalysisFrame, Score
from curation.scores.base import spread
from curation.signals.blocks import SIGNAL_TABLES

SIGNATURES = "signatures"
THUMBNAILS = "thumbnails"
EMBEDDINGS = f"embeddings/{FrameDct.name}"
_CLIP_THREADS = 4


def side_tables(measured: Sequence[Score], embedders: Collection[Embedder]) -> dict[str, type[Any]]:
    """The side tables of clips, and their records."""
    score_tables = {scores.table_name(score): score.record for score in measured}
    embedding_tables = {table_name(embedder): Embedding for embedder in embedders}
    pictures = {SIGNATURES: Signature, THUMBNAILS: Thumbnail}
    return {**score_tables, **embedding_tables, **pictures, **SIGNAL_TABLES}


class ScanCollector:
    """Receives the streams of one source; only what `tables` need is computed."""

    def __init__(
        self,
        measured: Sequence[Score],
        embedders: Mapping[Embedder, Callable[[], EmbeddingCollector]],
        tables: Collection[str],
        *,
        shot_finder: ShotFinder | None,
        timer: CpuTimer,
    ) -> None:
        """`embedders` with what makes their collectors; `tables` are the side tables to fill.

        `shot_finder` is None where clips are known.
        """
        self._tables = tuple(tables)
        self._all_scores = tuple(s for s in measured if scores.table_name(s) in tables)
        self._scores = ScoreAggregator(self._all_scores)
        self._embedders = [e for e in embedders if table_name(e) in tables]
        self._new_collector = embedders
        self._collectors = {e: embedders[e]() for e in self._embedders if not e.num_frames}
        self._signatures = SignatureCollector() if SIGNATURES in tables else None
        self._shot_finder = shot_finder
        self._timer = timer
        self._keeps_jpegs = (
            THUMBNAILS in tables
            or self._scores.needs_clip_frames
            or any(embedder.num_frames for embedder in self._embedders)
        )
        self._jpegs = tempfile.TemporaryFile(prefix="reelmill-")  # noqa: SIM115  see `close`
        self._jpeg_offsets = [0]
        self._threads: dict[Callable[[Any], None], InOrder[Any]] = {}

    def close(self) -> None:
        """Ends the threads and removes the temporary file."""
        for thread in self._threads.values():
            thread.close()
        self._jpegs.close()

    @property
    def needs_analysis(self) -> bool:
        """Whether it needs analysis frames."""
        needed = self._scores.needs("analysis") or self._signatures or self._embedders
        return bool(needed) or self._keeps_jpegs

    @property
    def needs_lowres(self) -> bool:
        """Whether it needs every frame, at 48×27."""
        finds_shots = self._shot_finder is not None and self._shot_finder.reads_frames
        return finds_shots or self._scores.needs("lowres")

    @property
    def needs_columns(self) -> bool:
        """Whether it needs columns of analysis frames."""
        return self._scores.needs("columns")

    @property
    def needs_frames(self) -> bool:
        """Whether it needs any frames, or their times."""
        has_shots = self._shot_finder is not None
        return has_shots or self.needs_lowres or self.needs_analysis or self.needs_columns

    @property
    def needs_audio(self) -> bool:
        """Whether it needs the sound."""
        return self._scores.needs_audio

    def on_lowres(self, frames: Frames) -> None:
        """Takes the next of all frames, uint8 RGB [n, 27, 48, 3]."""
        if self._shot_finder is not None:
            self._work(self._find_shots, frames)
        if self._scores.needs("lowres"):
            self._work(self._measure_lowres, frames)

    def on_analysis(self, frames: Frames) -> None:
        """Takes the next analysis frames, uint8 RGB [n, height, width, 3]."""
        self._work(self._measure_analysis, frames)

    def on_columns(self, columns: LineColumns) -> None:
        """Takes the columns of the next analysis frames, uint8 [n, lines, columns]."""
        self._work(self._measure_columns, columns)

    def finish_frames(self) -> None:
        """Waits until all frames that came have been worked on."""
        for thread in self._threads.values():
            thread.finish()

    def _work(self, work: Callable[[Any], None], frames: Frames) -> None:
        if work not in self._threads:
            self._threads[work] = InOrder(work)
        self._threads[work].put(frames)

    def _find_shots(self, frames: Frames) -> None:
        assert self._shot_finder is not None
        with self._timer.part("shots"):
            self._shot_finder.feed(frames)

    def _measure_lowres(self, frames: Frames) -> None:
        with self._timer.part("scores"):
            for rgb in frames:
                self._scores.measure("lowres", AnalysisFrame.from_rgb(rgb))

    def _measure_analysis(self, frames: Frames) -> None:
        with self._timer.part("scores"):
            for rgb in frames:
                frame = AnalysisFrame.from_rgb(rgb)
                self._scores.measure("analysis", frame)
                if self._signatures is not None:
                    self._signatures.add(frame)
                for collector in self._collectors.values():
                    collector.add(frame)
                if self._keeps_jpegs:
                    self._jpegs.write(encode_jpeg(rgb))
                    self._jpeg_offsets.append(self._jpegs.tell())

    def _measure_columns(self, columns: LineColumns) -> None:
        with self._timer.part("scores"):
            for luma in columns:
                self._scores.measure("columns", AnalysisFrame.from_columns(luma))

    def on_audio(self, samples: Samples) -> None:
        """Takes the next piece of sound."""
        with self._timer.part("sound"):
            self._scores.measure_audio(samples)

    @property
    def needs_signals(self) -> bool:
        """Whether it needs what was recorded with the source."""
        return any(name in self._tables for name in SIGNAL_TABLES)

    def set_recorded(self, recorded: PlacedRecording | None) -> None:
        """Takes what was recorded with the source; None where nothing was."""
        self._scores.recorded = recorded

    def set_loudness(self, loudness: SourceLoudness | None) -> None:
        """Takes the source's loudness; None without sound."""
        self._scores.loudness = loudness

    def side_rows(self, clips: Sequence[Clip], timeline: Timeline | None) -> dict[str, pa.Table]:
        """The rows of the side tables; `timeline` is None where no frames were needed."""
        forms = side_tables(self._all_scores, self._embedders)
        rows: dict[str, list[Any]] = {name: [] for name in self._tables}
        self._jpegs.flush()
        with ThreadPoolExecutor(_CLIP_THREADS) as threads:
            for clip_rows in threads.map(lambda clip: self._rows_of(clip, timeline), clips):
                for name, several in clip_rows.items():
                    rows[name] += several
        with self._timer.part("scores"):
            return {name: records.to_table(forms[name], rows[name]) for name in self._tables}

    def _rows_of(self, clip: Clip, timeline: Timeline | None) -> dict[str, list[Any]]:
        """The clip's rows of each side table."""
        with self._timer.part("scores"):
            rows = self._scores.rows(clip, timeline, self._read_frame)
            if timeline is not None:
                rows |= self._picture_rows(clip, timeline)
            return {name: [row] for name, row in rows.items()} | self._signal_rows(clip)

    def _signal_rows(self, clip: Clip) -> dict[str, list[Any]]:
        """The clip's rows in the tables of signals; none where nothing was recorded."""
        recorded = self._scores.recorded
        if recorded is None or not self.needs_signals:
            return {}
        return recorded.rows(clip)

    def _picture_rows(self, clip: Clip, timeline: Timeline) -> dict[str, Any]:
        """The clip's thumbnail, signature and vectors by table."""
        inside = analysis_slice(clip, timeline)
        times_s = timeline.starts_s[timeline.analysis_indices[inside]]
        ids = (clip.clip_id, clip.source_id)
        rows: dict[str, Any] = {}
        if inside.start < inside.stop and THUMBNAILS in self._tables:
            middle = (inside.start + inside.stop) // 2
            frame = int(timeline.analysis_indices[middle])
            rows[THUMBNAILS] = Thumbnail(*ids, frame, self._read_jpeg(middle))
        if self._signatures is not None:
            rows[SIGNATURES] = self._signatures.signature(*ids, inside, times_s)
        for embedder in self._embedders:
            span_s = (clip.start_s, clip.end_s)
            if embedder.num_frames:
                chosen = spread(inside.stop - inside.start, embedder.num_frames)
                collector = self._new_collector[embedder]()
                for index in chosen:
                    collector.add(AnalysisFrame.from_rgb(self._read_frame(inside.start + index)))
                vector = collector.vector(0, len(chosen), times_s[chosen], span_s)
            else:
                collector = self._collectors[embedder]
                vector = collector.vector(inside.start, inside.stop, times_s, span_s)
            rows[table_name(embedder)] = Embedding(*ids, embedder.dim, vector)
        return rows

    def _read_jpeg(self, index: int) -> bytes:
        start, end = self._jpeg_offsets[index : index + 2]
        return os.pread(self._jpegs.fileno(), end - start, start)

    def _read_frame(self, index: int) -> npt.NDArray[np.uint8]:
        return np.asarray(Image.open(io.BytesIO(self._read_jpeg(index))))


def encode_jpeg(rgb: npt.NDArray[np.uint8], quality: int = 80) -> bytes:
    """JPEG bytes of an RGB picture."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
