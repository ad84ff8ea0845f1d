"""How other engines do the work of `engine.py`, each in an environment of its own.

    python benchmarks/peers/engine.py ENGINE WORK ROWS

Prints the sum of the numbers of all rows that came out.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from dataclasses import dataclass, field
from typing import Any

import engine_work as work_module
from engine_work import Work, decode, infer, measure, note

ENGINES = {
    "xenna": ["cosmos-xenna==0.3.0", "tqdm==4.67.1"],
    "nemo": ["nemo-curator==1.4.0"],
}
"""What the environment of each holds."""


def run_xenna(work: Work) -> list[int]:
    """Its streaming mode; more slots for the stage that is a single worker."""
    from cosmos_xenna.pipelines import v1 as xenna

    class Decode(xenna.Stage):
        required_resources = xenna.Resources(cpus=0.6)

        def setup(self, _: Any) -> None:
            note("decode")

        def process_data(self, rows: list[int]) -> list[bytes]:
            return [decode(work, number) for number in rows]

    class Measure(xenna.Stage):
        required_resources = xenna.Resources(cpus=0.3)

        def setup(self, _: Any) -> None:
            note("measure")

        def process_data(self, rows: list[bytes]) -> list[bytes]:
            return [measure(work, payload) for payload in rows]

    class Infer(xenna.Stage):
        required_resources = xenna.Resources(cpus=0.1)
        stage_batch_size = work.batch

        def setup(self, _: Any) -> None:
            note("infer")

        def process_data(self, rows: list[bytes]) -> list[int]:
            return infer(work, rows)

    answer = xenna.run_pipeline(
        xenna.PipelineSpec(
            input_data=list(range(work.rows)),
            stages=[
                xenna.StageSpec(Decode()), xenna.StageSpec(Measure()),
                xenna.StageSpec(Infer(), num_workers=1),
            ],
            config=xenna.PipelineConfig(
                return_last_stage_outputs=True, logging_interval_s=600,
                mode_specific=xenna.StreamingSpecificSpec(autoscale_interval_s=2.0),
            ),
        )
    )  # fmt: skip
    return list(answer or [])


def run_nemo(work: Work) -> list[int]:
    """On its Ray Data executor."""
    import ray
    from nemo_curator.backends.ray_data import RayDataExecutor
    from nemo_curator.pipeline import Pipeline
    from nemo_curator.stages.base import ProcessingStage
    from nemo_curator.stages.resources import Resources
    from nemo_curator.tasks import Task

    @dataclass
    class Row(Task[Any]):
        dataset_name: str = "engine"
        data: Any = None
        num_items: int = field(default=1, init=False)

        def validate(self) -> bool:
            return True

    class Decode(ProcessingStage[Row, Row]):
        name, resources, batch_size = "decode", Resources(cpus=0.6), 1

        def setup(self, _: Any = None) -> None:
            note("decode")

        def process(self, row: Row) -> Row:
            return Row(data=decode(work, row.data))

    class Measure(ProcessingStage[Row, Row]):
        name, resources, batch_size = "measure", Resources(cpus=0.3), 1

        def setup(self, _: Any = None) -> None:
            note("measure")

        def process(self, row: Row) -> Row:
            return Row(data=measure(work, row.data))

    class Infer(ProcessingStage[Row, Row]):
        name, resources, batch_size = "infer", Resources(cpus=0.1), work.batch

        def setup(self, _: Any = None) -> None:
            note("infer")

        def num_workers(self) -> int:
            return 1

        def process(self, row: Row) -> Row:
            return self.process_batch([row])[0]

        def process_batch(self, rows: list[Row]) -> list[Row]:
            return [Row(data=number) for number in infer(work, [row.data for row in rows])]

    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False)
    pipeline = Pipeline(name="engine", stages=[Decode(), Measure(), Infer()])
    rows = pipeline.run(RayDataExecutor(), initial_tasks=[Row(data=n) for n in range(work.rows)])
    return [row.data for row in rows or []]


def main() -> None:
    engine, name, rows = sys.argv[1:]
    work = dataclasses.replace(getattr(work_module, name), rows=int(rows))
    numbers = {"xenna": run_xenna, "nemo": run_nemo}[engine](work)
    print(len(numbers), sum(numbers), flush=True)


if __name__ == "__main__":
    main()
