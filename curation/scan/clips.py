"""Clips of a source: spans of its shots, with ids derived from what they contain."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.media.timeline import Timeline
from curation.records import Clip


def make_clip(
    span: tuple[int, int], shot: tuple[int, int], timeline: Timeline, source_id: str, stream: int
) -> Clip:
    """The clip of a span of frames (end exclusive); its id is the same in every scan."""
    start, end = span
    clip = Clip(
        clip_id="",
        source_id=source_id,
        start_frame=start,
        end_frame=end,
        start_s=round(float(timeline.starts_s[start]), 6),
        end_s=round(float(timeline.starts_s[end]), 6),
        shot_start_frame=shot[0],
        shot_end_frame=shot[1],
    )
    if (pts := timeline.pts_bounds(start, end)) is not None:
        base = str(timeline.time_base)
        clip = dataclasses.replace(clip, start_pts=pts[0], end_pts=pts[1], time_base=base)
    if timeline.timestamps == "repaired" or (timeline.pts is not None and pts is None):
        times = timeline.starts_s[start : end + 1] - timeline.starts_s[start]
        clip = dataclasses.replace(clip, frame_times=times.astype("<f8").tobytes())
    return dataclasses.replace(clip, clip_id=compute_clip_id(clip, stream))


def compute_clip_id(clip: Clip, stream: int) -> str:
    """The id of a clip of this stream: 32 hex digits; its stored `clip_id` is ignored."""
    if clip.start_pts is None:
        span = f"frames {clip.start_frame} {clip.end_frame}"
    else:
        span = f"{clip.start_pts} {clip.end_pts} {clip.time_base}"
    return hashlib.sha256(f"{clip.source_id} {stream} {span}".encode()).hexdigest()[:32]


def compute_clip_ids(clips: pa.Table, streams: pa.Array) -> pa.Array:
    """The ids of many clips, rows of `Clip`, each of its stream."""
    names = ("start_frame", "end_frame", "start_pts", "end_pts")
    texts = {name: pc.fill_null(clips[name].cast(pa.string()), "None") for name in names}
    frames = _joined("frames", texts["start_frame"], texts["end_frame"])
    time_base = pc.fill_null(clips["time_base"], "None")
    times = _joined(texts["start_pts"], texts["end_pts"], time_base)
    span = pc.if_else(pc.is_null(clips["start_pts"]), frames, times)
    contents = _joined(clips["source_id"], pa.chunked_array([streams.cast(pa.string())]), span)
    digests = [hashlib.sha256(c.encode()).hexdigest()[:32] for c in contents.to_pylist()]
    return pa.array(digests, pa.string())


def _joined(*parts: pa.ChunkedArray | str) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(*parts, " ")


def analysis_slice(clip: Clip, timeline: Timeline) -> slice:
    """Which of the source's analysis frames lie in the clip."""
    bounds = (clip.start_frame, clip.end_frame)
    return slice(*np.searchsorted(timeline.analysis_indices, bounds).tolist())
