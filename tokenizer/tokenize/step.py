"""The tokenize step: which rendered clips have no tokens yet, and committing shards."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow.compute as pc

from curation import records
from curation.catalog import Catalog, NewFile, Writer
from curation.dataset import Dataset, source_rows
from curation.lineage import MadeFrom, check_rendered, marker
from curation.records import Clip, Render, TokenizedClip
from curation.render.rendered_clip import ClipFile, clip_file
from curation.stage import Done, Failed
from tokenizer.tokenize.shards import Shard, TokenWindow
from tokenizer.tokenize.stage import ClipBatch, Tokenize, failed

_LARGEST_BATCH = 32
_BATCHES = 8


@dataclass(frozen=True)
class TokenizeStep:
    """Tokenizes the rendered clips of one selection."""

    dataset: Dataset
    stage: Tokenize
    selection_id: str
    renders: str
    """The table of renders to read, such as `renders/encode-1a2b3c4d`."""
    name: str = "tokenize"

    @cached_property
    def tokens(self) -> str:
        """The table of token windows."""
        return f"tokens/{self.stage.table(self.renders)}"

    @cached_property
    def result(self) -> str:
        """The table that says which clips are done."""
        return marker(self.tokens)

    @property
    def catalog(self) -> Catalog:
        """The output's tables."""
        return self.dataset.catalog

    def check(self) -> None:
        """Raises `LineageError` where there are clips, but no such renders of them."""
        check_rendered(self.catalog, self.renders, self.dataset.kept(self.selection_id))

    def todo(self) -> list[ClipBatch]:
        """Batches of rendered, kept clips without tokens, by source and time."""
        rendered = pc.field("outcome") == "rendered"
        renders = records.records(Render, self.catalog.read(self.renders, Render, where=rendered))
        kept = self.dataset.clips("kept", self.selection_id)
        clips = {clip.clip_id: clip for clip in records.records(Clip, kept)}
        done = self.catalog.values(self.result, TokenizedClip, "clip_id")
        sources, storage = source_rows(self.catalog), self.catalog.storage
        files = [
            (
                clip_file(render, clips[render.clip_id], sources[render.source_id], storage),
                MadeFrom.of(self.renders, render),
            )
            for render in renders
            if render.clip_id in clips and render.clip_id not in done
        ]
        files.sort(key=lambda pair: (pair[0].source_id, pair[0].start_frame))
        size = max(1, min(_LARGEST_BATCH, -(-len(files) // _BATCHES)))
        return [self._batch(files[at : at + size]) for at in range(0, len(files), size)]

    def _batch(self, files: Sequence[tuple[ClipFile, MadeFrom]]) -> ClipBatch:
        clips, origins = zip(*files, strict=True)
        key = f"{clips[0].clip_id}+{len(clips)}"
        return ClipBatch(key, clips, self.catalog.storage, self.tokens, origins)

    def split(self, item: ClipBatch) -> list[ClipBatch]:
        """A batch of its own for each clip."""
        return [self._batch([pair]) for pair in zip(item.clips, item.origins, strict=True)]

    def weight(self, item: ClipBatch) -> int:
        """Clips in the batch."""
        return len(item.clips)

    @contextlib.contextmanager
    def ledger(self) -> Iterator[TokenLedger]:
        """Takes the tables; `tokenized/…` is written last and announces the windows."""
        tables = {self.tokens: TokenWindow, self.result: TokenizedClip}
        with self.catalog.writer(self.name, tables) as writer:
            announced = self.catalog.values(self.result, TokenizedClip, "clip_id")
            found = self.catalog.values(self.tokens, TokenWindow, "clip_id")
            self.catalog.storage.drop_partial(self.tokens)
            writer.drop(self.tokens, "clip_id", found - announced)
            yield TokenLedger(self, writer)


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
                clips += [failed(clip, outcome, origin) for clip, origin in pairs]
                continue
            clips += outcome.value.clips
            if outcome.value.shard is not None:
                shards.append(_new_file(outcome.value.shard))
        if shards:
            self._writer.add_files(self._step.tokens, shards)
        self._writer.append(self._step.result, records.table(TokenizedClip, clips))
        return Counter(clip.reason or "tokenized" for clip in clips)


def _new_file(shard: Shard) -> NewFile:
    return NewFile(shard.path.rsplit("/", 1)[1], shard.size_bytes, shard.rows)
