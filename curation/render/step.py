"""The render step: which kept clips have no render yet, and committing renders."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from curation import records
from curation.dataset import sources_by_id
from curation.errors import ReelmillError
from curation.media.picture_edits import Crop, crop_bars
from curation.records import Clip, Render, Source
from curation.render.stage import RenderBatch, RenderClips
from curation.scores import table_name
from curation.scores.borders import Borders, BorderScores
from curation.stage import Done, Failed
from curation.step import ClipStep, StepRequest
from curation.table_writer import Writer

Bars = tuple[float | None, ...]
"""Shares of the upper, lower, left and right bar."""
_LARGEST_BATCH = 32
_BATCHES = 8
"""At least so many batches where there are enough clips, so that all workers have some."""


class NotMeasuredError(ReelmillError, ValueError):
    """The settings ask for a score that no scan has measured."""


def plan(request: StepRequest) -> RenderStep:
    """The step over the clips that a selection keeps."""
    root = request.dataset.catalog.storage.root
    stage = dataclasses.replace(request.settings.render, output=root)
    return RenderStep(request.dataset, stage, request.selection_id or "", request.retry)


@dataclass(frozen=True)
class RenderStep(ClipStep):
    """Renders the kept clips of one selection."""

    stage: RenderClips
    name: str = "render"

    @property
    def result(self) -> str:
        """The table of renders of this profile."""
        return f"renders/{self.stage.profile}"

    @property
    def tables(self) -> dict[str, type]:
        """The renders alone."""
        return {self.result: Render}

    def todo(self) -> list[RenderBatch]:
        """Kept clips without a render of this profile, in batches of one source."""
        clips = self.read_clips(self.unfinished_ids())
        if not clips:
            return []
        crops, sources = self._crops(), self._sources(clips)
        size = max(1, min(_LARGEST_BATCH, len(clips) // _BATCHES))
        batches = []
        for source_id, group in itertools.groupby(clips, lambda clip: clip.source_id):
            of_source = tuple(group)
            for first in range(0, len(of_source), size):
                batch = of_source[first : first + size]
                batches.append(_batch(sources[source_id], batch, crops))
        return batches

    def _sources(self, clips: Sequence[Clip]) -> dict[str, Source]:
        return sources_by_id(self.catalog, {clip.source_id for clip in clips})

    def _crops(self) -> dict[str, Bars]:
        """The bars of each clip, where the profile crops them."""
        if self.stage.crop == "keep":
            return {}
        rows = self.dataset.side_table(table_name(Borders), BorderScores)
        if not rows.num_rows:
            raise NotMeasuredError(
                "render.crop: no bars were measured; add Borders to scan.scores and run "
                "`reelmill scan` again"
            )
        names = ("clip_id", "bar_top", "bar_bottom", "bar_left", "bar_right")
        columns = (rows[name].to_pylist() for name in names)
        return {clip: tuple(bars) for clip, *bars in zip(*columns, strict=True)}

    def split(self, item: RenderBatch) -> list[RenderBatch]:
        """A batch of its own for each clip."""
        crops = item.crops or (None,) * len(item.clips)
        return [
            RenderBatch(item.source, (clip,), (crop,))
            for clip, crop in zip(item.clips, crops, strict=True)
        ]

    def ledger(self, writer: Writer, items: Sequence[RenderBatch]) -> RenderLedger:
        """Drops failures that are retried, and half-written files."""
        self.drop_retried(writer, items)
        self.catalog.storage.remove_partial_files(self.result)
        return RenderLedger(self, writer)


class RenderLedger:
    """Commits renders."""

    def __init__(self, step: RenderStep, writer: Writer) -> None:
        self._step = step
        self._writer = writer

    def commit(self, results: Sequence[tuple[RenderBatch, Done | Failed]]) -> Counter[str]:
        """See `Ledger`."""
        renders = [row for batch, outcome in results for row in render_rows(batch, outcome)]
        self._writer.append(self._step.result, records.to_table(Render, renders))
        return Counter(render.reason or "rendered" for render in renders)


def _batch(source: Source, clips: tuple[Clip, ...], bars: dict[str, Bars]) -> RenderBatch:
    size = (source.width or 0, source.height or 0)
    crops: tuple[Crop | None, ...] = ()
    if bars:
        crops = tuple(crop_bars(bars.get(clip.clip_id, (None,) * 4), *size) for clip in clips)
    return RenderBatch(source, clips, crops)


def render_rows(batch: RenderBatch, outcome: Done | Failed) -> list[Render]:
    """One row for each clip of the batch."""
    if isinstance(outcome, Done):
        rows: list[Render] = outcome.value
        return rows
    why = (outcome.reason, outcome.detail)
    return [Render(clip.clip_id, clip.source_id, "failed", *why) for clip in batch.clips]
