"""Frame-exact cuts: the frames of one span and no others, in any container.

With `-copyts` the timestamps in the filters are those that scan saw, and `trim` compares them
exactly; seeking only saves work. It goes to a key frame some seconds before the span, and never
relies on where it lands: output frames are counted, and if the count is wrong the cut is repeated
from further ahead. As a last resort, and where timestamps do not separate the frames, frames are
counted from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import ffmpeg
import numpy as np
import numpy.typing as npt

from curation.errors import MediaError
from curation.media import sandbox
from curation.media.colour import Colour
from curation.media.ffmpeg_command import ffmpeg_command, input_file
from curation.media.packet_selection import PacketSelection
from curation.records import Clip, Source

Result = TypeVar("Result")

_MAX_EXPRESSION = 100_000
"""Characters of an expression; an argument of a command may have 131,072 bytes."""
TICK = Fraction(1, 90000)
"""Unit of the timestamps that a cut gives its frames where those of the container were repaired."""


@dataclass(frozen=True)
class Span:
    """Which frames of which stream, and how its picture is read."""

    frames: int
    start_frame: int
    start_pts: int | None
    end_pts: int | None
    time_base: Fraction
    start_s: float
    end_s: float
    packet_selection: PacketSelection
    colour: Colour
    container: str
    fps: float
    interlaced: bool
    frame_times: npt.NDArray[np.float64] | None = None
    """Start of each frame and end of the last, in seconds from the span's start, where they are not
    those of the container; else None."""

    @classmethod
    def of(cls, clip: Clip, source: Source) -> Span:
        """The span of a clip in its source."""
        times = clip.frame_times
        return cls(
            frames=clip.end_frame - clip.start_frame,
            start_frame=clip.start_frame,
            start_pts=clip.start_pts,
            end_pts=clip.end_pts,
            time_base=Fraction(clip.time_base or "1/25"),
            start_s=clip.start_s,
            end_s=clip.end_s,
            packet_selection=PacketSelection(
                source.stream_index or 0,
                source.skipped_packets or 0,
                source.leading_packets or 0,
                source.excused_packets or 0,
                source.end_packet,
            ),
            colour=Colour.parse(source.colour, source.colour_forced),
            container=source.container or "",
            fps=source.fps or 25.0,
            interlaced=bool(source.interlaced),
            frame_times=None if times is None else np.frombuffer(times, "<f8"),
        )

    @property
    def duration_s(self) -> float:
        """How long it lasts."""
        return self.end_s - self.start_s

    @property
    def container_start_s(self) -> float | None:
        """The first frame's time in the container, in seconds; None without timestamps."""
        return None if self.start_pts is None else float(self.start_pts * self.time_base)

    @property
    def frame_ticks(self) -> list[int]:
        """When each frame is shown, in `TICK`s, if the cut does not keep the container's times."""
        times = np.arange(self.frames) / self.fps
        if self.frame_times is not None:
            times = self.frame_times[:-1]
        return [round(time) for time in (times / float(TICK)).tolist()]

    @property
    def has_container_times(self) -> bool:
        """Whether its frames are shown at the container's own times."""
        return self.frame_times is None and self.start_pts is not None


def span_streams(
    path: str, spans: Sequence[Span], limits: sandbox.Limits, ahead_s: float | None
) -> list[ffmpeg.Stream]:
    """The frames of spans of one source, in order, out of one decode.

    Each from time 0 on, as displayed and in SDR, but not scaled yet. `ahead_s` is how far before
    the first span to seek; None counts frames from the start of the file.
    """
    first = spans[0]
    start_s = first.container_start_s
    seeks = ahead_s is not None and start_s is not None
    options: dict[str, str | None] = {**first.packet_selection.options(limits, seeks=seeks)}
    if ahead_s is not None and start_s is not None:
        seek_s = f"{start_s - ahead_s:.6f}"
        options |= {"seek_timestamp": "1", "ss": seek_s, "noaccurate_seek": None}
    source = input_file(path, **options)
    video = first.colour.apply_tags(source[str(first.packet_selection.stream_index)])
    if first.interlaced:
        video = video.filter("bwdif", mode="send_frame", deint="interlaced")
        if first.start_pts is not None:  # bwdif halves the time base, and trim compares ticks
            video = video.filter("settb", str(first.time_base))
    if len(spans) == 1:
        return [_cut(video, first, seeks)]
    copies = video.filter_multi_output("split", len(spans))
    return [_cut(copies[index], span, seeks) for index, span in enumerate(spans)]


def _cut(video: ffmpeg.Stream, span: Span, seeks: bool) -> ffmpeg.Stream:
    if seeks:
        video = _trim_by_time(video, span)
    else:
        end_frame = span.start_frame + span.frames
        video = video.filter("trim", start_frame=span.start_frame, end_frame=end_frame)
    return span.colour.tone_map(_restamped(video, span))


def _trim_by_time(video: ffmpeg.Stream, span: Span) -> ffmpeg.Stream:
    """The frames between the span's timestamps.

    Where timestamps were repaired, the decoder estimates some of them, after a seek perhaps
    differently: a frame may then be half a frame early.
    """
    assert span.start_pts is not None
    start_slack, end_slack = 0, 0
    if span.frame_times is not None:
        steps = np.diff(span.frame_times) / float(span.time_base) / 2
        start_slack, end_slack = int(steps[0]), int(steps[-1])
    bounds = {"start_pts": span.start_pts - start_slack}
    if span.end_pts is not None:
        bounds["end_pts"] = span.end_pts - end_slack
    return video.filter("trim", **bounds)


def _restamped(video: ffmpeg.Stream, span: Span) -> ffmpeg.Stream:
    """The frames from time 0 on, each at its own time."""
    if span.has_container_times:
        return video.filter("setpts", f"PTS-{span.start_pts}")
    video = video.filter("settb", str(TICK))
    if span.frame_times is None:
        return video.filter("setpts", f"round(N/({span.fps}*TB))")
    return video.filter("setpts", _ticks_expression(span.frame_ticks))


def _ticks_expression(ticks: list[int]) -> str:
    """An expression for the tick of frame N that fits into one argument of a command.

    For thousands of irregular frames it is some milliseconds off.
    """
    expressions = (_piecewise(ticks, 0, slack) for slack in (0, 45, 450, 4500))
    return next((text for text in expressions if len(text) < _MAX_EXPRESSION), f"{ticks[0]}+N")


def _piecewise(values: list[int], first: int, slack: int) -> str:
    """An expression for the value of frame N, as a binary tree of linear pieces.

    Values that rise evenly to within `slack` are one piece.
    """
    step = (values[-1] - values[0]) // max(1, len(values) - 1)
    if all(abs(values[0] + step * index - value) <= slack for index, value in enumerate(values)):
        return f"{values[0]}+{step}*(N-{first})"
    half = len(values) // 2
    left = _piecewise(values[:half], first, slack)
    right = _piecewise(values[half:], first + half, slack)
    return f"if(lt(N,{first + half}),{left},{right})"


def span_command(span: Span, *outputs: ffmpeg.Stream) -> list[str]:
    """The ffmpeg command line that writes outputs of a span."""
    strict = span.packet_selection.strict
    return ffmpeg_command(*outputs, log_level="repeat+level+error", strict=strict)


def seek_distances(span: Span) -> list[float | None]:
    """How many seconds ahead of a span to seek, and how many if that was not enough."""
    if span.start_pts is None or span.start_frame == 0:
        return [None]
    return [6.0, 15.0, None] if "mpeg" in span.container else [1.0, 12.0, None]


def retry_until_exact(span: Span, attempt: Callable[[float | None], tuple[int, Result]]) -> Result:
    """Seeks further and further ahead until the number of frames is the span's.

    `attempt` receives the seconds to seek ahead and returns the number of frames and its result.
    Raises `MediaError` if no attempt is exact.
    """
    failures: list[str] = []
    for ahead_s in seek_distances(span):
        try:
            count, result = attempt(ahead_s)
        except sandbox.ChildFailedError as error:
            failures.append(error.text.strip().splitlines()[0][:200] if error.text.strip() else "?")
            continue
        if count == span.frames:
            return result
        failures.append(f"{count} frames")
    raise MediaError("corrupt", f"cannot cut {span.frames} frames: {'; then '.join(failures)}")
