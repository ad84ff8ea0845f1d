"""The render step: which kept clips have no render yet, and committing renders."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.catalog import Catalog, Writer
from curation.dataset import Dataset, source_rows
from curation.media.crop import Crop, inside
from curation.records import Clip, Render, Source
from curation.render.stage import RenderBatch, RenderClips
from curation.scores import table_name
from curation.scores.borders import Borders, BorderScores
from curation.stage import Done, Failed

Bars = tuple[float | None, ...]
"""Shares of the upper, lower, left and right bar."""
_LARGEST_BATCH = 32
_BATCHES = 16
"""At least so many batches where there are enough clips, so that all workers have some."""


@dataclass(frozen=True)
class RenderStep:
    """Renders the kept clips of one selection."""

    dataset: Dataset
    stage: RenderClips
    selection_id: str
    name: str = "render"

    @property
    def result(self) -> str:
        """The table of renders of this profile."""
        return f"renders/{self.stage.profile}"

    @property
    def catalog(self) -> Catalog:
        """The output's tables."""
        return self.dataset.catalog

    def todo(self) -> list[RenderBatch]:
        """Kept clips without a render of this profile, in batches of one source."""
        kept = self.dataset.clips("kept", self.selection_id)
        done = self.catalog.values(self.result, Render, "clip_id")
        kept = kept.filter(
            pc.invert(pc.is_in(kept["clip_id"], pa.array(sorted(done), pa.string())))
        )
        kept = kept.sort_by([("source_id", "ascending"), ("start_frame", "ascending")])
        sources = source_rows(self.catalog)
        clips: list[Clip] = records.records(Clip, kept)
        most = max(1, min(_LARGEST_BATCH, len(clips) // _BATCHES))
        crops = self._crops() if clips else {}
        batches = []
        for source_id, own in itertools.groupby(clips, lambda clip: clip.source_id):
            listed = tuple(own)
            for at in range(0, len(listed), most):
                batches.append(_batch(sources[source_id], listed[at : at + most], crops))
        return batches

    def _crops(self) -> dict[str, Bars]:
        """The bars of each clip, where the profile crops them."""
        if self.stage.crop == "keep":
            return {}
        rows = self.dataset.side(table_name(Borders), BorderScores)
        if not rows.num_rows:
            raise ValueError(
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

    def weight(self, item: RenderBatch) -> int:
        """Clips in the batch."""
        return len(item.clips)

    @contextlib.contextmanager
    def ledger(self) -> Iterator[RenderLedger]:
        """Takes the table."""
        with self.catalog.writer(self.name, {self.result: Render}) as writer:
            self.catalog.storage.drop_partial(self.result)
            yield RenderLedger(self, writer)


class RenderLedger:
    """Commits renders."""

    def __init__(self, step: RenderStep, writer: Writer) -> None:
        self._step = step
        self._writer = writer

    def commit(self, results: Sequence[tuple[RenderBatch, Done | Failed]]) -> Counter[str]:
        """See `Ledger`."""
        renders = [row for batch, outcome in results for row in _rows(batch, outcome)]
        self._writer.append(self._step.result, records.table(Render, renders))
        return Counter(render.reason or "rendered" for render in renders)


def _batch(source: Source, clips: tuple[Clip, ...], bars: dict[str, Bars]) -> RenderBatch:
    size = (source.width or 0, source.height or 0)
    crops: tuple[Crop | None, ...] = ()
    if bars:
        crops = tuple(inside(bars.get(clip.clip_id, (None,) * 4), *size) for clip in clips)
    return RenderBatch(source, clips, crops)


def _rows(batch: RenderBatch, outcome: Done | Failed) -> list[Render]:
    if isinstance(outcome, Done):
        rows: list[Render] = outcome.value
        return rows
    why = (outcome.reason, outcome.detail)
    return [Render(clip.clip_id, clip.source_id, "failed", *why) for clip in batch.clips]
