"""A further step in the places that one takes: declaration, record, settings, stage and step.

Run as a program it is `reelmill` with that step: `python -m tests.pipelines.further_step …`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from curation import records
from curation.records import Clip, ClipOutcome
from curation.stage import Done, Failed, Resources
from curation.step import ClipStep, StepRequest
from curation.steps import STEPS, StepInfo
from curation.table_writer import Writer


@dataclass(frozen=True, slots=True)
class MeasuredLength(ClipOutcome):
    units: int | None = None


@dataclass(frozen=True)
class Batch:
    key: str
    clips: tuple[Clip, ...]


@dataclass(frozen=True)
class MeasureLength:
    unit_s: float = 1.0
    version: ClassVar[int] = 1

    @property
    def resources(self) -> Resources:
        return Resources()

    def setup(self) -> Callable[[Batch], list[MeasuredLength]]:
        return self.measure

    def measure(self, batch: Batch) -> list[MeasuredLength]:
        return [
            MeasuredLength(c.clip_id, c.source_id, "failed", "corrupt", "begins with a")
            if c.start_frame == 0
            else MeasuredLength(
                c.clip_id, c.source_id, "measured", units=round((c.end_s - c.start_s) / self.unit_s)
            )
            for c in batch.clips
        ]


@dataclass(frozen=True)
class MeasureStep(ClipStep):
    name: str = "measure"
    result: str = "measured/length"

    @property
    def tables(self) -> dict[str, type]:
        return {self.result: MeasuredLength}

    def todo(self) -> list[Batch]:
        clips = self.read_clips(self.unfinished_ids())
        return [Batch("all", tuple(clips))] if clips else []

    def split(self, item: Batch) -> list[Batch]:
        return [Batch(clip.clip_id, (clip,)) for clip in item.clips]

    def ledger(self, writer: Writer, items: Sequence[Batch]) -> MeasureLedger:
        self.drop_retried(writer, items)
        return MeasureLedger(self, writer)


@dataclass(frozen=True)
class MeasureLedger:
    step: MeasureStep
    writer: Writer

    def commit(self, results: Sequence[tuple[Batch, Done | Failed]]) -> Counter[str]:
        rows = [row for _, outcome in results for row in outcome.value]
        self.writer.append(self.step.result, records.to_table(MeasuredLength, rows))
        return Counter(row.reason or row.outcome for row in rows)


def plan(request: StepRequest) -> MeasureStep:
    stage = request.settings.others["length"]
    return MeasureStep(request.dataset, stage, request.selection_id, request.retry)


STEPS["measure"] = StepInfo(
    name="measure",
    help="Measure how long the kept clips are.",
    examples=("reelmill measure out",),
    unit="clips",
    section="length",
    reads=(),
    record="tests.pipelines.further_step:MeasuredLength",
    outcomes="measured",
    success="measured",
    plan=f"{__name__}:plan" if __name__ != "__main__" else "tests.pipelines.further_step:plan",
    settings="tests.pipelines.further_step:MeasureLength",
)

if __name__ == "__main__":
    from pipelines.cli.app import run

    run()
