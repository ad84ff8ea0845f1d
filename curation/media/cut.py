"""Frame-exact cuts: the frames of one span and no others, whatever the container.

With `-copyts` the times in the filters are those that scan saw, and `trim` compares them exactly;
seeking only saves work. It goes to a key frame some seconds ahead, never relying on where it lands:
the frames that come out are counted, and if the count is wrong the cut is made again from further
ahead, at last from the start. A stream without times is cut by frame number, from the start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import ffmpeg

from curation.media import allow, child, colour
from curation.media.watch import decode_options
from curation.reasons import MediaError
from curation.records import Clip, Source

Result = TypeVar("Result")


@dataclass(frozen=True)
class Span:
    """Which frames of which stream, and how its picture has to be treated."""

    frames: int
    start_frame: int
    start_pts: int | None
    end_pts: int | None
    time_base: Fraction
    duration_s: float
    stream_index: int
    container: str
    fps: float
    interlaced: bool
    hdr: bool

    @classmethod
    def of(cls, clip: Clip, source: Source) -> Span:
        """The span of a clip in its source."""
        return cls(
            frames=clip.end_frame - clip.start_frame,
            start_frame=clip.start_frame,
            start_pts=clip.start_pts,
            end_pts=clip.end_pts,
            time_base=Fraction(clip.time_base or "1/25"),
            duration_s=clip.end_s - clip.start_s,
            stream_index=source.stream_index or 0,
            container=source.container or "",
            fps=source.fps or 25.0,
            interlaced=bool(source.interlaced),
            hdr=bool(source.hdr),
        )

    @property
    def start_time(self) -> float | None:
        """The first frame's time in the container, in seconds; None without times."""
        return None if self.start_pts is None else float(self.start_pts * self.time_base)


@dataclass(frozen=True)
class Cut:
    """The span's streams, ready for an output."""

    video: ffmpeg.Stream
    audio: ffmpeg.Stream


def cut(path: str, span: Span, limits: child.Limits, ahead_s: float | None, audio: bool) -> Cut:
    """The frames of the span from time 0 on, as displayed and in SDR, but not scaled yet.

    `ahead_s` is how far before the span to seek; None starts at the beginning.
    """
    options = decode_options(limits, audio=audio)
    begin = span.start_time
    if ahead_s is not None and begin is not None:
        options |= {"seek_timestamp": "1", "ss": f"{begin - ahead_s:.6f}"}
        opened = ffmpeg.input("file:" + os.path.abspath(path), noaccurate_seek=None, **options)
    else:
        opened = ffmpeg.input("file:" + os.path.abspath(path), **options)
    video = opened[str(span.stream_index)]
    if span.interlaced:
        video = video.filter("bwdif", mode="send_frame", deint="interlaced")
        if span.start_pts is not None:  # bwdif halves the time base, and trim compares ticks
            video = video.filter("settb", str(span.time_base))
    video = _trim(video, span)
    if span.hdr:
        for name, positional, named in colour.TONE_MAP:
            video = video.filter(name, *positional, **named)
    sound = opened.audio
    if audio and begin is not None:
        sound = sound.filter("atrim", start=f"{begin:.6f}", end=f"{begin + span.duration_s:.6f}")
        sound = sound.filter("asetpts", f"PTS-{begin:.6f}/TB")
    return Cut(video, sound)


def _trim(video: ffmpeg.Stream, span: Span) -> ffmpeg.Stream:
    if span.start_pts is None:
        last = span.start_frame + span.frames - 1
        chosen = video.filter("select", f"between(n,{span.start_frame},{last})")
        return chosen.filter("setpts", f"N/({span.fps}*TB)")
    bounds = {"start_pts": span.start_pts}
    if span.end_pts is not None:
        bounds["end_pts"] = span.end_pts
    return video.filter("trim", **bounds).filter("setpts", "PTS-STARTPTS")


def command(*outputs: ffmpeg.Stream) -> list[str]:
    """The ffmpeg command line for the outputs."""
    head = [allow.ffmpeg(), "-hide_banner", "-nostdin", "-nostats", "-v", "repeat+level+error"]
    merged = ffmpeg.merge_outputs(*outputs) if len(outputs) > 1 else outputs[0]
    return [*head, "-xerror", "-y", "-copyts", "-filter_complex_threads", "1", *merged.get_args()]


def exactly(span: Span, attempt: Callable[[float | None], tuple[int, Result]]) -> Result:
    """Tries from closer to further ahead until the number of frames is the span's.

    `attempt` gets the seconds to seek ahead and returns how many frames came, and its result.
    """
    seen: list[str] = []
    for ahead in _aheads(span):
        try:
            count, result = attempt(ahead)
        except child.ChildFailedError as error:
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
