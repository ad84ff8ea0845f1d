"""The tokenize step: which rendered clips have no tokens yet, and committing shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from curation import records
from curation.data_file import NewFile
from curation.lineage import RenderOrigin, check_rendered, marker_table
from curation.records import TokenizedClip
from curation.render.reader import RenderReader
from curation.render.rendered_clip import Rendered, RenderedClip, rendered_clips
from curation.stage import Done, Failed
from curation.step import StepRequest
from curation.table_writer import Writer
from tokenizer.tokenize.shards import TokenWindow
from tokenizer.tokenize.stage import ClipBatch, Tokenize, failed_row

_LARGEST_BATCH = 32
_BATCHES = 8


def plan(request: StepRequest) -> TokenizeStep:
    """The step over the renders of the clips that a selection keeps."""
    renders = f"renders/{request.settings.render.profile}"
    return TokenizeStep(
        request.dataset, request.settings.tokenize, request.selection_id or "", request.retry,
        renders=renders, follows_render=request.follows_render,
    )  # fmt: skip


@dataclass(frozen=True)
class TokenizeStep(RenderReader):
    """Tokenizes the rendered clips of one selection."""

    stage: Tokenize
    name: str = "tokenize"

    @cached_property
    def tokens(self) -> str:
        """The table of token windows."""
        return f"tokens/{self.stage.table(self.renders)}"

    @cached_property
    def result(self) -> str:
        """The table that says which clips are done."""
        return marker_table(self.tokens)

    @property
    def tables(self) -> dict[str, type]:
        """The outcomes last: they are the commit markers of the windows."""
        return {self.tokens: TokenWindow, self.result: TokenizedClip}

    def check(self) -> None:
        """Raises `LineageError` where there are clips, but no such renders of them."""
        if not self.follows_render:
            kept = self.dataset.kept_clip_ids(self.selection_id)
            check_rendered(self.catalog, self.renders, kept)

    def todo(self) -> list[ClipBatch]:
        """Batches of rendered, kept clips without tokens, by source and time."""
        clips = self.read_clips(self.unfinished_ids())
        if not clips:
            return []
        rendered = rendered_clips(self.catalog, self.renders, clips)
        size = self.batch_size(len(rendered))
        return [
            self.batch(rendered[first : first + size]) for first in range(0, len(rendered), size)
        ]

    def batch_size(self, clips: int) -> int:
        """At least so many batches where there are enough clips, so that all workers have some."""
        return max(1, min(_LARGEST_BATCH, -(-clips // _BATCHES)))

    def batch(self, rendered: Sequence[Rendered]) -> ClipBatch:
        """The item of these clips."""
        _, files, origins = zip(*rendered, strict=True)
        return self._batch(files, origins)

    def _batch(
        self, clips: tuple[RenderedClip, ...], origins: tuple[RenderOrigin, ...]
    ) -> ClipBatch:
        key = f"{clips[0].clip_id}+{len(clips)}"
        return ClipBatch(key, clips, self.catalog.storage, self.tokens, origins)

    def size(self, item: ClipBatch) -> float:
        """Seconds of the clips in the batch."""
        return sum(clip.frames / clip.fps for clip in item.clips)

    def split(self, item: ClipBatch) -> list[ClipBatch]:
        """A batch of its own for each clip."""
        pairs = zip(item.clips, item.origins, strict=True)
        return [self._batch((clip,), (origin,)) for clip, origin in pairs]

    def ledger(self, writer: Writer, items: Sequence[ClipBatch]) -> TokenLedger:
        """Drops failures that are retried, and windows without a commit marker."""
        self.drop_retried(writer, items)
        committed = self.catalog.values(self.result, TokenizedClip, "clip_id")
        clip_ids = self.catalog.values(self.tokens, TokenWindow, "clip_id")
        self.catalog.storage.remove_partial_files(self.tokens)
        writer.drop(self.tokens, "clip_id", clip_ids - committed)
        return TokenLedger(self, writer)


class TokenLedger:
    """Commits shards and the outcome of each clip."""

    def __init__(self, step: TokenizeStep, writer: Writer) -> None:
        self._step = step
        self._writer = writer

    def commit(self, results: Sequence[tuple[ClipBatch, Done | Failed]]) -> Counter[str]:
        """See `Ledger`."""
        shards: list[NewFile] = []
        clips: list[TokenizedClip] = []
        for batch, outcome in results:
            if isinstance(outcome, Failed):
                pairs = zip(batch.clips, batch.origins, strict=True)
                clips += [failed_row(clip, outcome, origin) for clip, origin in pairs]
                continue
            clips += outcome.value.clips
            if outcome.value.shard is not None:
                shards.append(outcome.value.shard)
        if shards:
            self._writer.add_files(self._step.tokens, shards)
        self._writer.append(self._step.result, records.to_table(TokenizedClip, clips))
        return Counter(clip.reason or "tokenized" for clip in clips)
