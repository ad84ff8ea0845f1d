"""Frame-exact cuts: the frames of one span and no others, whatever the container.

With `-copyts` the times in the filters are those that scan saw, and `trim` compares them exactly;
seeking only saves work. It goes to a key frame some seconds ahead, never relying on where it lands:
the frames that come out are counted, and if the count is wrong the cut is made again from further
ahead. At last, and where no times tell the frames apart, they are counted from the start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import ffmpeg
import numpy as np
import numpy.typing as npt

from curation.errors import MediaError
from curation.media import allowlist, sandbox
from curation.media.colour import Colour
from curation.media.packet_selection import Decoding
from curation.records import Clip, Source

Result = TypeVar("Result")


_LONGEST_TEXT = 100_000
"""Characters of an expression; an argument of a command may have 131,072 bytes."""
TICK = Fraction(1, 90000)
"""Unit of the times that a cut gives its frames where those of the container were repaired."""


@dataclass(frozen=True)
class Span:
    """Which frames of which stream, and how its picture has to be treated."""

    frames: int
    start_frame: int
    start_pts: int | None
    end_pts: int | None
    time_base: Fraction
    start_s: float
    end_s: float
    decoding: Decoding
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
            decoding=Decoding(
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
    def start_time(self) -> float | None:
        """The first frame's time in the container, in seconds; None without times."""
        return None if self.start_pts is None else float(self.start_pts * self.time_base)

    @property
    def ticks(self) -> list[int]:
        """When a cut shows each frame, in `TICK`s, where it does not keep the container's times."""
        times = np.arange(self.frames) / self.fps
        if self.frame_times is not None:
            times = self.frame_times[:-1]
        return [round(time) for time in (times / float(TICK)).tolist()]

    @property
    def keeps_times(self) -> bool:
        """Whether its frames are shown at the container's own times."""
        return self.frame_times is None and self.start_pts is not None


def cut(path: str, span: Span, limits: sandbox.Limits, ahead_s: float | None) -> ffmpeg.Stream:
    """The frames of the span from time 0 on, as displayed and in SDR, but not scaled yet.

    `ahead_s` is how far before the span to seek; None counts frames from the start of the file.
    """
    begin = span.start_time
    seeks = ahead_s is not None and begin is not None
    options: dict[str, str | None] = {**span.decoding.options(limits, seeks=seeks)}
    if ahead_s is not None and begin is not None:
        start = f"{begin - ahead_s:.6f}"
        options |= {"seek_timestamp": "1", "ss": start, "noaccurate_seek": None}
    opened = ffmpeg.input("file:" + os.path.abspath(path), **options)
    video = span.colour.read(opened[str(span.decoding.stream_index)])
    if span.interlaced:
        video = video.filter("bwdif", mode="send_frame", deint="interlaced")
        if span.start_pts is not None:  # bwdif halves the time base, and trim compares ticks
            video = video.filter("settb", str(span.time_base))
    video = _trimmed(video, span) if seeks else _counted(video, span)
    return span.colour.tone_mapped(_timed(video, span))


def _trimmed(video: ffmpeg.Stream, span: Span) -> ffmpeg.Stream:
    """The frames between the span's times.

    Where times were repaired, the decoder guesses some of them, and after a seek maybe others: a
    frame may then be half a frame early.
    """
    assert span.start_pts is not None
    early, late = 0, 0
    if span.frame_times is not None:
        steps = np.diff(span.frame_times) / float(span.time_base) / 2
        early, late = int(steps[0]), int(steps[-1])
    bounds = {"start_pts": span.start_pts - early}
    if span.end_pts is not None:
        bounds["end_pts"] = span.end_pts - late
    return video.filter("trim", **bounds)


def _counted(video: ffmpeg.Stream, span: Span) -> ffmpeg.Stream:
    """The frames with the span's numbers; the decoder is told to stop after them."""
    last = span.start_frame + span.frames
    return video.filter("trim", start_frame=span.start_frame, end_frame=last)


def _timed(video: ffmpeg.Stream, span: Span) -> ffmpeg.Stream:
    """Its frames from time 0 on, each at its own time."""
    if span.keeps_times:
        return video.filter("setpts", f"PTS-{span.start_pts}")
    video = video.filter("settb", str(TICK))
    if span.frame_times is None:
        return video.filter("setpts", f"round(N/({span.fps}*TB))")
    return video.filter("setpts", _shortest(span.ticks))


def _shortest(ticks: list[int]) -> str:
    """An expression for the tick of frame N that fits into one argument of a command.

    For thousands of irregular frames it is some milliseconds off.
    """
    texts = (_at_number(ticks, 0, slack) for slack in (0, 45, 450, 4500))
    return next((text for text in texts if len(text) < _LONGEST_TEXT), f"{ticks[0]}+N")


def _at_number(values: list[int], first: int, slack: int) -> str:
    """An expression for the value of frame N, whose depth is the logarithm of their number.

    Values that rise evenly to within `slack` are one part of it.
    """
    step = (values[-1] - values[0]) // max(1, len(values) - 1)
    if all(abs(values[0] + step * at - value) <= slack for at, value in enumerate(values)):
        return f"{values[0]}+{step}*(N-{first})"
    half = len(values) // 2
    left = _at_number(values[:half], first, slack)
    right = _at_number(values[half:], first + half, slack)
    return f"if(lt(N,{first + half}),{left},{right})"


def command(span: Span, *outputs: ffmpeg.Stream) -> list[str]:
    """The ffmpeg command line for the outputs."""
    head = [allowlist.ffmpeg(), "-hide_banner", "-nostdin", "-nostats", "-v", "repeat+level+error"]
    merged = ffmpeg.merge_outputs(*outputs) if len(outputs) > 1 else outputs[0]
    strict = ["-xerror"] if span.decoding.strict else []
    return [*head, *strict, "-y", "-copyts", "-filter_complex_threads", "1", *merged.get_args()]


def exactly(span: Span, attempt: Callable[[float | None], tuple[int, Result]]) -> Result:
    """Tries from closer to further ahead until the number of frames is the span's.

    `attempt` gets the seconds to seek ahead and returns how many frames came, and its result.
    """
    seen: list[str] = []
    for ahead in _aheads(span):
        try:
            count, result = attempt(ahead)
        except sandbox.ChildFailedError as error:
            seen.append(error.text.strip().splitlines()[0][:200] if error.text.strip() else "?")
            continue
        if count == span.frames:
            return result
        seen.append(f"{count} frames")
    raise MediaError("corrupt", f"cannot cut {span.frames} frames: {'; then '.join(seen)}")


def _aheads(span: Span) -> Iterator[float | None]:
    if span.start_pts is not None and span.start_frame > 0:
        yield from (6.0, 15.0) if "mpeg" in span.container else (1.0, 12.0)
    yield None
