"""The caption step: which kept clips its captioner has not described yet, and committing."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
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
    failed,
)
from curation.caption_tables import announced, captions, named
from curation.catalog import Catalog, Writer
from curation.dataset import Dataset, source_rows
from curation.lineage import MadeFrom
from curation.media.sandbox import Limits
from curation.records import Caption, CaptionedClip, Clip, Render
from curation.render.rendered_clip import clip_file
from curation.stage import Done, Failed

_WAITING = "out_of_reach"
"""What a run calls items about which nothing is decided."""


@dataclass(frozen=True)
class CaptionStep:
    """Captions the kept clips of one selection."""

    dataset: Dataset
    stage: Captioner
    selection_id: str
    renders: str
    """The table of renders to read, such as `renders/encode-1a2b3c4d`."""
    limits: Limits = field(default_factory=Limits)
    """What the decoder of clips that are no files of their own may use."""
    retry: frozenset[str] = frozenset()
    """Reasons for which a clip failed that give it another chance."""
    waiting: list[str] = field(default_factory=list)
    """What kept clips about which nothing was decided."""
    name: str = "caption"

    @cached_property
    def captions(self) -> str:
        """The table of captions."""
        return table_name(self.stage, self.catalog, self.renders)

    @property
    def result(self) -> str:
        """The table that says which clips are done."""
        return lineage.marker(self.captions)

    @property
    def catalog(self) -> Catalog:
        """The output's tables."""
        return self.dataset.catalog

    def check(self) -> None:
        """Raises `ValueError` for a captioner that cannot work here, and for missing renders."""
        self.captions  # noqa: B018  which asks for its model
        if self.stage.reads == "captions":
            named(self.catalog, self.stage.rewrite)
        if self.stage.reads == "frames":
            kept = self.dataset.kept(self.selection_id)
            lineage.check_rendered(self.catalog, self.renders, kept)

    def todo(self) -> list[CaptionBatch]:
        """Batches of kept clips without captions that have what the captioner reads.

        By source and time.
        """
        done = self.catalog.values(self.result, CaptionedClip, "clip_id") - self._again()
        kept = self.dataset.clips("kept", self.selection_id)
        known = pa.array(sorted(done), pa.string())
        kept = kept.filter(pc.invert(pc.is_in(kept["clip_id"], known)))
        kept = kept.sort_by([("source_id", "ascending"), ("start_frame", "ascending")])
        clips = self._readable(kept)
        size = self.stage.together
        return [self._batch(clips[at : at + size]) for at in range(0, len(clips), size)]

    def spent(self) -> tuple[int, int]:
        """Requests and tokens that the table has cost so far."""
        columns = ["requests", "tokens_in", "tokens_out"]
        rows = self.catalog.read(self.result, CaptionedClip, columns)
        requests, read, written = (pc.sum(rows[name]).as_py() or 0 for name in columns)
        return requests, read + written

    def _again(self) -> set[str]:
        """Clips that failed for a reason that gives them another chance."""
        if not self.retry:
            return set()
        where = (pc.field("outcome") == "failed") & pc.field("reason").isin(sorted(self.retry))
        rows = self.catalog.read(self.result, CaptionedClip, ["clip_id"], where)
        return set(rows["clip_id"].to_pylist())

    def _readable(self, kept: pa.Table) -> list[CaptionClip]:
        """The clips that have what the captioner reads."""
        clips: list[Clip] = records.records(Clip, kept)
        if self.stage.reads == "facts":
            facts = kept.to_pylist()
            return [_plain(c, facts=f) for c, f in zip(clips, facts, strict=True)]
        if self.stage.reads == "captions":
            table = named(self.catalog, self.stage.rewrite)
            rows = captions(self.dataset.catalog, table).select(["clip_id", "text"]).to_pylist()
            texts = {row["clip_id"]: tuple(row["text"].splitlines()) for row in rows}
            return [_plain(c, captions=texts[c.clip_id]) for c in clips if c.clip_id in texts]
        rendered = pc.field("outcome") == "rendered"
        rows = self.catalog.read(self.renders, Render, where=rendered)
        renders = {render.clip_id: render for render in records.records(Render, rows)}
        sources, storage = source_rows(self.catalog), self.catalog.storage
        return [
            _plain(
                c,
                file=clip_file(renders[c.clip_id], c, sources[c.source_id], storage),
                made_from=MadeFrom.of(self.renders, renders[c.clip_id]),
            )
            for c in clips
            if c.clip_id in renders
        ]

    def _batch(self, clips: Sequence[CaptionClip]) -> CaptionBatch:
        return CaptionBatch(f"{clips[0].clip_id}+{len(clips)}", tuple(clips), self.limits)

    def split(self, item: CaptionBatch) -> list[CaptionBatch]:
        """A batch of its own for each clip."""
        return [self._batch([clip]) for clip in item.clips]

    def weight(self, item: CaptionBatch) -> int:
        """Clips in the batch."""
        return len(item.clips)

    @contextlib.contextmanager
    def ledger(self) -> Iterator[CaptionLedger]:
        """Takes the tables; `captioned/…` is written last and announces the captions."""
        tables = {self.captions: Caption, self.result: CaptionedClip}
        with self.catalog.writer(self.name, tables) as writer:
            writer.drop(self.result, "clip_id", self._again(), also="outcome = 'failed'")
            found = self.catalog.values(self.captions, Caption, "clip_id")
            known = announced(self.catalog, self.captions) or set()
            writer.drop(self.captions, "clip_id", found - known)
            yield CaptionLedger(self, writer)


def table_name(captioner: Captioner, catalog: Catalog, renders: str) -> str:
    """The table that a captioner fills; one that reads frames fills one for each renders' profile.

    Raises `ValueError` for settings that cannot be used.
    """
    name = captioner.table(catalog)
    return f"captions/{lineage.named_by(name, renders) if captioner.reads == 'frames' else name}"


class CaptionLedger:
    """Commits captions and the outcome of each clip."""

    def __init__(self, step: CaptionStep, writer: Writer) -> None:
        self._step = step
        self._writer = writer
        self._identity = dataclasses.asdict(step.stage.identity())

    def commit(self, results: Sequence[tuple[CaptionBatch, Done | Failed]]) -> Counter[str]:
        """See `Ledger`. Clips about which nothing is decided count as out of reach."""
        rows: list[Caption] = []
        clips: list[CaptionedClip] = []
        counts: Counter[str] = Counter()
        for batch, outcome in results:
            if isinstance(outcome, Failed):
                clips += [failed(clip, outcome) for clip in batch.clips]
                continue
            made: CaptionedBatch = outcome.value
            origins = {clip.clip_id: clip.made_from for clip in batch.clips}
            rows += [self._signed(row, origins[row.clip_id]) for row in made.captions]
            clips += made.clips
            self._step.waiting.extend(made.waiting)
            counts.update({_WAITING: len(made.waiting)} if made.waiting else {})
        self._writer.append(self._step.captions, records.table(Caption, rows))
        self._writer.append(self._step.result, records.table(CaptionedClip, clips))
        return counts + Counter(clip.reason or "captioned" for clip in clips)

    def _signed(self, row: Caption, render: MadeFrom) -> Caption:
        """With who wrote it, and of which render."""
        profile, sha256 = render.render_profile, render.render_sha256
        return dataclasses.replace(
            row, **self._identity, render_profile=profile, render_sha256=sha256
        )


def _plain(clip: Clip, **reads: object) -> CaptionClip:
    seconds = clip.end_s - clip.start_s
    return CaptionClip(
        clip.clip_id,
        clip.source_id,
        clip.start_frame,
        clip.end_frame,
        seconds,
        **reads,  # type: ignore[arg-type]
    )
