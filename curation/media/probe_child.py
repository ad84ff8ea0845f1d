"""Run confined as its own program: opens one file with PyAV and prints what is in it as JSON.

Usage: probe_child.py JSON with path, the demuxer's options, and the index of the video stream
(null for the container's choice). Every packet is read, only the first few are decoded: packets
tell how many there are, where the first key frame is, and when the last frame ends. Imports nothing
of Reelmill, so that it starts quickly and the parent never touches the bytes it reads.
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
"""Packets in which the last one shown is searched: more than any reordering spans."""
_CUT_SHORT_WITHIN = 4
"""A damaged packet at most so many before another recording starts was cut short by it."""
_CONTINUOUS_S = (-0.5, 10.0)
"""A step in time outside of these is a restart or a gap."""
_UNSTATED = 2
_TAG_FRAMES = 16
"""Key frames that are searched for colour tags if the first frame has none."""
_HDR_BITS = 9
"""Bits a sample from which a stream may be HDR, so that its key frames are checked."""
_TAGGED_CODECS = ("h264", "hevc", "vvc", "av1", "libdav1d", "vp9")
"""Codecs whose streams carry colour tags, which may change midway."""


@dataclass
class _PacketCounter:
    """What the packets of one stream say."""

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
    timestamps restart, where one recording ends and another starts."""
    restarts: deque[int] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    """Packets before each key frame with which timestamps restart or continue after a gap."""
    discarded: int = 0
    """Packets whose pictures an edit list hides."""
    falls: int = 0
    """How often timestamps fall back."""
    first_pts: int | None = None
    key_pts: int | None = None
    in_leading: bool = False
    suspects: deque[int] = field(default_factory=deque)
    """The last damaged packets, by index."""
    last_dts: int | None = None
    tail: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    """Timestamp and duration of the last packets."""

    def add(self, packet: Any) -> None:
        """Counts the next packet in file order."""
        pts, dts = packet.pts, packet.dts
        if packet.is_keyframe and self.first_key is None:
            self.first_key, self.key_pts, self.in_leading = self.count, pts, True
        elif self.in_leading:
            self.in_leading = None not in (pts, self.key_pts) and pts < self.key_pts
            self.leading += self.in_leading
        self.count += 1
        if self.first_pts is None:
            self.first_pts = pts
        step_s = 0.0 if None in (dts, self.last_dts) else (dts - self.last_dts) * self.tick_s
        if not _CONTINUOUS_S[0] <= step_s <= _CONTINUOUS_S[1]:
            self.tail.clear()
            self.falls += dts < self.last_dts
            if packet.is_keyframe:
                self.restarts.append(self.count - 1)
            self.excused += len(self.suspects)
            self.suspects.clear()
        if packet.is_corrupt:
            if self.first_key is None:
                self.excused += 1
            else:
                self.suspects.append(self.count)
        self.last_dts = dts if dts is not None else self.last_dts
        while self.suspects and self.count > self.suspects[0] + _CUT_SHORT_WITHIN:
            self.suspects.popleft()
            self.damaged += 1
        self.discarded += packet.is_discard
        if pts is not None and not packet.is_discard:
            self.tail.append((pts, packet.duration or 0))

    def summary(self) -> dict[str, Any]:
        """The counts as plain data; `end_pts` is when the last packet's picture ends."""
        last = max(self.tail, default=None)
        end = last[0] + last[1] if last is not None and last[1] > 0 else None
        return {
            "count": self.count,
            "first_key": self.first_key,
            "leading": self.leading,
            "damaged": self.damaged + len(self.suspects),
            "excused": self.excused,
            "restarts": [*self.restarts],
            "discarded": self.discarded,
            "end_pts": end,
            "end_s": None if end is None else end * self.tick_s,
            "start_s": None if self.first_pts is None else self.first_pts * self.tick_s,
        }


def _count_packets(container: Any) -> dict[int, _PacketCounter]:
    """Counts the packets of each stream, including streams that appear late.

    Stops at an error without failing: the decoder decides about damage.
    """
    counters: dict[int, _PacketCounter] = {}
    with contextlib.suppress(av.error.FFmpegError):
        for packet in container.demux():
            stream = packet.stream
            if stream.type in ("video", "audio") and packet.size:
                if stream.index not in counters:
                    counters[stream.index] = _PacketCounter(float(stream.time_base))
                counters[stream.index].add(packet)
    return counters


def _video_stream(stream: Any, counter: _PacketCounter) -> dict[str, Any]:
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
        "packets": counter.summary(),
    }


@contextlib.contextmanager
def _decodable(request: dict[str, Any], index: int) -> Iterator[tuple[Any, Any]]:
    """The opened container and one of its streams, with the limit on pixels."""
    options = request["options"]
    path = "file:" + request["path"]
    with av.open(path, options=options, metadata_errors="replace") as container:
        stream = container.streams[index]
        stream.codec_context.options = {"max_pixels": options["max_pixels"]}
        yield container, stream


def _first_frame(request: dict[str, Any], index: int) -> dict[str, Any]:
    """What only a decoded frame shows; empty after 2,000 packets without a good one."""
    with _decodable(request, index) as (container, stream):
        for packet in itertools.islice(container.demux(stream), 2001):
            with contextlib.suppress(av.error.FFmpegError):
                for frame in packet.decode():
                    return _frame_properties(frame)
    return {}


def _frame_properties(frame: Any) -> dict[str, Any]:
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
    """The tags of a decoded frame, as codes of ITU-T H.273."""
    names = {"matrix": "colorspace", "primaries": "color_primaries", "transfer": "color_trc"}
    return {name: int(getattr(frame, attribute)) for name, attribute in names.items()}


def _orientation(frame: Any) -> tuple[int, bool]:
    """Degrees counter-clockwise to turn the picture by, and whether it is mirrored as well."""
    rotation = round(getattr(frame, "rotation", 0) or 0)
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = struct.unpack_from("<5i", bytes(data))
            return rotation, a * d - b * c < 0
    return rotation, False


def _key_frames(request: dict[str, Any], index: int) -> Iterator[Any]:
    """The key frames up to the first damage, about which the decoder decides."""
    with _decodable(request, index) as (container, stream):
        stream.codec_context.skip_frame = "NONKEY"
        with contextlib.suppress(av.error.FFmpegError):
            yield from container.decode(stream)


def _first_stated_tags(frames: Iterator[Any]) -> dict[str, int]:
    """The first tags that one of these frames states; empty if none does."""
    for frame in itertools.islice(frames, _TAG_FRAMES):
        tags = _colour_tags(frame)
        if tags["matrix"] != _UNSTATED:
            return tags
    return {}


def choose(videos: list[dict[str, Any]], index: int | None) -> dict[str, Any] | None:
    """The stream to decode, of those that are no attached pictures.

    The one with this index; else of those with more than one packet (if there are any) the
    container's default, then the largest picture, then the first.
    """
    real = [v for v in videos if not v["attached"]]
    if index is not None:
        return next((v for v in real if v["index"] == index), None)
    moving = [v for v in real if v["packets"]["count"] > 1] or real
    decodable = [v for v in moving if v["codec"]] or moving
    return max(decodable, key=lambda v: (v["default"], v["pixels"], -v["index"]), default=None)


def _describe(container: Any) -> dict[str, Any]:
    """What the container and all its packets say."""
    audio = container.streams.audio
    audio_context = audio[0].codec_context if audio else None
    info: dict[str, Any] = {
        "container": container.format.name,
        "duration_s": container.duration / 1e6 if container.duration else None,
        "audio_streams": len(audio),
        "audio_codec": audio_context.codec.name if audio_context is not None else None,
    }
    counters = _count_packets(container)
    ends_s = [counter.summary()["end_s"] or 0.0 for counter in counters.values()]
    falls = [counters[s.index].falls for s in container.streams.audio if s.index in counters]
    return info | {
        "end_s": max(ends_s, default=0),
        "videos": [
            _video_stream(stream, counters.get(stream.index, _PacketCounter(0.0)))
            for stream in container.streams.video
        ],
        "audio_restarts": falls[0] if falls else 0,
    }


def _probe(request: dict[str, Any]) -> dict[str, Any]:
    path, options = "file:" + request["path"], request["options"]
    try:
        container = av.open(path, options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        return {"error": error.strerror, "demuxer": error.log[1] if error.log else None}
    with container:
        info = _describe(container)
    info["first_frame"] = {}
    info["stream"] = stream = choose(info["videos"], request["stream"])
    if stream is not None and stream["codec"]:
        index = stream["index"]
        info["first_frame"] = frame = _first_frame(request, index)
        if frame.get("bits", 8) >= _HDR_BITS and stream["codec"] in _TAGGED_CODECS:
            info["transfers"] = list({int(key.color_trc) for key in _key_frames(request, index)})
        if frame.get("matrix") == _UNSTATED and not frame["rgb"]:
            frame |= _first_stated_tags(_key_frames(request, index))
    return info


def main(request: dict[str, Any]) -> dict[str, Any]:
    """What is in the file, or `{"error": …}`; with what the libraries logged meanwhile."""
    av.logging.set_level(av.logging.ERROR)
    with av.logging.Capture(local=False) as log:
        info = _probe(request)
    messages = [message.strip() for _, _, message in log]
    return {**info, "log": messages[:20] + messages[20:][-20:]}


if __name__ == "__main__":
    json.dump(main(json.loads(sys.argv[1])), sys.stdout)
