"""How far a bad clip reaches in its session: to the clip alone, or to other cameras and times.

A session is what several cameras recorded at one time (`signals/recordings`). `span` leaves out
what other cameras show at the time of a bad clip, `camera` all that its camera shows in the
session, and `session` the whole session. Clips of no session stand alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.catalog import Catalog
from curation.id_match import IdMatcher, one_chunk
from curation.signals.blocks import RECORDINGS, ClipRecording
from curation.signals.resample import NO_TIME

Scope = Literal["clip", "span", "camera", "session"]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SessionClips:
    """The clips of sessions among some clips, in the order of those: arrays of one length."""

    rows: npt.NDArray[np.int64]
    """Row of each among the clips."""
    session: npt.NDArray[np.int64]
    """Number of its session."""
    camera: npt.NDArray[np.int64]
    """Number of its camera within all sessions."""
    start_ns: npt.NDArray[np.int64]
    """When it starts on the session's clock."""
    end_ns: npt.NDArray[np.int64]
    """When it ends."""

    @classmethod
    def read(cls, catalog: Catalog, clip_ids: pa.Array) -> SessionClips:
        """Those of some clips."""
        columns = ["clip_id", "session", "camera", "frame_ns"]
        where = pc.is_valid(pc.field("session"))
        rows = catalog.read(RECORDINGS, ClipRecording, columns, where)
        index = IdMatcher(clip_ids).rows(rows["clip_id"])
        is_found = pc.is_valid(index)
        rows = rows.take(index.filter(is_found))
        spans = [_span(frame_ns) for frame_ns in rows["frame_ns"].to_pylist()]
        start, end = np.array(spans, np.int64).reshape(-1, 2).T
        session = _numbers(one_chunk(rows["session"]))
        cameras = pc.binary_join_element_wise(
            rows["session"], pc.fill_null(rows["camera"], ""), "\n"
        )
        found = np.flatnonzero(is_found.to_numpy(zero_copy_only=False))
        return cls(found, session, _numbers(one_chunk(cameras)), start, end)

    def reached(self, is_bad: Bools, scope: Scope) -> Bools:
        """Which of all clips a bad one reaches, without those that are bad; [clips] in and out."""
        reached = np.zeros(len(is_bad), bool)
        bad = is_bad[self.rows]
        if scope == "clip" or not bad.any():
            return reached
        if scope == "span":
            reached[self.rows] = self._overlaps(bad)
        else:
            group = self.session if scope == "session" else self.camera
            reached[self.rows] = np.isin(group, np.unique(group[bad]))
        return reached & ~is_bad

    def _overlaps(self, bad: Bools) -> Bools:
        """Which clips share time with a bad one of their session."""
        result = np.zeros(len(bad), bool)
        order = np.argsort(self.session, kind="stable")
        sessions = np.unique(self.session[bad])
        edges = np.searchsorted(self.session[order], [sessions, sessions + 1])
        for first, end in edges.T.tolist():
            inside = order[first:end]
            for index in inside[bad[inside]].tolist():
                starts, ends = self.start_ns[inside], self.end_ns[inside]
                shares = (starts < self.end_ns[index]) & (self.start_ns[index] < ends)
                result[inside[shares]] = True
        return result


def _span(frame_ns: bytes | None) -> tuple[int, int]:
    """First and last time of a clip; an empty span without any."""
    times = np.frombuffer(frame_ns or b"", "<i8")
    times = times[times != NO_TIME]
    return (int(times[0]), int(times[-1])) if len(times) else (0, 0)


def _numbers(texts: Any) -> npt.NDArray[np.int64]:
    encoded = texts.dictionary_encode()
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int64)
