"""Rows of sources: what their containers and a scan say of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from curation.listing import Entry
from curation.media.probe import Facts
from curation.media.watch import Timeline
from curation.records import Clip, Source


def failed_source(entry: Entry, reason: str, detail: str, **known: Any) -> Source:
    """The row of an input that could not be scanned."""
    return Source(
        uri=entry.uri,
        size_bytes=entry.size_bytes,
        modified=entry.modified,
        outcome="failed",
        reason=reason,
        detail=detail,
        extra=entry.extra or None,
        **known,
    )


def probed(facts: Facts) -> dict[str, Any]:
    """What the container says, as columns."""
    names = ("container", "codec", "pixel_format", "stream_index", "video_streams",
             "audio_streams", "audio_codec", "width", "height", "rotation", "pixel_aspect",
             "interlaced", "hdr")  # fmt: skip
    return {name: getattr(facts, name) for name in names}


def filled(entry: Entry, known: dict[str, Any]) -> Source:
    """The row of a source that has one already: its clips stand, and only tables were filled."""
    return Source(
        uri=entry.uri,
        size_bytes=entry.size_bytes,
        modified=entry.modified,
        outcome="scanned",
        extra=entry.extra or None,
        **known,
    )


def scanned(
    entry: Entry,
    known: dict[str, Any],
    timeline: Timeline,
    clips: Sequence[Clip],
) -> Source:
    """The row of a source whose frames were all seen."""
    duration = float(timeline.starts_s[-1])
    joined = "".join(clip.clip_id for clip in clips)
    return Source(
        uri=entry.uri,
        size_bytes=entry.size_bytes,
        modified=entry.modified,
        outcome="scanned",
        fps=round(timeline.frames / duration, 4) if duration else None,
        variable_rate=timeline.variable_rate,
        frames=timeline.frames,
        duration_s=round(duration, 6),
        clips=len(clips),
        clips_digest=hashlib.sha256(joined.encode()).hexdigest(),
        extra=entry.extra or None,
        **known,
    )
