"""The first audio track of a source: its loudness and samples, and the audio of single spans.

A confined ffmpeg child decodes the track once and counts its time from the first video frame.
Where the track starts late, has a gap or is damaged there is silence. Damage in the audio never
fails the video: what decodes is used, and a track of which nothing decodes counts as none.

Loudness is momentary loudness over all channels (EBU R128, ITU-R BS.1770-5). Cost: about 5 ms of
CPU for a second of stereo.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ffmpeg
import numpy as np
import numpy.typing as npt

from curation.errors import MediaError
from curation.media import allowlist, pipes, sandbox
from curation.media.confinement import FileAccess
from curation.media.cut import Span
from curation.media.ffmpeg_command import ffmpeg_command, input_file
from curation.media.probe import MediaInfo
from curation.media.timeline import TimelineSegment

SAMPLE_RATE = 16_000
"""Hz of the samples that are delivered."""
CHUNK_SAMPLES = 512 * 512
"""Samples of a delivered chunk, about 16 s; the last may be shorter."""
LOUDNESS_RATE = 10
"""Loudness values a second."""
_MIN_LUFS = -120.0
_LOUDNESS_LINE = re.compile(r"pts_time:(-?[\d.]+)\s+lavfi\.r128\.M=(-?[\d.]+)")
_MAX_SEGMENTS = 200
"""Segments that an ffmpeg expression has room for."""
_MAX_WAV_RATE = 192_000 * 64 * 2
"""Bytes of a second of 64 channels, more than any track has."""
_LEAD_S = 0.1
"""How long before its video the audio of a segment may start."""
_OUTSIDE_S = -1e6
"""The time given to audio within a gap."""

Samples = npt.NDArray[np.float32]
"""Mono audio at 16 kHz, −1 to 1, shape [n]."""


@dataclass(frozen=True)
class SourceLoudness:
    """How loud a source is over time."""

    momentary_lufs: npt.NDArray[np.float64]
    """For each tenth of a second from the first frame on, loudness of the 0.4 s that end a tenth
    of a second after it; NaN where there is no audio."""


def decode_audio(
    path: str,
    info: MediaInfo,
    limits: sandbox.Limits,
    segments: tuple[TimelineSegment, ...],
    on_audio: Callable[[Samples], None],
) -> SourceLoudness | None:
    """Decodes the first audio track once; None without one that can be decoded.

    `on_audio` receives chunks of `CHUNK_SAMPLES`. `segments` map container time to seconds from
    the first frame. Raises `ChildKilledError` if a foreign signal ended the decoder.
    """
    expression = audio_pts_expression(segments)
    if expression is None or not info.audio_streams:
        return None
    if info.audio_codec not in allowlist.AUDIO_CODECS:
        return None
    received = 0

    def deliver(raw: bytes) -> None:
        nonlocal received
        received += len(raw)
        for start in range(0, len(raw), 2 * CHUNK_SAMPLES):
            levels = np.frombuffer(raw[start : start + 2 * CHUNK_SAMPLES], "<i2")
            on_audio(np.asarray(levels / np.float32(32768), np.float32))

    loudness = pipes.Pipe(max_bytes=limits.max_frames * 64)
    max_samples = SAMPLE_RATE * (limits.max_frames // 10 + 1)
    samples = pipes.Pipe(2 * CHUNK_SAMPLES, deliver, max_bytes=2 * max_samples)
    # What is decoded until an error is used.
    with contextlib.suppress(MediaError, sandbox.ChildFailedError):
        exit_code, log = sandbox.run_piped(
            lambda fds: _command(path, limits, expression, fds["loudness"], fds["samples"]),
            {"loudness": loudness, "samples": samples},
            limits,
            files=FileAccess(reads=(path,)),
        )
        sandbox.check_exit(exit_code, log, limits, 0.0)
    if rest := bytes(samples.buffer[: len(samples.buffer) // 2 * 2]):
        deliver(rest)
    return SourceLoudness(_momentary_lufs(loudness.text())) if received else None


def _command(
    path: str, limits: sandbox.Limits, expression: str, loudness_fd: int, samples_fd: int
) -> list[str]:
    track = _track(path, expression).filter_multi_output("asplit", 2)
    loudness = track[0].filter("ebur128", metadata=1).filter(
        "ametadata", mode="print", key="lavfi.r128.M", file=f"pipe:{loudness_fd}"
    )  # fmt: skip
    # With `first_pts` there is silence before a track that starts late.
    mono = track[1].filter("atrim", start=0).filter(
        "aresample", SAMPLE_RATE, ochl="mono", osf="s16", **{"async": 1, "first_pts": 0}
    )  # fmt: skip
    max_s = limits.max_frames / 10  # a track may be far longer than its video
    return ffmpeg_command(
        ffmpeg.output(loudness, "-", format="null", t=max_s),
        ffmpeg.output(mono, f"pipe:{samples_fd}", format="s16le", acodec="pcm_s16le", t=max_s),
    )


def _track(path: str, expression: str) -> ffmpeg.Stream:
    """The first audio track with timestamps from the first frame on."""
    options = {**allowlist.input_options(audio=True), "threads": "1", "vn": None}
    return input_file(path, **options)["a:0"].filter("asetpts", expression)


def _momentary_lufs(text: str) -> npt.NDArray[np.float64]:
    """Loudness by tenth of a second, from what the filter printed."""
    rows = np.array(_LOUDNESS_LINE.findall(text), np.float64).reshape(-1, 2)
    indices = np.round(rows[:, 0] * LOUDNESS_RATE).astype(np.int64)
    values = np.full(max(0, indices.max(initial=-1) + 1), np.nan)
    inside = indices >= 0
    values[indices[inside]] = np.maximum(rows[inside, 1], _MIN_LUFS)
    return values


def extract_audio(
    path: str,
    spans: Sequence[Span],
    targets: Sequence[str],
    segments: tuple[TimelineSegment, ...],
    limits: sandbox.Limits,
) -> bool:
    """Writes the audio of each span to its target, a WAV file exactly as long as the span.

    False if nothing could be decoded. Raises `MediaError` for limits.
    """
    expression = audio_pts_expression(segments)
    if expression is None or not spans:
        return False
    # With `first_pts` there is silence before a track that starts late.
    track = _track(path, expression).filter("atrim", start=0)
    track = track.filter("aresample", osf="s16", **{"async": 1, "first_pts": 0})
    copies = track.filter_multi_output("asplit", len(spans)) if len(spans) > 1 else [track]
    outputs = []
    for index, (span, target) in enumerate(zip(spans, targets, strict=True)):
        part = copies[index].filter("atrim", start=f"{span.start_s:.6f}", end=f"{span.end_s:.6f}")
        part = part.filter("asetpts", f"PTS-{span.start_s:.6f}/TB")
        part = part.filter("apad", whole_dur=f"{span.duration_s:.6f}")
        outputs.append(ffmpeg.output(part, target, format="wav", acodec="pcm_s16le"))
    max_bytes = round(max(span.duration_s for span in spans) * _MAX_WAV_RATE) + (1 << 20)
    files = FileAccess(reads=(path,), writes=tuple(targets), max_bytes=max_bytes)
    try:
        sandbox.run(ffmpeg_command(*outputs), limits, files=files)
    except sandbox.ChildFailedError:
        return False
    return all(os.path.exists(target) for target in targets)


def audio_matches_segments(segments: tuple[TimelineSegment, ...], restarts: int) -> bool:
    """Whether audio whose timestamps restart so often can be assigned to these segments."""
    jumps_s = [
        after.container_start_s - _end_s(s, after) for s, after in itertools.pairwise(segments)
    ]
    falls = sum(jump_s < 0 for jump_s in jumps_s)
    return len(segments) == 1 or (falls == restarts and len(segments) <= _MAX_SEGMENTS)


def _end_s(segment: TimelineSegment, after: TimelineSegment) -> float:
    """When a segment ends in the container, given the next one."""
    return segment.container_start_s + after.start_s - segment.start_s


def audio_pts_expression(segments: tuple[TimelineSegment, ...]) -> str | None:
    """An expression for ffmpeg's `asetpts` that maps container time to the source's timeline.

    It counts segments in the order of the file. Audio within a gap gets a time far before the
    start. None for more segments than an expression can hold.
    """
    if len(segments) > _MAX_SEGMENTS:
        return None
    if len(segments) == 1:
        return f"(T+{segments[0].start_s - segments[0].container_start_s:.6f})/TB"
    current, moves, shifts, gaps = "ld(0)", [], [], []
    for index, segment in enumerate(segments):
        inside = f"eq({current},{index})"
        shifts.append(f"{inside}*{segment.start_s - segment.container_start_s:.6f}")
        if index + 1 == len(segments):
            break
        after = segments[index + 1]
        end_s = _end_s(segment, after)
        jump_s = after.container_start_s - end_s
        if jump_s > 0:
            next_s = after.container_start_s - min(_LEAD_S, jump_s / 2)
            moves.append(f"{inside}*gte(T,{next_s:.6f})")
            gaps.append(f"{inside}*gt(T,{end_s:.6f})")
        else:
            moves.append(f"{inside}*lt(T-PREV_INT,{jump_s / 2:.6f})")
    time = f"T+{'+'.join(shifts)}"
    if gaps:
        time = f"if({'+'.join(gaps)},{_OUTSIDE_S:.0f},{time})"
    return f"st(0,{current}+{'+'.join(moves)});({time})/TB"
