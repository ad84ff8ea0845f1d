"""The caption step: kept clips without captions of this captioner, and committing its results."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from curation import lineage, records
from curation.caption.base import (
    CaptionBatch,
    CaptionClip,
    CaptionedBatch,
    Captioner,
    failed_row,
)
from curation.caption_tables import captioned_clip_ids, read_captions
from curation.catalog import Catalog
from curation.id_match import IdMatcher
from curation.lineage import RenderOrigin
from curation.media.sandbox import Limits
from curation.records import Caption, CaptionedClip, Clip
from curation.render.reader import RenderReader
from curation.render.rendered_clip import Rendered, rendered_clips
from curation.stage import Done, Failed
from curation.step import StepRequest
from curation.table_writer import Writer

_DEFERRED = "unavailable"
"""What a run calls undecided items."""


def plan(request: StepRequest) -> CaptionStep:
    """The step over the clips that a selection keeps."""
    settings = request.settings
    return CaptionStep(
        request.dataset, settings.caption, request.selection_id or "", request.retry,
        renders=f"renders/{settings.render.profile}", limits=settings.render.limits,
        follows_render=request.follows_render,
    )  # fmt: skip


@dataclass(frozen=True)
class CaptionStep(RenderReader):
    """Captions the kept clips of one selection."""

    stage: Captioner
    limits: Limits = field(default_factory=Limits)
    """Of the sandboxed decoder, for clips without a file of their own."""
    deferred: list[str] = field(default_factory=list)
    """For each undecided clip, why it is left for another run."""
    name: str = "caption"

    @cached_property
    def captions(self) -> str:
        """The table of captions."""
        return table_name(self.stage, self.catalog, self.renders)

    @property
    def result(self) -> str:
        """The table of the clips that are done."""
        return lineage.marker_table(self.captions)

    @property
    def tables(self) -> dict[str, type]:
        """The outcomes last: they are the commit markers of the captions."""
        return {self.captions: Caption, self.result: CaptionedClip}

    def check(self) -> None:
        """Raises `CaptionerError` where the captioner cannot work, `LineageError` without input."""
        self.captions  # noqa: B018  which requires its model
        if self.stage.reads == "captions":
            lineage.resolve_table(self.catalog, "captions", self.stage.rewrite)
        if self.stage.reads == "frames" and not self.follows_render:
            kept = self.dataset.kept_clip_ids(self.selection_id)
            lineage.check_rendered(self.catalog, self.renders, kept)

    def size(self, item: CaptionBatch) -> float:
        """Seconds of the clips in the batch."""
        return sum(clip.duration_s for clip in item.clips)

    def todo(self) -> list[CaptionBatch]:
        """Batches of kept clips without captions that have what the captioner reads.

        By source and time.
        """
        clips = self._readable(self.unfinished_ids())
        size = self.stage.batch_size
        return [self._batch(clips[first : first + size]) for first in range(0, len(clips), size)]

    def spent(self) -> tuple[int, int]:
        """Requests and tokens that the table has cost so far."""
        columns = ["requests", "tokens_in", "tokens_out"]
        rows = self.catalog.read(self.result, CaptionedClip, columns)
        requests, tokens_in, tokens_out = (pc.sum(rows[name]).as_py() or 0 for name in columns)
        return requests, tokens_in + tokens_out

    def _readable(self, clip_ids: pa.Array) -> list[CaptionClip]:
        """The clips that have what the captioner reads, by source and time."""
        if not len(clip_ids):
            return []
        if self.stage.reads == "facts":
            rows = self.dataset.scored_clips("kept", self.selection_id)
            rows = rows.filter(pc.is_valid(IdMatcher(rows["clip_id"]).rows(clip_ids)))
            rows = rows.sort_by([("source_id", "ascending"), ("start_frame", "ascending")])
            pairs = zip(records.from_table(Clip, rows), rows.to_pylist(), strict=True)
            return [_caption_clip(clip, facts=facts) for clip, facts in pairs]
        clips = self.read_clips(clip_ids)
        if self.stage.reads == "captions":
            captions = lineage.resolve_table(self.catalog, "captions", self.stage.rewrite)
            table = read_captions(self.catalog, captions).select(["clip_id", "text"])
            texts = {row["clip_id"]: tuple(row["text"].splitlines()) for row in table.to_pylist()}
            return [
                _caption_clip(c, captions=texts[c.clip_id]) for c in clips if c.clip_id in texts
            ]
        return [
            _caption_clip(clip, file=file, origin=origin)
            for clip, file, origin in rendered_clips(self.catalog, self.renders, clips)
        ]

    def batch_size(self, clips: int) -> int:
        """As many as the captioner takes at once."""
        return self.stage.batch_size

    def batch(self, rendered: Sequence[Rendered]) -> CaptionBatch:
        """The item of these clips."""
        return self._batch(
            [_caption_clip(clip, file=file, origin=origin) for clip, file, origin in rendered]
        )

    def _batch(self, clips: Sequence[CaptionClip]) -> CaptionBatch:
        return CaptionBatch(f"{clips[0].clip_id}+{len(clips)}", tuple(clips), self.limits)

    def split(self, item: CaptionBatch) -> list[CaptionBatch]:
        """A batch of its own for each clip."""
        return [self._batch([clip]) for clip in item.clips]

    def ledger(self, writer: Writer, items: Sequence[CaptionBatch]) -> CaptionLedger:
        """Drops failures that are retried, and captions without a commit marker."""
        self.drop_retried(writer, items)
        written = self.catalog.values(self.captions, Caption, "clip_id")
        committed = captioned_clip_ids(self.catalog, self.captions)
        finished = set() if committed is None else set(committed.to_pylist())
        writer.drop(self.captions, "clip_id", written - finished)
        return CaptionLedger(self, writer)


def table_name(captioner: Captioner, catalog: Catalog, renders: str) -> str:
    """The table that a captioner fills; one that reads frames has one per profile of renders.

    Raises `CaptionerError` for settings that cannot be used.
    """
    name = captioner.table(catalog)
    if captioner.reads == "frames":
        name = lineage.name_with_profile(name, renders)
    return f"captions/{name}"


class CaptionLedger:
    """Commits captions and the outcome of each clip."""

    def __init__(self, step: CaptionStep, writer: Writer) -> None:
        self._step = step
        self._writer = writer
        self._identity = dataclasses.asdict(step.stage.identity())

    def commit(self, results: Sequence[tuple[CaptionBatch, Done | Failed]]) -> Counter[str]:
        """See `Ledger`. Undecided clips count as unavailable."""
        captions: list[Caption] = []
        clips: list[CaptionedClip] = []
        counts: Counter[str] = Counter()
        for batch, outcome in results:
            if isinstance(outcome, Failed):
                clips += [failed_row(clip, outcome) for clip in batch.clips]
                continue
            result: CaptionedBatch = outcome.value
            origins = {clip.clip_id: clip.origin for clip in batch.clips}
            captions += [self._with_origin(row, origins[row.clip_id]) for row in result.captions]
            clips += result.clips
            self._step.deferred.extend(result.deferred)
            counts.update({_DEFERRED: len(result.deferred)} if result.deferred else {})
        self._writer.append(self._step.captions, records.to_table(Caption, captions))
        self._writer.append(self._step.result, records.to_table(CaptionedClip, clips))
        return counts + Counter(clip.reason or "captioned" for clip in clips)

    def _with_origin(self, row: Caption, origin: RenderOrigin) -> Caption:
        """The row with its captioner and its render."""
        return dataclasses.replace(
            row,
            **self._identity,
            render_profile=origin.render_profile,
            render_sha256=origin.render_sha256,
        )


def _caption_clip(clip: Clip, **contents: object) -> CaptionClip:
    return CaptionClip(
        clip.clip_id,
        clip.source_id,
        clip.start_frame,
        clip.end_frame,
        clip.end_s - clip.start_s,
        **contents,  # type: ignore[arg-type]
    )
