"""What scores measure of one source: kept as numbers, and summed up for each clip."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curation import scores
from curation.media.audio import TENTHS, Samples, Sound
from curation.media.decode import Frames, Lines
from curation.media.timeline import Timeline
from curation.records import Clip
from curation.scores import AnalysisFrame, ClipScore, FrameScore, Score, SoundScore
from curation.scores.frame import Floats, Row, Which

Pictures = Callable[[int], npt.NDArray[np.uint8]]
"""Gives an analysis frame by its place among them, RGB [height, width, 3]."""


class Measures:
    """Shows frames and sound to scores as they come; makes the clips' rows once they are known."""

    def __init__(self, measured: Sequence[Score]) -> None:
        self._scores = tuple(measured)
        watching = [score for score in measured if isinstance(score, FrameScore)]
        self._numbers: dict[Score, list[tuple[float, ...]]] = {score: [] for score in watching}
        kinds: tuple[Which, ...] = ("analysis", "all", "lines")
        self._watching = {
            which: tuple(score for score in watching if score.frames == which) for which in kinds
        }
        self._before: dict[str, AnalysisFrame | None] = dict.fromkeys(self._watching)
        listening = [score for score in measured if isinstance(score, SoundScore)]
        self._heard: dict[SoundScore, list[Floats]] = {score: [] for score in listening}
        self._sound: Sound | None = None

    def watches(self, which: Which) -> bool:
        """Whether some score sees this kind of frame."""
        return bool(self._watching[which])

    @property
    def describes(self) -> bool:
        """Whether some score sees a few frames of each clip."""
        return any(isinstance(score, ClipScore) for score in self._scores)

    @property
    def listens(self) -> bool:
        """Whether some score hears the sound."""
        return bool(self._heard)

    def see(self, look: AnalysisFrame) -> None:
        """Takes the next analysis frame."""
        self._show("analysis", look)

    def glance(self, frames: Frames) -> None:
        """Takes the next of all frames, uint8 RGB [n, 27, 48, 3]."""
        if self._watching["all"]:
            for rgb in frames:
                self._show("all", AnalysisFrame.at(rgb))

    def read(self, lines: Lines) -> None:
        """Takes the lines of the next analysis frames, uint8 [n, lines, columns]."""
        for luma in lines:
            self._show("lines", AnalysisFrame.of_lines(luma))

    def hear(self, samples: Samples) -> None:
        """Takes the next piece of sound."""
        for score, numbers in self._heard.items():
            numbers.append(score.measure(samples))

    def heard(self, sound: Sound | None) -> None:
        """Takes how loud the source is, once all of it was heard; None without sound."""
        self._sound = sound

    def _show(self, which: Which, look: AnalysisFrame) -> None:
        for score in self._watching[which]:
            self._numbers[score].append(score.measure(look, self._before[which]))
        self._before[which] = look

    def rows(self, clip: Clip, timeline: Timeline | None, picture: Pictures) -> dict[str, Any]:
        """A row of the clip for each score's table; sound alone needs no timeline."""
        rows = {}
        for score in self._scores:
            values = self._values(score, clip, timeline, picture)
            if values is None:
                values = {f.name: None for f in scores.columns(type(score))}
            row = score.record(clip_id=clip.clip_id, source_id=clip.source_id, **values)
            rows[scores.table_name(score)] = row
        return rows

    def _values(
        self, score: Score, clip: Clip, timeline: Timeline | None, picture: Pictures
    ) -> Row | None:
        if isinstance(score, SoundScore):
            return self._sounds(score, clip)
        assert timeline is not None
        if isinstance(score, FrameScore):
            return self._summary(score, clip, timeline)
        assert isinstance(score, ClipScore)
        return _description(score, clip, timeline, picture)

    def _sounds(self, score: SoundScore, clip: Clip) -> Row | None:
        """What the score makes of the clip's sound; None where the clip has none."""
        if self._sound is None or not self._heard[score]:
            return None
        numbers = np.concatenate(self._heard[score])[_steps(clip, 1 / score.step_s)]
        inside = _steps(clip, TENTHS)
        # A moment's 0.4 s end with its tenth of a second: the first three reach ahead of the clip.
        momentary = self._sound.momentary[inside.start + 3 : max(inside.stop, inside.start + 3)]
        return score.summarise(numbers, momentary) if len(numbers) else None

    def _summary(self, score: FrameScore, clip: Clip, timeline: Timeline) -> Row | None:
        """What the score makes of the clip; None if it saw no frame of it."""
        inside, times_s = slice(clip.start_frame, clip.end_frame), timeline.starts_s[:-1]
        if score.frames != "all":
            inside, times_s = _analysed(clip, timeline), timeline.starts_s[timeline.analysed]
        numbers = np.array(self._numbers[score][inside], np.float64)
        return (
            score.summarise(within_clip(score, numbers), times_s[inside]) if len(numbers) else None
        )


def _steps(clip: Clip, rate: float) -> slice:
    """Which of `rate` steps a second lie whole in the clip, give or take a thousandth of one."""
    first, last = clip.start_s * rate, clip.end_s * rate
    return slice(math.ceil(first - 1e-3), max(0, math.floor(last + 1e-3)))


def _analysed(clip: Clip, timeline: Timeline) -> slice:
    """Which of the analysis frames lie in the clip."""
    first, last = np.searchsorted(timeline.analysed, (clip.start_frame, clip.end_frame)).tolist()
    return slice(first, last)


def _description(score: ClipScore, clip: Clip, timeline: Timeline, picture: Pictures) -> Row | None:
    inside = _analysed(clip, timeline)
    places = _spread(inside.start, inside.stop, score.looks)
    if not len(places):
        return None
    looks = [AnalysisFrame.at(picture(place)) for place in places.tolist()]
    return score.describe(looks, timeline.starts_s[timeline.analysed[places]])


def _spread(first: int, last: int, count: int) -> npt.NDArray[np.int64]:
    """At most `count` places from first to last (exclusive), each in the middle of its share."""
    count = min(count, last - first)
    return first + ((np.arange(count) + 0.5) * (last - first) / max(count, 1)).astype(np.int64)


def within_clip(score: FrameScore, numbers: Floats) -> Floats:
    """The clip's numbers; its first frame is not compared with one of another shot."""
    if not score.compares:
        return numbers
    own = numbers.copy()
    own[0] = np.nan
    return own
