"""The one decode: everything that scan needs from a source, in a single pass over its frames.

One ffmpeg child writes two raw streams into pipes: every frame at 48×27 for the shot detector, and
a few frames a second at up to 320 pixels for scores, thumbnails and embeddings. A third and fourth
pipe carry each frame's number and presentation time. All are read by one loop over whatever is
ready, so memory stays flat and nothing can wait for anything else in a circle.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import ffmpeg
import numpy as np
import numpy.typing as npt

from curation.media import allow, child, colour, decoder_log
from curation.media.probe import Facts, fitted_size
from curation.reasons import MediaError

LOW_WIDTH, LOW_HEIGHT = 48, 27
_PIPE_BYTES = 1 << 20
_LOG_BYTES = 1 << 22
_F_SETPIPE_SZ = 1031
_NO_TIME = ("NOPTS", "N/A", str(-(1 << 63)))

Frames = npt.NDArray[np.uint8]
"""RGB frames, uint8, shape [n, height, width, 3]."""


@dataclass(frozen=True)
class Sampling:
    """Which frames scan looks at closely."""

    fps: float = 4.0
    """Analysis frames a second; a slower source gives all its frames."""
    longest_side: int = 320
    """Longest side of an analysis frame in pixels."""


@dataclass(frozen=True)
class Timeline:
    """When each decoded frame is shown."""

    pts: npt.NDArray[np.int64] | None
    """Presentation times in `time_base` units, strictly rising; None if the stream has none."""
    time_base: Fraction
    starts_s: npt.NDArray[np.float64]
    """Start of each frame in seconds from the first one, and the end of the last: n + 1 values."""
    analysed: npt.NDArray[np.int64]
    """Frame number of each analysis frame."""
    variable_rate: bool
    """Whether the frame durations differ by more than one tick."""

    @property
    def frames(self) -> int:
        """How many frames were decoded."""
        return len(self.starts_s) - 1


@dataclass
class _Pipe:
    """One stream from the child: cut into records of `size` bytes for a sink, or kept."""

    size: int
    sink: Callable[[bytes], None] | None
    most: int = 1 << 40
    """Bytes to keep without a sink; what comes later is dropped."""
    held: bytearray = field(default_factory=bytearray)

    def feed(self, chunk: bytes) -> None:
        if self.sink is None:
            self.held += chunk[: max(0, self.most - len(self.held))]
            return
        self.held += chunk
        whole = len(self.held) // self.size * self.size
        if whole:
            ready = bytes(self.held[:whole])
            del self.held[:whole]
            self.sink(ready)


def watch(
    path: str,
    facts: Facts,
    sampling: Sampling,
    limits: child.Limits,
    *,
    on_low: Callable[[Frames], None],
    on_analysis: Callable[[Frames], None],
) -> Timeline:
    """Decodes the source once, hands frames to the two sinks in order, and returns their times.

    `on_low` gets every frame at 48×27, `on_analysis` the sampled ones; both as RGB uint8 of shape
    [n, height, width, 3]. Raises `MediaError` for damage and for limits, `ChildKilledError` if the
    decoder was killed from outside.
    """
    width, height = fitted_size(facts.width, facts.height, sampling.longest_side)
    spent = child.cpu_seconds()
    with contextlib.ExitStack() as stack:
        with contextlib.ExitStack() as handed_over:
            ends = [_pipe(stack, handed_over) for _ in range(4)]
            (low_r, low_w), (look_r, look_w), (times_r, times_w), (picks_r, picks_w) = ends
            command = _command(
                path, facts, sampling, limits,
                low=low_w, look=look_w, times=times_w, picks=picks_w,
            )  # fmt: skip
            inherited = [write for _, write in ends]
            process = stack.enter_context(child.spawn(command, limits, pass_fds=inherited))
        assert process.stderr is not None
        pipes = {
            low_r: _frame_pipe(LOW_WIDTH, LOW_HEIGHT, on_low),
            look_r: _frame_pipe(width, height, on_analysis),
            times_r: _Pipe(0, None),
            picks_r: _Pipe(0, None),
            process.stderr.fileno(): _Pipe(0, None, _LOG_BYTES),
        }
        _pump(pipes, process, limits)
        log = bytes(pipes[process.stderr.fileno()].held).decode("utf-8", "replace")
        code = process.wait()
        decoder_log.check(code, log, child.cpu_seconds() - spent, facts, limits)
        timeline = _timeline(bytes(pipes[times_r].held), bytes(pipes[picks_r].held), facts)
    _check_complete(timeline, facts, limits)
    return timeline


def _frame_pipe(width: int, height: int, sink: Callable[[Frames], None]) -> _Pipe:
    size = width * height * 3

    def deliver(raw: bytes) -> None:
        sink(np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3))

    return _Pipe(size, deliver)


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    """Both ends of a pipe, each of which one of the two stacks will close."""
    read, write = os.pipe()
    ours.callback(os.close, read)
    theirs.callback(os.close, write)
    with contextlib.suppress(OSError):
        fcntl.fcntl(write, _F_SETPIPE_SZ, _PIPE_BYTES)
    os.set_blocking(read, False)
    return read, write


def _pump(pipes: dict[int, _Pipe], process: subprocess.Popen[bytes], limits: child.Limits) -> None:
    """Feeds every pipe until all are closed or the time is up."""
    end = time.monotonic() + limits.wall_s
    with selectors.DefaultSelector() as selector:
        for descriptor in pipes:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select(timeout=5.0):
                descriptor = key.fd
                chunk = os.read(descriptor, _PIPE_BYTES)
                if chunk:
                    pipes[descriptor].feed(chunk)
                else:
                    selector.unregister(descriptor)
            if time.monotonic() > end:
                process.kill()
                raise MediaError("time_limit", f"stopped after {limits.wall_s} s")


def _command(
    path: str,
    facts: Facts,
    sampling: Sampling,
    limits: child.Limits,
    *,
    low: int,
    look: int,
    times: int,
    picks: int,
) -> list[str]:
    source = ffmpeg.input("file:" + os.path.abspath(path), **decode_options(limits))
    video = source[str(facts.stream_index)]
    width, height = fitted_size(facts.width, facts.height, sampling.longest_side)
    split = video.filter_multi_output("split", 2)
    low_frames = _shrink(split[0], facts, LOW_WIDTH, LOW_HEIGHT)
    interval = 0.96 / sampling.fps
    looked = split[1].filter("select", f"isnan(prev_selected_t)+gte(t-prev_selected_t,{interval})")
    look_frames = _shrink(looked, facts, width, height)
    outputs = ffmpeg.merge_outputs(
        _raw(low_frames, low, times, limits),
        _raw(look_frames, look, picks, limits),
    )
    head = [allow.ffmpeg(), "-hide_banner", "-nostdin", "-nostats", "-v", "repeat+level+info"]
    return [*head, "-xerror", "-copyts", "-filter_complex_threads", "1", *outputs.get_args()]


def decode_options(limits: child.Limits, *, audio: bool = False) -> dict[str, str]:
    """Input options: the allow-lists, one thread, and a stop at the first damage."""
    return {
        **allow.input_options(audio=audio),
        "max_pixels": str(limits.max_pixels),
        "threads": "1",
        "err_detect": "crccheck+bitstream+buffer+explode",
    }


def _shrink(stream: ffmpeg.Stream, facts: Facts, width: int, height: int) -> ffmpeg.Stream:
    small = stream.filter("scale", width, height, flags=f"bicubic+{colour.EXACT}")
    if facts.hdr:
        for name, positional, named in colour.TONE_MAP:
            small = small.filter(name, *positional, **named)
    return small.filter("settb", "1/1000").filter("setpts", "N")


def _raw(stream: ffmpeg.Stream, data: int, stats: int, limits: child.Limits) -> ffmpeg.Stream:
    return ffmpeg.output(
        stream,
        f"pipe:{data}",
        format="rawvideo",
        pix_fmt="rgb24",
        fps_mode="passthrough",
        enc_time_base="filter",
        stats_enc_pre=f"pipe:{stats}",
        stats_enc_pre_fmt="{ni} {ptsi} {tbi}",
        **{"frames:v": limits.max_frames + 1},
    )


def _check_complete(timeline: Timeline, facts: Facts, limits: child.Limits) -> None:
    """Compares what was decoded with what the header promised."""
    if timeline.frames == 0:
        raise MediaError("no_frames", "the stream decodes to nothing")
    if timeline.frames > limits.max_frames:
        raise MediaError("too_many_frames", f"more than {limits.max_frames} frames")
    missing = facts.header_frames - timeline.frames
    if missing > max(2, 0.02 * facts.header_frames) and _ends_early(timeline, facts):
        raise MediaError(
            "truncated", f"the header promises {facts.header_frames} frames, {timeline.frames} came"
        )


def _ends_early(timeline: Timeline, facts: Facts) -> bool:
    """An edit list may rightly hide frames, so the length in seconds has to be short as well."""
    return facts.header_duration_s is None or (
        timeline.starts_s[-1] < 0.98 * facts.header_duration_s - 0.1
    )


def _timeline(times: bytes, picks: bytes, facts: Facts) -> Timeline:
    lines = [line.split() for line in times.decode("ascii", "replace").splitlines()]
    numbers = [int(line.split()[0]) for line in picks.decode("ascii", "replace").splitlines()]
    analysed = np.array(numbers, np.int64)
    base = Fraction(lines[0][2]) if lines and not lines[0][2].endswith("/0") else Fraction(0)
    known = base > 0 and all(line[1] not in _NO_TIME for line in lines)
    pts = np.array([int(line[1]) for line in lines] if known else [], np.int64)
    if known and len(pts) > 1 and np.all(np.diff(pts) > 0):
        steps = np.diff(pts)
        seconds = np.append(pts - pts[0], pts[-1] - pts[0] + int(np.median(steps))) * float(base)
        variable = bool(steps.max() - steps.min() > 1)
        return Timeline(pts, base, seconds, analysed, variable)
    rate = facts.header_fps or 25.0
    return Timeline(None, base, np.arange(len(lines) + 1) / rate, analysed, False)
