"""The one decode of a source: everything that scan needs, in a single pass over its frames.

One ffmpeg child writes raw streams into pipes: `lowres`, every frame at 48×27, for the shot
detector; `analysis`, a few frames a second at up to 320 pixels, for scores, thumbnails and
embeddings; and `columns`, some columns of the analysis frames with all their lines, for what
scaling would blur away. Two more pipes carry each frame's index and timestamp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import ffmpeg
import numpy as np
import numpy.typing as npt

from curation.errors import MediaError
from curation.media import colour, decoder_log, pipes, sandbox
from curation.media.confinement import FileAccess
from curation.media.ffmpeg_command import ffmpeg_command, input_file
from curation.media.packet_selection import PacketSelection
from curation.media.probe import UNTIMED, MediaInfo, fitted_size
from curation.media.salvage import SalvageResult
from curation.media.timeline import Timeline, build_timeline
from curation.media.timestamps import RawTimestamps

LOWRES_WIDTH, LOWRES_HEIGHT = 48, 27
MAX_COLUMNS = 200
"""Columns of a picture that are kept with all their lines, evenly spread."""
_BROADCAST, _BROADCAST_MAX_FRAME_S = ("mpegts", "mpeg"), 5.0
"""Containers whose clock continues without frames, and after how many seconds that is a gap."""
_NO_PTS = ("NOPTS", "N/A", str(-(1 << 63)))

Frames = npt.NDArray[np.uint8]
"""RGB frames, uint8, shape [n, height, width, 3]."""
LineColumns = npt.NDArray[np.uint8]
"""Luma of some columns with every stored line, uint8, shape [n, lines, columns]."""


@dataclass(frozen=True)
class AnalysisSampling:
    """Which frames scan analyses, and at what size."""

    fps: float = 4.0
    """Analysis frames a second; a slower source gives all its frames."""
    longest_side: int = 320
    """Longest side of an analysis frame in pixels."""


def decode_streams(
    path: str,
    info: MediaInfo,
    sampling: AnalysisSampling,
    limits: sandbox.Limits,
    *,
    on_lowres: Callable[[Frames], None] | None = None,
    on_analysis: Callable[[Frames], None] | None = None,
    on_columns: Callable[[LineColumns], None] | None = None,
    max_frame_s: float = 20.0,
    salvaged: SalvageResult | None = None,
) -> Timeline:
    """Decodes the source once, passes frames to the callbacks in order, and returns their times.

    `on_lowres` receives every frame at 48×27, `on_analysis` the sampled ones; both as RGB uint8
    [n, height, width, 3]. `on_columns` receives the sampled ones as luma uint8 [n, lines, columns]
    with every line and up to 200 columns of the stored picture, one field of it if the source is
    interlaced. Streams without a callback are not made; the times need none of them. A frame that
    would be shown for more than `max_frame_s` seconds (5 in transport and program streams) is
    followed by a gap. Of a `salvaged` source only what precedes the damage is decoded. Raises
    `MediaError` for damage and limits, `ChildKilledError` if a foreign signal ended the decoder.
    """
    end_packet = None if salvaged is None else salvaged.end_packet
    selection = info.packet_selection(end_packet)
    if not selection.strict and salvaged is None and info.packets.damaged:
        raise MediaError("corrupt", f"{info.packets.damaged} packets are damaged")
    max_frames = limits.max_frames + 1
    frame_stats, analysis_stats = (pipes.Pipe(max_bytes=128 * max_frames) for _ in range(2))
    streams = _frame_pipes(info, sampling, max_frames, on_lowres, on_analysis, on_columns)
    streams |= {"frame_stats": frame_stats, "analysis_stats": analysis_stats}
    cpu_before_s = sandbox.cpu_seconds()
    exit_code, log = sandbox.run_piped(
        lambda fds: _command(path, info, selection, sampling, limits, fds),
        streams,
        limits,
        files=FileAccess(reads=(path,)),
    )
    cpu_s = sandbox.cpu_seconds() - cpu_before_s
    decoder_log.check_decoder(exit_code, log, cpu_s, info, limits, selection.is_harmless)
    timeline = _timeline(frame_stats.text(), analysis_stats.text(), info, max_frame_s, end_packet)
    if timeline.frames == 0:
        raise MediaError("no_frames", "the stream decodes to nothing")
    if timeline.frames > limits.max_frames:
        raise MediaError("too_many_frames", f"more than {limits.max_frames} frames")
    if end_packet is None:
        _check_complete(timeline, info)
    return timeline


def _frame_pipes(  # noqa: PLR0917
    info: MediaInfo,
    sampling: AnalysisSampling,
    max_frames: int,
    on_lowres: Callable[[Frames], None] | None,
    on_analysis: Callable[[Frames], None] | None,
    on_columns: Callable[[LineColumns], None] | None,
) -> dict[str, pipes.Pipe]:
    """A pipe for each stream that has a callback."""
    width, height = fitted_size(info.width, info.height, sampling.longest_side)
    streams = {}
    if on_lowres is not None:
        lowres_shape = (LOWRES_HEIGHT, LOWRES_WIDTH, 3)
        streams["lowres"] = _frame_pipe(lowres_shape, max_frames, on_lowres)
    if on_analysis is not None:
        streams["analysis"] = _frame_pipe((height, width, 3), max_frames, on_analysis)
    if on_columns is not None:
        streams["columns"] = _frame_pipe(_columns_shape(info), max_frames, on_columns)
    return streams


def _frame_pipe(
    shape: tuple[int, ...], max_frames: int, callback: Callable[[npt.NDArray[np.uint8]], None]
) -> pipes.Pipe:
    def deliver(raw: bytes) -> None:
        callback(np.frombuffer(raw, np.uint8).reshape(-1, *shape))

    frame_bytes = int(np.prod(shape))
    return pipes.Pipe(frame_bytes, deliver, max_bytes=frame_bytes * max_frames)


def _columns_shape(info: MediaInfo) -> tuple[int, int]:
    """Lines and columns of the `columns` stream."""
    width, height = info.stored_width, info.stored_height
    if info.rotation in (90, 270):
        width, height = height, width
    return (height + 1) // 2 if info.interlaced else height, min(width, MAX_COLUMNS)


def _command(  # noqa: PLR0917
    path: str,
    info: MediaInfo,
    selection: PacketSelection,
    sampling: AnalysisSampling,
    limits: sandbox.Limits,
    fds: Mapping[str, int],
) -> list[str]:
    """The command that writes every stream that has a write end among `fds`."""
    source = input_file(path, **selection.options(limits))
    video = info.colour.apply_tags(source[str(info.stream_index)])
    streams = _filtered(video, info, sampling, fds)
    stats = {"lowres": fds["frame_stats"]}
    if sampled := [name for name in streams if name != "lowres"]:
        stats[sampled[0]] = fds["analysis_stats"]
    outputs = [
        _raw_output(stream, fds.get(name), stats.get(name), limits,
                    pixels="gray" if name == "columns" else "rgb24")
        for name, stream in streams.items()
    ]  # fmt: skip
    return ffmpeg_command(*outputs, log_level="repeat+level+info", strict=selection.strict)


def _filtered(
    video: ffmpeg.Stream, info: MediaInfo, sampling: AnalysisSampling, names: Mapping[str, int]
) -> dict[str, ffmpeg.Stream]:
    """The streams among `names`; `lowres` always, in full size where it is only counted."""

    def lowres(frames: ffmpeg.Stream) -> ffmpeg.Stream:
        if "lowres" not in names:
            return frames
        return _scaled(frames, info, LOWRES_WIDTH, LOWRES_HEIGHT)

    sampled_names = [name for name in ("analysis", "columns") if name in names]
    if not sampled_names:
        return {"lowres": lowres(video)}
    copies = video.filter_multi_output("split", 2)
    interval_s = 0.96 / sampling.fps
    sampled = copies[1].filter(
        "select", f"isnan(prev_selected_t)+gte(t-prev_selected_t,{interval_s})"
    )
    parts = dict.fromkeys(sampled_names, sampled)
    if len(sampled_names) > 1:
        sampled_copies = sampled.filter_multi_output("split", 2)
        parts = {"analysis": sampled_copies[0], "columns": sampled_copies[1]}
    streams = {"lowres": lowres(copies[0])}
    if "analysis" in parts:
        size = fitted_size(info.width, info.height, sampling.longest_side)
        streams["analysis"] = _scaled(parts["analysis"], info, *size)
    if "columns" in parts:
        streams["columns"] = _columns(parts["columns"], info)
    return streams


def _columns(stream: ffmpeg.Stream, info: MediaInfo) -> ffmpeg.Stream:
    """Evenly spread columns with every stored line; one field of interlaced pictures."""
    if info.interlaced:
        stream = stream.filter("field", type="top")
    lines, columns = _columns_shape(info)
    stream = stream.filter("scale", columns, lines, flags="neighbor+bitexact")
    return stream.filter("format", "gray")


def _scaled(stream: ffmpeg.Stream, info: MediaInfo, width: int, height: int) -> ffmpeg.Stream:
    scaled = stream.filter("scale", width, height, flags=f"bicubic+{colour.EXACT_SCALING}")
    return info.colour.tone_map(scaled)


def _raw_output(
    stream: ffmpeg.Stream,
    data_fd: int | None,
    stats_fd: int | None,
    limits: sandbox.Limits,
    *,
    pixels: str,
) -> ffmpeg.Stream:
    """Raw pictures into one pipe, or nowhere, and each one's index and timestamps into another.

    The muxer needs increasing timestamps, which a source may lack: it gets the index instead.
    """
    stats = {"stats_enc_pre": f"pipe:{stats_fd}", "stats_enc_pre_fmt": "{ni} {ptsi} {pts} {tb}"}
    data = {"format": "rawvideo", "pix_fmt": pixels}
    return ffmpeg.output(
        stream,
        "-" if data_fd is None else f"pipe:{data_fd}",
        **({"format": "null"} if data_fd is None else data),
        fps_mode="passthrough",
        enc_time_base="demux",
        **{"bsf:v": "setts=ts=N"},
        **(stats if stats_fd is not None else {}),
        **{"frames:v": limits.max_frames + 1},
    )


def _check_complete(timeline: Timeline, info: MediaInfo) -> None:
    """Raises if the header states more frames than were decoded.

    An edit list may rightly hide frames, so bytes or seconds have to be missing as well.
    """
    missing = info.header_frames - timeline.frames
    if missing <= max(2, 0.02 * info.header_frames):
        return
    duration_s = info.header_duration_s
    short = duration_s is None or timeline.starts_s[-1] < 0.98 * duration_s - 0.1
    if short or info.missing_bytes:
        raise MediaError(
            "truncated", f"the header states {info.header_frames} frames, {timeline.frames} decode"
        )


def _timeline(
    frame_stats: str,
    analysis_stats: str,
    info: MediaInfo,
    max_frame_s: float,
    end_packet: int | None,
) -> Timeline:
    """The timeline from ffmpeg's report of each frame: its index, timestamps and time base."""
    rows = [line.split() for line in frame_stats.splitlines()]
    time_base = Fraction(rows[0][3]) if rows and not rows[0][3].endswith("/0") else Fraction(0)
    if any(row[2] in _NO_PTS for row in rows):
        time_base = Fraction(0)
    raw = RawTimestamps(
        pts=np.array([int(row[2]) for row in rows] if time_base else [0] * len(rows), np.int64),
        from_container=np.array([row[1] not in _NO_PTS for row in rows], bool),
        time_base=time_base,
    )
    if info.container in _BROADCAST:
        max_frame_s = min(max_frame_s, _BROADCAST_MAX_FRAME_S)
    return build_timeline(
        raw,
        np.array([int(line.split()[0]) for line in analysis_stats.splitlines()], np.int64),
        end_pts=info.packets.end_pts if end_packet is None else None,
        max_frame_s=max_frame_s,
        header_fps=info.header_fps,
        duration_s=None if info.container in UNTIMED else info.header_duration_s,
        restarts=info.packets.restarts,
    )
