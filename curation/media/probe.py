"""What a container says about its streams, read by a confined child, and whether it is allowed."""

from __future__ import annotations

import errno
import functools
import os
import stat
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from curation.errors import MediaError
from curation.media import allowlist, sandbox, sniff
from curation.media.colour import HDR_TRANSFERS, Colour
from curation.media.confinement import FileAccess
from curation.media.packet_selection import PacketSelection
from curation.media.structure import damaged_at

_PLAYLIST_DEMUXERS = ("hls", "applehttp", "concat", "dash", "imf", "sdp", "rtsp")
UNTIMED = ("h264", "hevc", "vvc", "obu", "mpegvideo", "m4v")
"""Containers without timestamps, for which the demuxer invents a rate."""
_HEADER_ONLY_DURATION = ("flv", "asf", "mxf")
"""Containers whose header states a duration, and whose end nothing else marks."""


@dataclass(frozen=True, slots=True)
class PacketStats:
    """What all packets of the stream say, without decoding."""

    count: int
    """All of them."""
    skipped: int
    """Packets before the first key frame, which cannot be decoded; 0 if there is no key frame."""
    leading: int
    """Packets after a key frame that is not the first packet that are shown before it."""
    damaged: int
    """Packets that the demuxer calls damaged."""
    excused: int
    """More of them, where no picture is."""
    restarts: tuple[int, ...]
    """Frames before those key frames with which timestamps restart or continue after a gap, if
    each packet holds a frame."""
    discarded: int
    """Packets whose pictures an edit list hides."""
    end_pts: int | None
    """When the frame that is shown last ends, in the stream's time base; None if unknown."""


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """One readable source, before its frames are decoded."""

    container: str
    codec: str
    pixel_format: str
    stream_index: int
    video_streams: int
    audio_streams: int
    audio_codec: str | None
    stored_width: int
    stored_height: int
    width: int
    """Displayed width: rotated, square pixels."""
    height: int
    rotation: int
    flipped: bool
    """Whether the displayed picture is mirrored, besides being rotated."""
    pixel_aspect: str
    header_fps: float | None
    header_frames: int
    """Frames that the header states; 0 if it states none."""
    header_duration_s: float | None
    interlaced: bool
    colour: Colour
    packets: PacketStats
    audio_restarts: int
    """How often the timestamps of the first audio track fall back."""
    ends_early_s: float
    """Seconds that the header states after the last packet of any stream; 0 if it states none."""
    continuation: str | None
    """A stream that is not decoded and seems to continue the video, in words."""
    missing_bytes: int
    """Bytes that the container refers to beyond the file's end."""
    damaged_at: int | None
    """The first byte at which the file does not continue as its container says."""

    @property
    def hdr(self) -> bool:
        """Whether frames have to be tone-mapped."""
        return self.colour.hdr

    def packet_selection(self, end_packet: int | None = None) -> PacketSelection:
        """Which packets are decoded, up to `end_packet` if given."""
        packets = self.packets
        return PacketSelection(
            self.stream_index, packets.skipped, packets.leading, packets.excused, end_packet
        )


def check_readable(path: str) -> None:
    """Raises `MediaError` unless the path is a readable, non-empty regular file."""
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        raise MediaError("missing", "no such file, or a link that leads nowhere") from error
    except OSError as error:
        raise MediaError("unreadable", error.strerror or str(error)) from error
    if not stat.S_ISREG(status.st_mode):
        raise MediaError("not_a_file", "a directory, pipe or device")
    if not os.access(path, os.R_OK):
        raise MediaError("unreadable", "no permission to read it")
    if status.st_size == 0:
        raise MediaError("empty", "0 bytes")


def probe(path: str, limits: sandbox.Limits, stream: int | None = None) -> MediaInfo:
    """Probes one video stream: the container's choice, or that with this index.

    The container's choice is its default, then the largest picture, then the first stream; none of
    a single picture where there are others. Raises `MediaError` if the file is no video, or not one
    that can and may be decoded.
    """
    check_readable(path)
    sniff.refuse_text(path)
    request = {
        "path": os.path.abspath(path),
        "options": {**allowlist.input_options(audio=True), "max_pixels": str(limits.max_pixels)},
        "stream": stream,
    }
    try:
        files = FileAccess(reads=(path,))
        raw = sandbox.run_child("probe_child.py", request, limits, files=files)
    except sandbox.ChildFailedError as error:
        raise MediaError("corrupt", f"the demuxer crashed: {error.text[-200:]}") from error
    if not raw.get("first_frame"):
        sandbox.check_memory("\n".join([*raw["log"], raw.get("error", "")]), limits)
    if raw.get("error") == os.strerror(errno.EACCES):
        raise MediaError(
            "unreadable", "only its owner may read it, as root decodes without its rights"
        )
    if "error" in raw:
        raise _refusal(raw, path)
    missing_bytes = sniff.missing_bytes(path)
    _check_decodable(raw, stream, missing_bytes)
    return _media_info(raw, missing_bytes, damaged_at(path, raw["container"]))


def _refusal(raw: dict[str, Any], path: str) -> MediaError:
    """Why the file could not be opened, from the message of the demuxer that tried."""
    demuxer, message = raw["demuxer"] or "", sandbox.printable((raw["log"] or [""])[-1])
    if demuxer in _PLAYLIST_DEMUXERS:
        return MediaError("playlist", f"a playlist ({demuxer})")
    if demuxer.startswith("image2") or demuxer.endswith("_pipe"):
        return MediaError("not_video", f"a still picture ({demuxer.removesuffix('_pipe')})")
    if "not on whitelist" in message:
        return MediaError("container_not_allowed", f"container {demuxer} is not on the allow-list")
    container = sniff.sniff_container(path)
    if container is None:
        return MediaError("not_video", f"no container format fits the bytes ({raw['error']})")
    if "moov atom not found" in message:
        return MediaError(
            "truncated", "an mp4 without its index (moov), as if the end were cut off"
        )
    return MediaError("corrupt", f"starts as {container}, but: {message or raw['error']}")


def _check_decodable(raw: dict[str, Any], index: int | None, missing_bytes: int) -> None:
    """Raises `MediaError` unless the stream is a video whose first frame decodes."""
    videos = [v for v in raw["videos"] if not v["attached"]]
    if not videos:
        audio = raw["audio_streams"]
        streams = f"{audio} audio streams" if audio else "no streams that we know"
        raise MediaError("no_video_stream", f"{raw['container']} with {streams}")
    stream = raw["stream"]
    if stream is None:
        indices = ", ".join(str(v["index"]) for v in videos)
        raise MediaError("no_video_stream", f"stream {index} is no video; there are {indices}")
    if stream["codec"] not in allowlist.VIDEO_CODECS:
        raise MediaError("codec_not_allowed", f"video codec {stream['codec'] or 'unknown'}")
    if not raw["first_frame"]:
        raise _undecodable(stream["codec"], raw["log"], missing_bytes)
    hdr = {tag in HDR_TRANSFERS for tag in raw.get("transfers", ())}
    if len(hdr) > 1:
        raise MediaError("colour_changes", "some of it is HDR (PQ or HLG) and some is not")


def _undecodable(codec: str, log: list[str], missing_bytes: int) -> MediaError:
    """Why not a single frame could be decoded."""
    for line in log:
        if "exceeds specified max pixel count" in line:
            return MediaError("too_large_picture", sandbox.printable(line.split(",")[0]))
    last = f": {sandbox.printable(log[-1])}" if log else ""
    detail = f"no {codec} frame could be decoded{last}"
    if missing_bytes:
        return MediaError("truncated", f"{missing_bytes} bytes are missing at the end; {detail}")
    return MediaError("no_frames", detail)


def _media_info(raw: dict[str, Any], missing_bytes: int, damage: int | None) -> MediaInfo:
    stream, frame = raw["stream"], raw["first_frame"]
    videos = [v for v in raw["videos"] if not v["attached"]]
    stored = (frame["stored_width"], frame["stored_height"])
    aspect = Fraction(stream["aspect"].replace(":", "/"))
    if not Fraction(1, 16) <= aspect <= 16:
        aspect = Fraction(1)
    width, height = square_size(*stored, aspect)
    rotation = frame["rotation"] % 360
    if rotation in (90, 270):
        width, height = height, width
    ends_early_s = 0.0
    if raw["container"] in _HEADER_ONLY_DURATION:
        ends_early_s = max(0.0, 0.98 * (raw["duration_s"] or 0.0) - 0.1 - raw["end_s"])
    return MediaInfo(
        container=raw["container"],
        codec=stream["codec"].removeprefix("lib").replace("dav1d", "av1"),
        pixel_format=frame["pixel_format"],
        stream_index=stream["index"],
        video_streams=len(videos),
        audio_streams=raw["audio_streams"],
        audio_codec=raw["audio_codec"],
        stored_width=stored[0],
        stored_height=stored[1],
        width=width,
        height=height,
        rotation=rotation,
        flipped=frame["flipped"],
        pixel_aspect=f"{aspect.numerator}:{aspect.denominator}",
        header_fps=(raw["container"] in UNTIMED and stream["coded_fps"]) or stream["fps"],
        header_frames=stream["frames"] or 0,
        header_duration_s=stream["duration_s"] or raw["duration_s"],
        interlaced=frame["interlaced"],
        colour=Colour.from_tags(frame, *stored, rgb=frame["rgb"]),
        packets=_packet_stats(stream["packets"]),
        audio_restarts=raw["audio_restarts"],
        ends_early_s=ends_early_s,
        continuation=_continuation(videos, stream),
        missing_bytes=missing_bytes,
        damaged_at=damage,
    )


def _packet_stats(raw: dict[str, Any]) -> PacketStats:
    skipped = raw["first_key"] or 0
    leading = raw["leading"] if skipped else 0
    restarts = tuple(packet - skipped - leading for packet in raw["restarts"])
    return PacketStats(
        raw["count"], skipped, leading, raw["damaged"], raw["excused"], restarts,
        raw["discarded"], raw["end_pts"],
    )  # fmt: skip


def _continuation(videos: list[dict[str, Any]], stream: dict[str, Any]) -> str | None:
    """Whether another stream starts where this one ends, as when a broadcast changes its PID."""
    end_s = stream["packets"]["end_s"]
    for other in videos:
        start_s = other["packets"]["start_s"]
        if other["index"] == stream["index"] or None in (start_s, end_s):
            continue
        if start_s > end_s - 0.5:
            return f"goes on as stream {other['index']}: {other['packets']['count']} packets"
    return None


def square_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Displayed size with square pixels; one side is enlarged, nothing shrinks."""
    if aspect > 1:
        return round(width * aspect), height
    return width, round(height / aspect)


@functools.cache
def fitted_size(width: int, height: int, longest: int, multiple: int = 2) -> tuple[int, int]:
    """The size of the same shape whose longer side is at most `longest`, in whole multiples."""
    scale = min(1.0, longest / max(width, height))
    return (
        max(multiple, round(width * scale / multiple) * multiple),
        max(multiple, round(height * scale / multiple) * multiple),
    )
