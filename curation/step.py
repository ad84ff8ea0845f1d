"""A step of the pipeline, apart from where it runs: its work list, its stage, and its commits.

The work list is always an anti-join: what the step's input has and its output lacks. So resuming
after a crash, running again after more input came, and running twice are the same thing. It is read
once, from a snapshot of the tables and under the step's lease; the writer then acquires its tables
at the versions of that snapshot.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.catalog import Catalog
from curation.dataset import Dataset
from curation.id_match import IdMatcher
from curation.listing import Listing
from curation.records import Clip
from curation.stage import Done, Failed, Item, Stage
from curation.steps import STEPS
from curation.table_writer import Writer

_FEW = 1000
"""Clips that are looked up, so that files of the table are skipped."""


class Ledger(Protocol):
    """Commits outcomes while its step holds the tables."""

    def commit(self, results: Sequence[tuple[Any, Done | Failed]]) -> Counter[str]:
        """Commits items and their outcomes; returns how many of each kind.

        `Failed` becomes a row with its reason.
        """


class Step(Protocol):
    """One step."""

    @property
    def name(self) -> str:
        """A key of `curation.steps.STEPS`."""

    @property
    def stage(self) -> Stage:
        """The work on one item."""

    @property
    def catalog(self) -> Catalog:
        """The output's tables."""

    @property
    def tables(self) -> Mapping[str, type]:
        """The tables that it writes and their records."""

    @property
    def result(self) -> str:
        """Its table of outcomes, which are the commit markers."""

    def check(self) -> None:
        """Raises a `ReelmillError` that says what is missing where the step cannot run."""

    def todo(self) -> Sequence[Item]:
        """The work list, in a fixed order."""

    def retried(self, items: Sequence[Any]) -> int:
        """How many stored failures are dropped because they are on the work list again."""

    def split(self, item: Any) -> Sequence[Item]:
        """The item in its smallest parts, to find the one that kills workers."""

    def weight(self, item: Any) -> int:
        """How many sources or clips the item has."""

    def size(self, item: Any) -> float:
        """What its work is in proportion to: seconds of video, or bytes where those are unknown."""

    def video_s(self, item: Any, outcome: Done | Failed) -> float:
        """Seconds of video that it turned out to have."""

    def finished(self) -> int:
        """How many of the sources or clips that are asked for have had an outcome before."""

    def ledger(self, writer: Writer, items: Sequence[Any]) -> Ledger:
        """Drops what a run that was cut short left behind, and stored failures of the work list.

        The writer has the tables.
        """


@dataclass(frozen=True)
class StepRequest:
    """What a step is planned from."""

    dataset: Dataset
    settings: Any
    """A `pipelines.config.Profile`: the settings of all steps."""
    retry: frozenset[str] = frozenset()
    """Reasons of failure to try again."""
    listing: Listing | None = None
    """For `scan`: the inputs."""
    selection_id: str | None = None
    """For steps of clips: the selection or subset whose clips are worked on."""
    follows_render: bool = False
    """Whether `render` runs ahead in the same stream."""


@dataclass(frozen=True)
class ClipStep:
    """A step that gives each clip that a selection keeps one outcome."""

    dataset: Dataset
    stage: Any
    selection_id: str
    retry: frozenset[str] = frozenset()
    """Reasons of failure to try again."""

    @property
    @abstractmethod
    def name(self) -> str:
        """A key of `curation.steps.STEPS`."""

    @property
    @abstractmethod
    def result(self) -> str:
        """Its table of outcomes."""

    @property
    def catalog(self) -> Catalog:
        """The output's tables."""
        return self.dataset.catalog

    def check(self) -> None:
        """Passes unless a step overrides it."""

    @cached_property
    def _outcomes(self) -> pa.Table:
        columns = ["clip_id", "outcome", "reason"]
        return self.catalog.read(self.result, STEPS[self.name].load_record(), columns)

    @cached_property
    def _retried_ids(self) -> set[str]:
        if not self.retry:
            return set()
        failed = (pc.field("outcome") == "failed") & pc.field("reason").isin(sorted(self.retry))
        ids = set(self._outcomes.filter(failed)["clip_id"].to_pylist())
        return ids & set(self.dataset.kept_clip_ids(self.selection_id).to_pylist())

    def unfinished_ids(self) -> pa.Array:
        """Clips that the selection keeps and that have no outcome, or one to try again."""
        kept = self.dataset.kept_clip_ids(self.selection_id)
        return unfinished_ids(kept, self._outcomes, self.retry)

    def read_clips(self, clip_ids: pa.Array) -> list[Clip]:
        """These clips, by source and time."""
        if not len(clip_ids):
            return []
        where = pc.field("clip_id").isin(clip_ids) if len(clip_ids) <= _FEW else None
        rows = self.catalog.read("clips", Clip, where=where)
        rows = rows.filter(pc.is_valid(IdMatcher(rows["clip_id"]).rows(clip_ids)))
        rows = rows.sort_by([("source_id", "ascending"), ("start_frame", "ascending")])
        clips: list[Clip] = records.from_table(Clip, rows)
        return clips

    def retried(self, items: Sequence[Any]) -> int:
        """How many stored failures are dropped because they are on the work list again."""
        return len(self._retried_of(items))

    def drop_retried(self, writer: Writer, items: Sequence[Any]) -> None:
        """Drops the failures of the clips that are tried again."""
        is_failed = pc.field("outcome") == "failed"
        writer.drop(self.result, "clip_id", self._retried_of(items), is_failed)

    def _retried_of(self, items: Sequence[Any]) -> set[str]:
        """Of the clips to retry those on the work list: another may have lost its render."""
        return self._retried_ids & {clip.clip_id for item in items for clip in item.clips}

    def weight(self, item: Any) -> int:
        """Clips in the batch."""
        return len(item.clips)

    def size(self, item: Any) -> float:
        """Seconds of the clips in the batch."""
        return float(sum(clip.end_s - clip.start_s for clip in item.clips))

    def video_s(self, item: Any, outcome: Done | Failed) -> float:
        """Seconds of the clips in the batch."""
        return self.size(item)

    def finished(self) -> int:
        """Clips that the selection keeps and that have an outcome, without those to try again."""
        kept = set(self.dataset.kept_clip_ids(self.selection_id).to_pylist())
        return len(kept) - len(self.unfinished_ids())


def unfinished_ids(kept: pa.ChunkedArray, outcomes: pa.Table, retry: Collection[str]) -> pa.Array:
    """Of these clips those without an outcome, or with one to try again.

    `outcomes` has the columns `clip_id`, `outcome` and `reason`.
    """
    clips = IdMatcher(pc.unique(kept))
    if retry:
        failed = (pc.field("outcome") == "failed") & pc.field("reason").isin(sorted(retry))
        retried = outcomes.filter(failed)["clip_id"]
        outcomes = outcomes.filter(~pc.field("clip_id").isin(pc.unique(retried)))
    return clips.ids.filter(pc.is_null(clips.rows(outcomes["clip_id"])))


@contextlib.contextmanager
def open_ledger(step: Step) -> Iterator[Ledger]:
    """The step's ledger, with its tables acquired."""
    with step.catalog.writer(step.name, step.tables) as writer:
        yield step.ledger(writer, step.todo())
