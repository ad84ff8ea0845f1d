"""Steps as one stream: each clip is captioned and tokenized as soon as its render is committed.

`render` comes first and the steps that read renders behind it, each with workers of its own. Their
batches are those that each step alone would make of the same renders: a batch is ready once all of
its clips are, without those whose render failed.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa

from curation.lineage import RenderOrigin
from curation.records import Clip, Render, Source
from curation.render.reader import RenderReader
from curation.render.rendered_clip import Rendered, rendered_clip, rendered_clips
from curation.render.step import render_rows
from curation.stage import Item
from curation.table_writer import Writer
from pipelines.run.executor import Executor
from pipelines.run.step_runner import Account, Results, StepRun, work


def run_stream(
    render: StepRun, readers: Sequence[StepRun], executor: Executor, *, give_up: bool = False
) -> None:
    """Runs `render` and the steps that read its renders, until every clip has its outcomes.

    Afterwards `StepRun.had_work` says which of them had any. Raises as `run_step`.
    """
    runs = (render, *readers)
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(run.step.catalog.lease(run.step.name, run.step.tables))
            for run in runs
        ]
        items: Sequence[Any] = render.step.todo()
        rendering = {clip.clip_id for item in items for clip in item.clips}
        batches = [_RenderedBatches(cast(RenderReader, run.step), rendering) for run in readers]
        work_lists = [items, *(each.expected for each in batches)]
        for run, todo in zip(runs, work_lists, strict=True):
            if todo:
                run.on_start(todo)
        accounts = [
            _open(run, writer, todo, give_up, are_expected=run is not render) if todo else None
            for run, writer, todo in zip(runs, writers, work_lists, strict=True)
        ]
        source, *reading = accounts
        if source is not None:
            source.on_commit = lambda results: _pass_on(results, batches)
        for account, batch in zip(reading, batches, strict=True):
            if account is not None:
                batch.connect(account, source)
        if any(accounts):
            work(executor, [account for account in accounts if account is not None])


def _open(
    run: StepRun, writer: Writer, todo: Sequence[Item], give_up: bool, are_expected: bool
) -> Account:
    """Acquires the tables of a step that has work."""
    writer.acquire()
    ledger = run.step.ledger(writer, todo)
    return Account(run, ledger, todo, give_up=give_up, are_expected=are_expected)


@dataclass(frozen=True)
class _ExpectedClip:
    clip_id: str


@dataclass(frozen=True)
class _Expected:
    """Stands for an item before it can be made."""

    key: str
    clips: tuple[_ExpectedClip, ...]


class _RenderedBatches:
    """The batches of one reader, each complete once the renders of its clips are decided."""

    def __init__(self, step: RenderReader, rendering: Collection[str]) -> None:
        ids = step.expected_ids(rendering)
        size = step.batch_size(len(ids))
        self._step = step
        self._batches = [ids[first : first + size] for first in range(0, len(ids), size)]
        self.expected = [_Expected(ids[0], tuple(map(_ExpectedClip, ids))) for ids in self._batches]
        self._batch_of = {key: number for number, ids in enumerate(self._batches) for key in ids}
        self._undecided = [set(ids) for ids in self._batches]
        self._rendered: dict[str, Rendered] = {}
        self._complete: deque[int] = deque()
        existing = step.read_clips(pa.array(self._batch_of.keys() - set(rendering), pa.string()))
        for rendered in rendered_clips(step.catalog, step.renders, existing):
            self.decide(rendered[0].clip_id, rendered)

    def connect(self, account: Account, source: Account | None) -> None:
        """Gives the account its items as they can be made."""

        def refill(is_last: bool) -> None:
            if source is not None:
                source.commit_for_others(is_last=is_last)
            account.put(self.take(account, is_last=is_last))

        account.fill_with(refill, source.feed if source else None)

    def rendered(self, render: Render, clip: Clip, source: Source) -> Rendered | None:
        """The clip's file; None for a render that failed."""
        if render.outcome != "rendered":
            return None
        file = rendered_clip(render, clip, source, self._step.catalog.storage)
        return clip, file, RenderOrigin.of(self._step.renders, render)

    def decide(self, clip_id: str, rendered: Rendered | None) -> None:
        """A clip was rendered, or failed."""
        number = self._batch_of.get(clip_id)
        if number is None or clip_id not in self._undecided[number]:
            return
        if rendered is not None:
            self._rendered[clip_id] = rendered
        self._undecided[number].discard(clip_id)
        if not self._undecided[number]:
            self._complete.append(number)

    def take(self, account: Account, *, is_last: bool) -> list[Item]:
        """Items that are complete; at last those of which a clip has no render yet, too."""
        numbers = [*self._complete]
        if is_last:
            numbers += [number for number, left in enumerate(self._undecided) if left]
        self._complete.clear()
        items: list[Item] = []
        for number in sorted(numbers):
            ids, self._undecided[number] = self._batches[number], set()
            rendered = [self._rendered.pop(key) for key in ids if key in self._rendered]
            account.expect_fewer(len(ids) - len(rendered))
            items += [self._step.batch(rendered)] if rendered else []
        return items


def _pass_on(results: Results, batches: Sequence[_RenderedBatches]) -> None:
    """Tells the readers which renders were committed."""
    for item, outcome in results:
        clips = {clip.clip_id: clip for clip in item.clips}
        for row in render_rows(item, outcome):
            for batch in batches:
                batch.decide(row.clip_id, batch.rendered(row, clips[row.clip_id], item.source))
