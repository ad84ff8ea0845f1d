"""What scores measure of one source: kept as numbers a frame, and summed up for each clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curation import scores
from curation.media.watch import Frames, Timeline
from curation.records import Clip
from curation.scores import ClipScore, FrameScore, Look, Score
from curation.scores.look import Floats, Row

Pictures = Callable[[int], npt.NDArray[np.uint8]]
"""Gives an analysis frame by its place among them, RGB [height, width, 3]."""


class Measures:
    """Shows frames to scores as they come, and makes the clips' rows once they are known."""

    def __init__(self, measured: Sequence[Score]) -> None:
        self._scores = tuple(measured)
        watching = [score for score in measured if isinstance(score, FrameScore)]
        self._numbers: dict[Score, list[tuple[float, ...]]] = {score: [] for score in watching}
        self._watching = {
            which: tuple(score for score in watching if score.frames == which)
            for which in ("analysis", "all")
        }
        self._before: dict[str, Look | None] = dict.fromkeys(self._watching)

    def see(self, look: Look) -> None:
        """Takes the next analysis frame."""
        self._show("analysis", look)

    def glance(self, frames: Frames) -> None:
        """Takes the next of all frames, uint8 RGB [n, 27, 48, 3]."""
        if self._watching["all"]:
            for rgb in frames:
                self._show("all", Look.at(rgb))

    def _show(self, which: str, look: Look) -> None:
        for score in self._watching[which]:
            self._numbers[score].append(score.measure(look, self._before[which]))
        self._before[which] = look

    def rows(self, clip: Clip, timeline: Timeline, picture: Pictures) -> dict[str, Any]:
        """A row of the clip for each score's table."""
        rows = {}
        for score in self._scores:
            values: Row | None
            if isinstance(score, FrameScore):
                values = self._summary(score, clip, timeline)
            else:
                assert isinstance(score, ClipScore)
                values = _description(score, clip, timeline, picture)
            if values is None:
                values = {f.name: None for f in scores.columns(type(score))}
            row = score.record(clip_id=clip.clip_id, source_id=clip.source_id, **values)
            rows[scores.table_name(score)] = row
        return rows

    def _summary(self, score: FrameScore, clip: Clip, timeline: Timeline) -> Row | None:
        """What the score makes of the clip; None if it saw no frame of it."""
        inside, times_s = slice(clip.start_frame, clip.end_frame), timeline.starts_s[:-1]
        if score.frames == "analysis":
            inside, times_s = _analysed(clip, timeline), timeline.starts_s[timeline.analysed]
        numbers = np.array(self._numbers[score][inside], np.float64)
        return (
            score.summarise(within_clip(score, numbers), times_s[inside]) if len(numbers) else None
        )


def _analysed(clip: Clip, timeline: Timeline) -> slice:
    """Which of the analysis frames lie in the clip."""
    first, last = np.searchsorted(timeline.analysed, (clip.start_frame, clip.end_frame)).tolist()
    return slice(first, last)


def _description(score: ClipScore, clip: Clip, timeline: Timeline, picture: Pictures) -> Row | None:
    inside = _analysed(clip, timeline)
    places = _spread(inside.start, inside.stop, score.looks)
    if not len(places):
        return None
    looks = [Look.at(picture(place)) for place in places.tolist()]
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
