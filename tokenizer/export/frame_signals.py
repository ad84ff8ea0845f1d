"""The signals of exported clips at each frame of their files, and their places in sessions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.catalog import Catalog
from curation.id_match import IdMatcher
from curation.records import Render
from curation.select.sessions import SessionClips
from curation.signals.blocks import RECORDINGS, ClipRecording, ClipSignals, read_clip_signals
from curation.signals.resample import Sampled
from curation.signals.signal import Signal, Stamps

_AHEAD = 64
"""Clips whose signals are read at once."""
PLACES = ("session", "camera", "episode", "task")
"""Columns of a clip's place in a session."""


@dataclass(frozen=True, eq=False)
class FrameSignals:
    """The signals of one file."""

    times_ns: Stamps
    """When each frame was, on the recording's clock: int64 [frames]."""
    sampled: dict[str, tuple[Signal, Sampled]]
    """By name: the signal as recorded, and its values at the frames, each of its own type."""


class SignalIndex:
    """Finds the signals of clips, in the order in which they are exported."""

    def __init__(self, catalog: Catalog, renders: str | None, clip_ids: list[str]) -> None:
        self._catalog = catalog
        self._clip_ids = clip_ids
        self._known: dict[str, ClipSignals] = {}
        self._until = 0
        rows = catalog.read(RECORDINGS, ClipRecording, ["clip_id", "signals", *PLACES])
        index = IdMatcher(pa.array(clip_ids, pa.string())).rows(rows["clip_id"])
        places = rows.select(PLACES).take(index)
        self.has_any = rows.num_rows > 0
        """Whether the output has signals or sessions."""
        self.places: dict[str, list[str | None]] = {n: places[n].to_pylist() for n in PLACES}
        """Of each clip in their order."""
        texts = rows["signals"].take(index).to_pylist()
        self.names = [frozenset(json.loads(text or "[]")) for text in texts]
        """Names of the signals of each clip."""
        self._shown: dict[str, bytes] = {}
        if renders is not None:
            where = pc.is_valid(pc.field("source_frames"))
            frames = catalog.read(renders, Render, ["clip_id", "source_frames"], where)
            self._shown = dict(
                zip(frames["clip_id"].to_pylist(), frames["source_frames"].to_pylist(), strict=True)
            )

    def starts_ns(self) -> dict[int, int]:
        """When clips of sessions start on their session's clock, by index; without a time none."""
        clips = SessionClips.read(self._catalog, pa.array(self._clip_ids, pa.string()))
        has_time = clips.end_ns > clips.start_ns
        pairs = zip(clips.rows[has_time].tolist(), clips.start_ns[has_time].tolist(), strict=True)
        return dict(pairs)

    def is_resampled(self, clip_id: str) -> bool:
        """Whether the clip's file has another rate than its source, and so a steady one."""
        return clip_id in self._shown

    def at(self, index: int, frames: int, start_frame: int) -> FrameSignals | None:
        """Those of a file of so many frames, of a clip that starts at a frame of its source."""
        if not self.has_any:
            return None
        clip_id = self._clip_ids[index]
        if not index < self._until or clip_id not in self._known:
            wanted = self._clip_ids[index : index + _AHEAD]
            self._known = read_clip_signals(self._catalog, wanted)
            self._until = index + len(wanted)
        signals = self._known.get(clip_id)
        if signals is None:
            return None
        shown: npt.NDArray[Any] = np.arange(frames, dtype=np.int64)
        if (stored := self._shown.get(clip_id)) is not None:
            shown = np.frombuffer(stored, "<u4").astype(np.int64) - start_frame
        end = int(shown[-1]) + 1 if len(shown) else 0
        sampled = {s.name: (s, signals.at(s, shown, end)) for s in signals.signals}
        last = len(signals.frame_ns) - 1
        return FrameSignals(signals.frame_ns[np.minimum(shown, last)], sampled)
