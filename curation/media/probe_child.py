"""Run as a program of its own, confined: opens one file with PyAV and prints its facts as JSON.

Usage: probe_child.py ORDER_JSON PATH, where the order has the demuxer's `options` and which video
`stream` to take (null for the container's choice). Every packet is read, none but the first few is
decoded: the packets say how many there are, where the first key frame is, and when the last frame
ends. Imports nothing of Reelmill, so that it starts quickly and so that nothing of the parent is in
reach of the bytes it reads.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import struct
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import av
import av.logging

_WINDOW = 64
"""Packets among which the last one shown is looked for: more than any reordering spans."""
_NEAR = 4
"""A packet that is called damaged within so many before another recording was ended by it."""
_RESTART_S = (-0.5, 10.0)
"""A step in time outside of these is a restart or a gap."""
_UNSTATED = 2
_TAGGED_BY = 16
"""Key frames among which one that states its colours speaks for a source that begins without."""
_DEEP = 9
"""Bits a sample from which a stream may be HDR, so that its key frames are looked at."""
_TAGGED_WITHIN = ("h264", "hevc", "vvc", "av1", "libdav1d", "vp9")
"""Codecs whose streams themselves say how they are coloured, and may say so anew."""


def _stream_facts(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    return {
        "index": stream.index,
        "codec": context.codec.name if context is not None else None,
        "attached": bool(stream.disposition & av.stream.Disposition.attached_pic),
        "default": bool(stream.disposition & av.stream.Disposition.default),
        "pixels": stream.width * stream.height if context is not None else 0,
        "frames": stream.frames,
        "duration_s": float(stream.duration * stream.time_base) if stream.duration else None,
        "fps": float(stream.average_rate) if stream.average_rate else None,
        "coded_fps": float(context.framerate) if context and context.framerate else None,
        "aspect": str(stream.sample_aspect_ratio or "1"),
    }


def _audio_facts(container: Any) -> dict[str, Any]:
    streams = container.streams.audio
    context = streams[0].codec_context if streams else None
    codec = context.codec.name if context is not None else None
    return {"audios": len(streams), "audio_codec": codec}


@dataclass
class _Packets:
    """What the packets of one video stream say."""

    tick_s: float
    count: int = 0
    first_key: int | None = None
    """Packets before the first key frame."""
    leading: int = 0
    """Packets right after it that are shown before it."""
    damaged: int = 0
    """Packets that the demuxer calls damaged."""
    excused: int = 0
    """More such packets, which damage no picture: before the first key frame, and right before
    times restart, where one recording ends and another begins."""
    restarts: deque[int] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    """Packets before each key frame with which times restart or go on after a gap."""
    falls: int = 0
    """How often times fall back."""
    first_pts: int | None = None
    key_pts: int | None = None
    counting: bool = False
    suspects: deque[int] = field(default_factory=deque)
    """The last damaged packets, by number."""
    last_dts: int | None = None
    tail: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_WINDOW))

    def add(self, packet: Any) -> None:
        """Takes the next packet in the order of the file."""
        pts, dts = packet.pts, packet.dts
        if packet.is_keyframe and self.first_key is None:
            self.first_key, self.key_pts, self.counting = self.count, pts, True
        elif self.counting:
            self.counting = None not in (pts, self.key_pts) and pts < self.key_pts
            self.leading += self.counting
        self.count += 1
        if self.first_pts is None:
            self.first_pts = pts
        restarts = None not in (dts, self.last_dts) and self._restarts(dts - self.last_dts)
        if restarts:
            self.tail.clear()
            self.falls += dts < self.last_dts
            if packet.is_keyframe:
                self.restarts.append(self.count - 1)
            self.excused += len(self.suspects)
            self.suspects.clear()
        if packet.is_corrupt:
            self._suspect()
        self.last_dts = dts if dts is not None else self.last_dts
        while self.suspects and self.count > self.suspects[0] + _NEAR:
            self.suspects.popleft()
            self.damaged += 1
        if pts is not None and not packet.is_discard:
            self.tail.append((pts, packet.duration or 0))

    def _suspect(self) -> None:
        if self.first_key is None:
            self.excused += 1
        else:
            self.suspects.append(self.count)

    def _restarts(self, step: int) -> bool:
        return not _RESTART_S[0] <= step * self.tick_s <= _RESTART_S[1]

    def facts(self) -> dict[str, Any]:
        """The facts as plain data; `end_pts` is when the last packet's picture ends."""
        last = max(self.tail, default=None)
        end = last[0] + last[1] if last is not None and last[1] > 0 else None
        return {
            "count": self.count,
            "first_key": self.first_key,
            "leading": self.leading,
            "damaged": self.damaged + len(self.suspects),
            "excused": self.excused,
            "restarts": [*self.restarts],
            "falls": self.falls,
            "end_pts": end,
            "end_s": None if end is None else end * self.tick_s,
            "first_s": None if self.first_pts is None else self.first_pts * self.tick_s,
        }


def _packets(container: Any) -> dict[int, _Packets]:
    """What the packets of each stream say, of those as well that turn up late.

    What was read until an error counts: damage is for the decoder to judge.
    """
    found: dict[int, _Packets] = {}
    with contextlib.suppress(av.error.FFmpegError):
        for packet in container.demux():
            stream = packet.stream
            if stream.type in ("video", "audio") and packet.size:
                if stream.index not in found:
                    found[stream.index] = _Packets(float(stream.time_base))
                found[stream.index].add(packet)
    return found


def _first_frame_facts(path: str, order: dict[str, Any], index: int) -> dict[str, Any]:
    """What only a decoded frame tells; empty after 2,000 packets without a good one."""
    with av.open("file:" + path, options=order["options"], metadata_errors="replace") as container:
        stream = container.streams[index]
        stream.codec_context.options = {"max_pixels": order["options"]["max_pixels"]}
        for count, packet in enumerate(container.demux(stream)):
            if count > 2000:
                break
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue
            for frame in frames:
                return _frame_facts(frame)
    return {}


def _frame_facts(frame: Any) -> dict[str, Any]:
    rotation, flipped = _orientation(frame)
    return {
        "stored_width": frame.width,
        "stored_height": frame.height,
        "pixel_format": frame.format.name,
        "rgb": bool(frame.format.is_rgb),
        "bits": max((c.bits for c in frame.format.components), default=8),
        "interlaced": bool(frame.interlaced_frame),
        "rotation": rotation,
        "flipped": flipped,
        **_colour_tags(frame),
    }


def _colour_tags(frame: Any) -> dict[str, int]:
    """The tags of a decoded frame, as the numbers of ITU-T H.273."""
    names = {"matrix": "colorspace", "primaries": "color_primaries", "transfer": "color_trc"}
    return {ours: int(getattr(frame, theirs)) for ours, theirs in names.items()}


def _orientation(frame: Any) -> tuple[int, bool]:
    """Degrees counter-clockwise to turn the picture by, and whether it is mirrored as well."""
    rotation = round(getattr(frame, "rotation", 0) or 0)
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = struct.unpack_from("<5i", bytes(data))
            return rotation, a * d - b * c < 0
    return rotation, False


def _key_frames(path: str, order: dict[str, Any], index: int) -> Iterator[Any]:
    """The key frames up to the first damage, which is for the decoder to judge."""
    with av.open("file:" + path, options=order["options"], metadata_errors="replace") as container:
        stream = container.streams[index]
        stream.codec_context.options = {"max_pixels": order["options"]["max_pixels"]}
        stream.codec_context.skip_frame = "NONKEY"
        with contextlib.suppress(av.error.FFmpegError):
            yield from container.decode(stream)


def _tags_on_the_way(frames: Iterator[Any]) -> dict[str, int]:
    """The first tags that some of these frames state; empty if none does."""
    for frame in itertools.islice(frames, _TAGGED_BY):
        tags = _colour_tags(frame)
        if tags["matrix"] != _UNSTATED:
            return tags
    return {}


def choose(videos: list[dict[str, Any]], wanted: int | None) -> dict[str, Any] | None:
    """The stream to watch, of those that are no attached pictures.

    The one that is asked for; else of those with more than one packet (if there are such) the
    container's default, then the largest picture, then the first.
    """
    real = [v for v in videos if not v["attached"]]
    if wanted is not None:
        return next((v for v in real if v["index"] == wanted), None)
    moving = [v for v in real if v["packets"]["count"] > 1] or real
    known = [v for v in moving if v["codec"]] or moving
    return max(known, key=lambda v: (v["default"], v["pixels"], -v["index"]), default=None)


def _facts(order: dict[str, Any], path: str) -> dict[str, Any]:
    try:
        container = av.open("file:" + path, options=order["options"], metadata_errors="replace")
    except av.error.FFmpegError as error:
        return {"error": error.strerror, "demuxer": error.log[1] if error.log else None}
    with container:
        facts: dict[str, Any] = {
            "container": container.format.name,
            "duration_s": container.duration / 1e6 if container.duration else None,
            **_audio_facts(container),
            "first": {},
        }
        counted = _packets(container)
        facts["end_s"] = max((each.facts()["end_s"] or 0.0 for each in counted.values()), default=0)
        facts["videos"] = [_stream_facts(s) for s in container.streams.video]
        for video in facts["videos"]:
            video["packets"] = counted.get(video["index"], _Packets(0.0)).facts()
        sounds = [counted[s.index].falls for s in container.streams.audio if s.index in counted]
        facts["sound_falls"] = sounds[0] if sounds else 0
    facts["chosen"] = chosen = choose(facts["videos"], order.get("stream"))
    if chosen is not None and chosen["codec"]:
        facts["first"] = first = _first_frame_facts(path, order, chosen["index"])
        where = (path, order, chosen["index"])
        if first.get("bits", 8) >= _DEEP and chosen["codec"] in _TAGGED_WITHIN:
            facts["transfers"] = list({int(frame.color_trc) for frame in _key_frames(*where)})
        if first.get("matrix") == _UNSTATED and not first["rgb"]:
            first |= _tags_on_the_way(_key_frames(*where))
    return facts


def main(order: dict[str, Any], path: str) -> dict[str, Any]:
    """The facts of one file, or `{"error": …}`; with what the libraries said meanwhile."""
    av.logging.set_level(av.logging.ERROR)
    with av.logging.Capture(local=False) as log:
        facts = _facts(order, path)
    said = [message.strip() for _, _, message in log]
    return {**facts, "said": said[:20] + said[20:][-20:]}


if __name__ == "__main__":
    json.dump(main(json.loads(sys.argv[1]), sys.argv[2]), sys.stdout)
