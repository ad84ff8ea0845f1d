"""What a container says of itself, read by a confined child, and whether we may decode it."""

from __future__ import annotations

import functools
import json
import os
import stat
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from curation.errors import MediaError
from curation.media import allowlist, sandbox, sniff
from curation.media.colour import HDR_TRANSFERS, Colour
from curation.media.packet_selection import Decoding

_LIST_DEMUXERS = ("hls", "applehttp", "concat", "dash", "imf", "sdp", "rtsp")
UNTIMED = ("h264", "hevc", "vvc", "obu", "mpegvideo", "m4v")
"""Containers without times, for which the demuxer makes a rate up."""
_PROMISES = ("flv", "asf", "mxf")
"""Containers whose header states a duration, and whose end nothing else marks."""
_CHILD = Path(__file__).with_name("probe_child.py")


@dataclass(frozen=True, slots=True)
class Packets:
    """What the packets of the stream say, all of them read and none decoded."""

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
    """Frames before those key frames with which times restart or go on after a gap, if each packet
    holds a frame."""
    end_pts: int | None
    """When the frame that is shown last ends, in the stream's time base; None if unknown."""


@dataclass(frozen=True, slots=True)
class Facts:
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
    """Whether the picture is mirrored when it is shown, beside being turned."""
    pixel_aspect: str
    header_fps: float | None
    header_frames: int
    """Frames that the header promises; 0 if it does not say."""
    header_duration_s: float | None
    interlaced: bool
    colour: Colour
    packets: Packets
    sound_falls: int
    """How often the times of the first sound track fall back."""
    ends_early_s: float
    """Seconds that the header promises after the last packet of any stream; 0 if it states none."""
    continues: str | None
    """Where the video seems to go on in a stream that is not watched, in words."""
    missing_bytes: int
    """Bytes that the container counts on beyond the file's end."""

    @property
    def hdr(self) -> bool:
        """Whether frames have to be tone-mapped."""
        return self.colour.hdr

    def decoding(self, end_packet: int | None = None) -> Decoding:
        """How the stream is decoded, up to a packet if one is given."""
        known = self.packets
        return Decoding(self.stream_index, known.skipped, known.leading, known.excused, end_packet)


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


def probe(path: str, limits: sandbox.Limits, stream: int | None = None) -> Facts:
    """Facts of one video stream: the container's choice, or that of this index.

    The container's choice is its default, then the largest picture, then the first stream; none of
    a single picture where there are others. Raises `MediaError` when the file is no video that we
    are willing and able to decode.
    """
    check_readable(path)
    sniff.refuse_text(path)
    options = {**allowlist.input_options(audio=True), "max_pixels": str(limits.max_pixels)}
    order = json.dumps({"options": options, "stream": stream})
    command = [sys.executable, "-I", str(_CHILD), order, os.path.abspath(path)]
    try:
        out, _ = sandbox.run(command, limits)
    except sandbox.ChildFailedError as error:
        raise MediaError("corrupt", f"the demuxer crashed: {error.text[-200:]}") from error
    raw = json.loads(out)
    if not raw.get("first"):
        sandbox.check_memory("\n".join([*raw["said"], raw.get("error", "")]), limits)
    if "error" in raw:
        raise _refusal(raw, path)
    return _facts(raw, sniff.missing_bytes(path), stream)


def _refusal(raw: dict[str, Any], path: str) -> MediaError:
    """Why the file could not be opened, by what the demuxer said that took it."""
    demuxer, said = raw["demuxer"] or "", sandbox.plain((raw["said"] or [""])[-1])
    if demuxer in _LIST_DEMUXERS:
        return MediaError("playlist", f"a playlist ({demuxer})")
    if demuxer.startswith("image2") or demuxer.endswith("_pipe"):
        return MediaError("not_video", f"a still picture ({demuxer.removesuffix('_pipe')})")
    if "not on whitelist" in said:
        return MediaError("container_not_allowed", f"container {demuxer} is not on the allow-list")
    container = sniff.container(path)
    if container is None:
        return MediaError("not_video", f"no container format fits the bytes ({raw['error']})")
    if "moov atom not found" in said:
        return MediaError(
            "truncated", "an mp4 without its index (moov), as if the end were cut off"
        )
    return MediaError("corrupt", f"starts as {container}, but: {said or raw['error']}")


def _facts(raw: dict[str, Any], missing_bytes: int, wanted: int | None) -> Facts:
    videos = [v for v in raw["videos"] if not v["attached"]]
    if not videos:
        held = f"{raw['audios']} audio streams" if raw["audios"] else "no streams that we know"
        raise MediaError("no_video_stream", f"{raw['container']} with {held}")
    stream = raw["chosen"]
    if stream is None:
        known = ", ".join(str(v["index"]) for v in videos)
        raise MediaError("no_video_stream", f"stream {wanted} is no video; there are {known}")
    if stream["codec"] not in allowlist.VIDEO_CODECS:
        raise MediaError("codec_not_allowed", f"video codec {stream['codec'] or 'unknown'}")
    if not raw["first"]:
        raise _undecodable(stream["codec"], raw["said"], missing_bytes)
    hdr = {tag in HDR_TRANSFERS for tag in raw.get("transfers", ())}
    if len(hdr) > 1:
        raise MediaError("colour_changes", "some of it is HDR (PQ or HLG) and some is not")
    return _assemble(raw, videos, stream, missing_bytes)


def _undecodable(codec: str, said: list[str], missing_bytes: int) -> MediaError:
    """Why not one frame could be decoded."""
    for line in said:
        if "exceeds specified max pixel count" in line:
            return MediaError("too_large_picture", sandbox.plain(line.split(",")[0]))
    words = f"no {codec} frame could be decoded" + (f": {sandbox.plain(said[-1])}" if said else "")
    if missing_bytes:
        return MediaError("truncated", f"{missing_bytes} bytes are missing at the end; {words}")
    return MediaError("no_frames", words)


def _assemble(
    raw: dict[str, Any], videos: list[Any], stream: dict[str, Any], missing_bytes: int
) -> Facts:
    first = raw["first"]
    aspect = Fraction(stream["aspect"].replace(":", "/"))
    if not Fraction(1, 16) <= aspect <= 16:
        aspect = Fraction(1)
    width, height = square_size(first["stored_width"], first["stored_height"], aspect)
    rotation = first["rotation"] % 360
    if rotation in (90, 270):
        width, height = height, width
    stored = (first["stored_width"], first["stored_height"])
    return Facts(
        container=raw["container"],
        codec=stream["codec"].removeprefix("lib").replace("dav1d", "av1"),
        pixel_format=first["pixel_format"],
        stream_index=stream["index"],
        video_streams=len(videos),
        audio_streams=raw["audios"],
        audio_codec=raw.get("audio_codec"),
        stored_width=stored[0],
        stored_height=stored[1],
        width=width,
        height=height,
        rotation=rotation,
        flipped=first["flipped"],
        pixel_aspect=f"{aspect.numerator}:{aspect.denominator}",
        header_fps=(raw["container"] in UNTIMED and stream["coded_fps"]) or stream["fps"],
        header_frames=stream["frames"] or 0,
        header_duration_s=stream["duration_s"] or raw["duration_s"],
        interlaced=first["interlaced"],
        colour=Colour.of(first, *stored, rgb=first["rgb"]),
        packets=_packets(stream["packets"]),
        sound_falls=raw["sound_falls"],
        ends_early_s=_ends_early_s(raw),
        continues=_continues(videos, stream),
        missing_bytes=missing_bytes,
    )


def _packets(raw: dict[str, Any]) -> Packets:
    skipped = raw["first_key"] or 0
    leading = raw["leading"] if skipped else 0
    before = tuple(number - skipped - leading for number in raw["restarts"])
    return Packets(
        raw["count"], skipped, leading, raw["damaged"], raw["excused"], before, raw["end_pts"]
    )


def _ends_early_s(raw: dict[str, Any]) -> float:
    promised_s = raw["duration_s"] or 0.0
    missing_s: float = 0.98 * promised_s - 0.1 - raw["end_s"]
    return max(0.0, missing_s) if raw["container"] in _PROMISES else 0.0


def _continues(videos: list[dict[str, Any]], stream: dict[str, Any]) -> str | None:
    """Whether another stream begins where this one ends, as when a broadcast changes its PID."""
    end_s = stream["packets"]["end_s"]
    for other in videos:
        begin_s = other["packets"]["first_s"]
        if other is not stream and None not in (begin_s, end_s) and begin_s > end_s - 0.5:
            return f"goes on as stream {other['index']}: {other['packets']['count']} packets"
    return None


def square_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Displayed size with square pixels; the longer of the two stretches, nothing shrinks."""
    if aspect > 1:
        return round(width * aspect), height
    return width, round(height / aspect)


@functools.cache
def fitted_size(width: int, height: int, longest: int, multiple: int = 2) -> tuple[int, int]:
    """The size with the same shape whose longer side is at most `longest`, in whole multiples."""
    scale = min(1.0, longest / max(width, height))
    return (
        max(multiple, round(width * scale / multiple) * multiple),
        max(multiple, round(height * scale / multiple) * multiple),
    )
