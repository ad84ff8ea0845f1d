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
from curation.records import Clip, Render
from curation.render import RenderBatch, RenderClips
from curation.stage import Done, Failed

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
        batches = []
        for source_id, own in itertools.groupby(clips, lambda clip: clip.source_id):
            listed = tuple(own)
            for at in range(0, len(listed), most):
                batches.append(RenderBatch(sources[source_id], listed[at : at + most]))
        return batches

    def split(self, item: RenderBatch) -> list[RenderBatch]:
        """A batch of its own for each clip."""
        return [RenderBatch(item.source, (clip,)) for clip in item.clips]

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


def _rows(batch: RenderBatch, outcome: Done | Failed) -> list[Render]:
    if isinstance(outcome, Done):
        rows: list[Render] = outcome.value
        return rows
    why = (outcome.reason, outcome.detail)
    return [Render(clip.clip_id, clip.source_id, "failed", *why) for clip in batch.clips]
