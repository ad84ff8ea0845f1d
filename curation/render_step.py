"""The render step: which kept clips have no render yet, and committing renders and captions."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.caption import FACTS, facts_caption
from curation.catalog import Catalog, Writer
from curation.dataset import Dataset, source_rows
from curation.records import Caption, Clip, Render
from curation.render import RenderClips, RenderItem
from curation.stage import Done, Failed


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

    def todo(self) -> list[RenderItem]:
        """Kept clips without a render of this profile, by source and time."""
        kept = self.dataset.clips("kept", self.selection_id)
        done = self.catalog.values(self.result, Render, "clip_id")
        kept = kept.filter(
            pc.invert(pc.is_in(kept["clip_id"], pa.array(sorted(done), pa.string())))
        )
        kept = kept.sort_by([("source_id", "ascending"), ("start_frame", "ascending")])
        sources = source_rows(self.catalog)
        return [RenderItem(clip, sources[clip.source_id]) for clip in records.records(Clip, kept)]

    def split(self, item: RenderItem) -> list[RenderItem]:
        """A clip is one part."""
        return [item]

    def weight(self, item: RenderItem) -> int:
        """One clip."""
        return 1

    @contextlib.contextmanager
    def ledger(self) -> Iterator[RenderLedger]:
        """Takes the tables; captions come first, the render announces the clip."""
        with self.catalog.writer(self.name, {FACTS: Caption, self.result: Render}) as writer:
            self.catalog.storage.drop_partial(self.result)
            yield RenderLedger(self, writer)


class RenderLedger:
    """Commits renders, and a caption for each clip that has none."""

    def __init__(self, step: RenderStep, writer: Writer) -> None:
        self._step = step
        self._writer = writer
        self._captioned = step.catalog.values(FACTS, Caption, "clip_id")
        rows = step.dataset.clips("kept", step.selection_id).to_pylist()
        self._facts = {row["clip_id"]: row for row in rows}

    def commit(self, results: Sequence[tuple[RenderItem, Done | Failed]]) -> Counter[str]:
        """See `Ledger`."""
        renders = [_render(item, outcome) for item, outcome in results]
        captions = []
        for render in renders:
            if render.clip_id not in self._captioned:
                text = facts_caption(self._facts[render.clip_id])
                captions.append(Caption(render.clip_id, render.source_id, text))
                self._captioned.add(render.clip_id)
        self._writer.append(FACTS, records.table(Caption, captions))
        self._writer.append(self._step.result, records.table(Render, renders))
        return Counter(render.reason or "rendered" for render in renders)


def _render(item: RenderItem, outcome: Done | Failed) -> Render:
    if isinstance(outcome, Done):
        render: Render = outcome.value
        return render
    clip = item.clip
    return Render(clip.clip_id, clip.source_id, "failed", outcome.reason, outcome.detail)
