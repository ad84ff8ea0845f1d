"""The one decode: everything that scan needs from a source, in a single pass over its frames.

One ffmpeg child writes raw streams into pipes: every frame at 48×27 for the shot detector, a few
frames a second at up to 320 pixels for scores, thumbnails and embeddings, and of the same frames
some columns with all their lines, for what shrinking would blur away. Two more pipes carry each
frame's number and presentation time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import ffmpeg
import numpy as np
import numpy.typing as npt

from curation.errors import MediaError
from curation.media import allowlist, colour, decoder_log, pipes, sandbox
from curation.media.packet_selection import Decoding
from curation.media.probe import UNTIMED, Facts, fitted_size
from curation.media.salvage import Salvaged
from curation.media.timeline import Timeline, timeline
from curation.media.timestamps import Stamps

LOW_WIDTH, LOW_HEIGHT = 48, 27
LINE_COLUMNS = 200
"""Columns of a picture that are looked at line by line, evenly spread."""
_BROADCAST, _BROADCAST_GAP_S = ("mpegts", "mpeg"), 5.0
"""Containers in which time goes on while nothing comes, and after how long that is a gap."""
_NO_TIME = ("NOPTS", "N/A", str(-(1 << 63)))

Frames = npt.NDArray[np.uint8]
"""RGB frames, uint8, shape [n, height, width, 3]."""
Lines = npt.NDArray[np.uint8]
"""Luma of some columns with every stored line, uint8, shape [n, lines, columns]."""


@dataclass(frozen=True)
class Sampling:
    """Which frames scan looks at closely."""

    fps: float = 4.0
    """Analysis frames a second; a slower source gives all its frames."""
    longest_side: int = 320
    """Longest side of an analysis frame in pixels."""


def watch(
    path: str,
    facts: Facts,
    sampling: Sampling,
    limits: sandbox.Limits,
    *,
    on_low: Callable[[Frames], None],
    on_analysis: Callable[[Frames], None] | None = None,
    on_lines: Callable[[Lines], None] | None = None,
    longest_s: float = 20.0,
    salvaged: Salvaged | None = None,
) -> Timeline:
    """Decodes the source once, hands frames to the sinks in order, and returns their times.

    `on_low` gets every frame at 48×27, `on_analysis` the sampled ones; both as RGB uint8 of shape
    [n, height, width, 3]. `on_lines` gets the sampled ones as luma uint8 [n, lines, columns], with
    every line and up to 200 columns of the stored picture; one field of it where the source says
    that it is interlaced. Without a sink its pictures are not made. A frame that would be shown for
    more than `longest_s` seconds (5 in transport and program streams) is followed by a gap. Of a
    `salvaged` source only what lies before the damage is decoded. Raises `MediaError` for damage
    and for limits, `ChildKilledError` if the decoder was killed from outside.
    """
    end_packet = None if salvaged is None else salvaged.end_packet
    decoding = facts.decoding(end_packet)
    if not decoding.strict and salvaged is None and facts.packets.damaged:
        raise MediaError("corrupt", f"{facts.packets.damaged} packets are damaged")
    sinks = _sinks(facts, sampling, on_low, on_analysis, on_lines)
    spent = sandbox.cpu_seconds()
    with contextlib.ExitStack() as stack:
        with contextlib.ExitStack() as handed_over:
            ends = {name: pipes.opened(stack, handed_over) for name in (*sinks, "times", "picks")}
            writes = {name: write for name, (_, write) in ends.items()}
            command = _command(path, facts, decoding, sampling, limits, writes)
            inherited = list(writes.values())
            process = stack.enter_context(sandbox.spawn(command, limits, pass_fds=inherited))
        assert process.stderr is not None
        read = {name: sinks.get(name, pipes.Pipe()) for name in ends}
        log = pipes.Pipe(most=pipes.LOG_BYTES)
        taken = {ends[name][0]: pipe for name, pipe in read.items()}
        pipes.pump({**taken, process.stderr.fileno(): log}, process, limits)
        code = process.wait()
        spent = sandbox.cpu_seconds() - spent
        decoder_log.check(code, log.text(), spent, facts, limits, decoding.excuses)
    times, picks = read["times"].text(), read["picks"].text()
    found = _timeline(times, picks, facts, longest_s, end_packet)
    _check_complete(found, facts, limits, whole=end_packet is None)
    return found


def _sinks(
    facts: Facts,
    sampling: Sampling,
    on_low: Callable[[Frames], None],
    on_analysis: Callable[[Frames], None] | None,
    on_lines: Callable[[Lines], None] | None,
) -> dict[str, pipes.Pipe]:
    """A pipe for each kind of picture that is wanted."""
    width, height = fitted_size(facts.width, facts.height, sampling.longest_side)
    wanted = {"low": _picture_pipe((LOW_HEIGHT, LOW_WIDTH, 3), on_low)}
    if on_analysis is not None:
        wanted["look"] = _picture_pipe((height, width, 3), on_analysis)
    if on_lines is not None:
        wanted["lines"] = _picture_pipe(_line_shape(facts), on_lines)
    return wanted


def _picture_pipe(
    shape: tuple[int, ...], sink: Callable[[npt.NDArray[np.uint8]], None]
) -> pipes.Pipe:
    def deliver(raw: bytes) -> None:
        sink(np.frombuffer(raw, np.uint8).reshape(-1, *shape))

    return pipes.Pipe(int(np.prod(shape)), deliver)


def _line_shape(facts: Facts) -> tuple[int, int]:
    """Lines and columns of what is looked at line by line."""
    width, height = facts.stored_width, facts.stored_height
    if facts.rotation in (90, 270):
        width, height = height, width
    return (height + 1) // 2 if facts.interlaced else height, min(width, LINE_COLUMNS)


def _command(  # noqa: PLR0917  all that decides it
    path: str,
    facts: Facts,
    decoding: Decoding,
    sampling: Sampling,
    limits: sandbox.Limits,
    ends: Mapping[str, int],
) -> list[str]:
    """The command that writes every picture that `ends` has a pipe for."""
    source = ffmpeg.input("file:" + os.path.abspath(path), **decoding.options(limits))
    video = facts.colour.read(source[str(facts.stream_index)])
    streams = _streams(video, facts, sampling, ends)
    statistics = {"low": ends["times"]}
    if sampled := [name for name in streams if name != "low"]:
        statistics[sampled[0]] = ends["picks"]
    outputs = [
        _raw(stream, ends[name], statistics.get(name), "gray" if name == "lines" else "rgb24",
             limits)
        for name, stream in streams.items()
    ]  # fmt: skip
    merged = ffmpeg.merge_outputs(*outputs) if len(outputs) > 1 else outputs[0]
    head = [allowlist.ffmpeg(), "-hide_banner", "-nostdin", "-nostats", "-v", "repeat+level+info"]
    strict = ["-xerror"] if decoding.strict else []
    return [*head, *strict, "-copyts", "-filter_complex_threads", "1", *merged.get_args()]


def _streams(
    video: ffmpeg.Stream, facts: Facts, sampling: Sampling, wanted: Mapping[str, int]
) -> dict[str, ffmpeg.Stream]:
    """The pictures that are wanted, by name."""
    sampled = [name for name in ("look", "lines") if name in wanted]
    if not sampled:
        return {"low": _shrink(video, facts, LOW_WIDTH, LOW_HEIGHT)}
    split = video.filter_multi_output("split", 2)
    interval = 0.96 / sampling.fps
    chosen = split[1].filter("select", f"isnan(prev_selected_t)+gte(t-prev_selected_t,{interval})")
    parts = dict.fromkeys(sampled, chosen)
    if len(sampled) > 1:
        both = chosen.filter_multi_output("split", 2)
        parts = {"look": both[0], "lines": both[1]}
    streams = {"low": _shrink(split[0], facts, LOW_WIDTH, LOW_HEIGHT)}
    if "look" in parts:
        size = fitted_size(facts.width, facts.height, sampling.longest_side)
        streams["look"] = _shrink(parts["look"], facts, *size)
    if "lines" in parts:
        streams["lines"] = _lines(parts["lines"], facts)
    return streams


def _lines(stream: ffmpeg.Stream, facts: Facts) -> ffmpeg.Stream:
    """Every line as it is stored, of evenly spread columns; one field of interlaced pictures."""
    if facts.interlaced:
        stream = stream.filter("field", type="top")
    lines, columns = _line_shape(facts)
    thin = stream.filter("scale", columns, lines, flags="neighbor+bitexact")
    return thin.filter("format", "gray")


def _shrink(stream: ffmpeg.Stream, facts: Facts, width: int, height: int) -> ffmpeg.Stream:
    small = stream.filter("scale", width, height, flags=f"bicubic+{colour.EXACT}")
    return facts.colour.tone_mapped(small)


def _raw(
    stream: ffmpeg.Stream, data: int, stats: int | None, form: str, limits: sandbox.Limits
) -> ffmpeg.Stream:
    """Raw pictures into the pipe `data`, and each one's number and time into the pipe `stats`.

    The muxer wants times that rise, which those of a source need not do: it gets numbers.
    """
    told = {"stats_enc_pre": f"pipe:{stats}", "stats_enc_pre_fmt": "{ni} {ptsi} {pts} {tb}"}
    return ffmpeg.output(
        stream,
        f"pipe:{data}",
        format="rawvideo",
        pix_fmt=form,
        fps_mode="passthrough",
        enc_time_base="demux",
        **{"bsf:v": "setts=ts=N"},
        **(told if stats is not None else {}),
        **{"frames:v": limits.max_frames + 1},
    )


def _check_complete(
    timeline: Timeline, facts: Facts, limits: sandbox.Limits, *, whole: bool
) -> None:
    """Compares what was decoded with what the header promised."""
    if timeline.frames == 0:
        raise MediaError("no_frames", "the stream decodes to nothing")
    if timeline.frames > limits.max_frames:
        raise MediaError("too_many_frames", f"more than {limits.max_frames} frames")
    missing = facts.header_frames - timeline.frames
    few = missing > max(2, 0.02 * facts.header_frames)
    if whole and few and _ends_early(timeline, facts):
        raise MediaError(
            "truncated", f"the header promises {facts.header_frames} frames, {timeline.frames} came"
        )


def _ends_early(timeline: Timeline, facts: Facts) -> bool:
    """An edit list may rightly hide frames, so bytes or seconds have to be missing as well."""
    short = facts.header_duration_s is None or (
        timeline.starts_s[-1] < 0.98 * facts.header_duration_s - 0.1
    )
    return short or facts.missing_bytes > 0


def _timeline(
    times: str, picks: str, facts: Facts, longest_s: float, end_packet: int | None
) -> Timeline:
    lines = [line.split() for line in times.splitlines()]
    numbers = [int(line.split()[0]) for line in picks.splitlines()]
    base = Fraction(lines[0][3]) if lines and not lines[0][3].endswith("/0") else Fraction(0)
    if any(line[2] in _NO_TIME for line in lines):
        base = Fraction(0)
    stamps = Stamps(
        pts=np.array([int(line[2]) for line in lines] if base else [0] * len(lines), np.int64),
        real=np.array([line[1] not in _NO_TIME for line in lines], bool),
        time_base=base,
    )
    untimed = facts.container in UNTIMED
    if facts.container in _BROADCAST:
        longest_s = min(longest_s, _BROADCAST_GAP_S)
    return timeline(
        stamps,
        np.array(numbers, np.int64),
        end_pts=facts.packets.end_pts if end_packet is None else None,
        longest_s=longest_s,
        header_fps=facts.header_fps,
        duration_s=None if untimed else facts.header_duration_s,
        restarts=facts.packets.restarts,
    )
