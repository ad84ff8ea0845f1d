"""Rows of sources: what their containers and a scan say of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from curation.listing import Entry
from curation.media.probe import Facts
from curation.media.salvage import Salvaged
from curation.media.segments import stretches_text
from curation.media.timeline import Timeline
from curation.records import Clip, Source

_MOST_NAMED = 5
"""Restarts that are named one by one."""


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
             "audio_streams", "audio_codec", "width", "height", "rotation", "flipped",
             "pixel_aspect", "interlaced", "hdr")  # fmt: skip
    known = {name: getattr(facts, name) for name in names}
    known |= {"colour": str(facts.colour), "colour_forced": facts.colour.forced}
    packets = facts.packets
    counted = {"skipped": packets.skipped, "leading": packets.leading, "excused": packets.excused}
    return known | {f"{name}_packets": count or None for name, count in counted.items()}


def remarks(
    facts: Facts, timeline: Timeline, salvaged: Salvaged | None, *, sound_lost: bool
) -> str | None:
    """What is unusual about a source, as sentences; None if nothing is."""
    packets, words = facts.packets, []
    if packets.skipped:
        left_out = packets.skipped + packets.leading
        words.append(f"begins inside a group of pictures: {left_out} packets left out")
    for stretch in timeline.stretches[1 : _MOST_NAMED + 1]:
        words.append(f"times restart or a gap ends at frame {stretch.start_frame}")
    if len(timeline.stretches) > _MOST_NAMED + 1:
        words.append(f"so they do at {len(timeline.stretches) - 1 - _MOST_NAMED} more places")
    if packets.excused:
        words.append(f"{packets.excused} packets were cut short before that or the first key frame")
    if timeline.gap_s:
        words.append(f"{timeline.gap_s:.1f} s without frames left out")
    if timeline.timestamps == "repaired":
        words.append("the container times only some frames, or not in order")
    if sound_lost:
        words.append("its sound does not restart where its pictures do, and is left out")
    if facts.ends_early_s:
        words.append(f"ends early: its header promises {facts.header_duration_s:.2f} s")
    if facts.continues:
        words.append(f"not read to its end: it {facts.continues}")
    if salvaged is not None:
        words.append(f"damaged after frame {timeline.frames - 1} ({salvaged})")
    return "; ".join(words) or None


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
        fps=round(timeline.rate, 4) if duration else None,
        variable_rate=timeline.variable_rate,
        frames=timeline.frames,
        duration_s=round(duration, 6),
        timestamps=timeline.timestamps,
        begin_s=None if timeline.pts is None else round(timeline.stretches[0].begin_s, 6),
        stretches=stretches_text(timeline.stretches) if len(timeline.stretches) > 1 else None,
        clips=len(clips),
        clips_digest=hashlib.sha256(joined.encode()).hexdigest(),
        extra=entry.extra or None,
        **known,
    )
