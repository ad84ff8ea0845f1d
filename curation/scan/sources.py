"""Rows of sources: the columns that come from their containers and from a scan."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from curation.listing import Entry
from curation.media.probe import MediaInfo
from curation.media.salvage import SalvageResult
from curation.media.timeline import Timeline, segments_to_json
from curation.records import Clip, Source

_MAX_NAMED_RESTARTS = 5
_CONTAINER_COLUMNS = (
    "container", "codec", "pixel_format", "stream_index", "video_streams", "audio_streams",
    "audio_codec", "width", "height", "rotation", "flipped", "pixel_aspect", "interlaced", "hdr",
)  # fmt: skip


def source_row(entry: Entry, outcome: str, **columns: Any) -> Source:
    """The row of a listed input with its outcome, `scanned` or `failed`."""
    return Source(
        uri=entry.uri,
        size_bytes=entry.size_bytes,
        modified=entry.modified,
        outcome=outcome,
        extra=entry.extra or None,
        **columns,
    )


def container_columns(info: MediaInfo) -> dict[str, Any]:
    """The columns that come from the container."""
    packets = info.packets
    return {
        **{name: getattr(info, name) for name in _CONTAINER_COLUMNS},
        "colour": str(info.colour),
        "colour_forced": info.colour.forced,
        "skipped_packets": packets.skipped or None,
        "leading_packets": packets.leading or None,
        "excused_packets": packets.excused or None,
    }


def timeline_columns(timeline: Timeline, clips: Sequence[Clip]) -> dict[str, Any]:
    """The columns that come from a complete decode and its clips."""
    duration_s = float(timeline.starts_s[-1])
    segments = timeline.segments
    clip_ids = "".join(clip.clip_id for clip in clips)
    return {
        "fps": round(timeline.average_fps, 4) if duration_s else None,
        "variable_rate": timeline.variable_rate,
        "frames": timeline.frames,
        "duration_s": round(duration_s, 6),
        "timestamps": timeline.timestamps,
        "begin_s": None if timeline.pts is None else round(segments[0].container_start_s, 6),
        "segments": segments_to_json(segments) if len(segments) > 1 else None,
        "clips": len(clips),
        "clips_digest": hashlib.sha256(clip_ids.encode()).hexdigest(),
    }


def _missing_frames(
    info: MediaInfo, timeline: Timeline, salvaged: SalvageResult | None
) -> Iterator[str]:
    """What is known of frames that are in the file, or should be, and do not decode."""
    packets = info.packets
    if packets.discarded:
        yield f"its edit list hides {_frames(packets.discarded)}"
    left_out = packets.discarded + packets.skipped + packets.leading
    missing = info.header_frames - left_out - timeline.frames
    if info.container.startswith("mov,mp4") and missing > 0 and salvaged is None:
        yield f"its header states {_frames(missing)} more than decode"
    if info.damaged_at is not None:
        yield f"its container is damaged at byte {info.damaged_at}: frames may be missing"


def _frames(count: int) -> str:
    return f"{count} frame" if count == 1 else f"{count} frames"


def source_remarks(
    info: MediaInfo, timeline: Timeline, salvaged: SalvageResult | None, *, audio_dropped: bool,
    recording: Sequence[str] = (),
) -> str | None:  # fmt: skip
    """What is unusual about a source, as phrases; None if nothing is."""
    packets, segments, remarks = info.packets, timeline.segments, []
    if packets.skipped:
        num_packets = packets.skipped + packets.leading
        remarks.append(f"begins inside a group of pictures: {num_packets} packets left out")
    for segment in segments[1 : _MAX_NAMED_RESTARTS + 1]:
        remarks.append(f"times restart or a gap ends at frame {segment.start_frame}")
    if len(segments) > _MAX_NAMED_RESTARTS + 1:
        remarks.append(f"so they do at {len(segments) - 1 - _MAX_NAMED_RESTARTS} more places")
    if packets.excused:
        remarks.append(
            f"{packets.excused} packets were cut short before that or the first key frame"
        )
    if timeline.gap_s:
        remarks.append(f"{timeline.gap_s:.1f} s without frames left out")
    if timeline.timestamps == "repaired":
        remarks.append("the container times only some frames, or not in order")
    if audio_dropped:
        remarks.append("its sound does not restart where its pictures do, and is left out")
    if info.ends_early_s:
        remarks.append(f"ends early: its header states {info.header_duration_s:.2f} s")
    if info.continuation:
        remarks.append(f"not read to its end: it {info.continuation}")
    if salvaged is not None:
        remarks.append(f"damaged after frame {timeline.frames - 1} ({salvaged})")
    remarks += [*_missing_frames(info, timeline, salvaged), *recording]
    return "; ".join(remarks) or None
