"""Two runs on one output at once: each is right or refused in one sentence, nothing doubles."""

from __future__ import annotations

import contextlib
import random
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from curation.dataset import Dataset
from curation.lease import FOLDER
from curation.sample import SOURCES, Coding, write_numbered_video
from pipelines.verify import verify
from tests.faults.steps import STEPS, Worker, rows_at, table_versions, worker

pytestmark = pytest.mark.faults
REFUSALS = ("LeaseHeldError", "StaleWriterError")
DONE = len(STEPS)


class Run(NamedTuple):
    """What one of two runs does: steps in turn, with settings and reasons to retry."""

    steps: tuple[str, ...]
    settings: tuple[str, ...] = ()
    retry: tuple[str, ...] = ()


STRICT = ("policy.limits.motion.min=0.9",)
LOOSE = ("policy.near_duplicates=null",)
RACES = {
    "scan, scan": (0, Run(("scan",)), Run(("scan",))),
    "curate, curate": (0, Run(STEPS[:5]), Run(STEPS[:5])),
    "two policies": (1, Run(("select",), STRICT), Run(("select",), LOOSE)),
    "the same policy": (1, Run(("select",)), Run(("select",))),
    "render, render": (2, Run(("render",)), Run(("render",))),
    "render, select": (2, Run(("render",)), Run(("select",), LOOSE)),
    "caption, select": (3, Run(("caption",)), Run(("select",), LOOSE)),
    "tokenize, tokenize": (4, Run(("tokenize",)), Run(("tokenize",))),
    "tokenize, retry": (4, Run(("tokenize",)), Run(("scan",), (), ("not_video",))),
    "index, index": (5, Run(("index",)), Run(("index",))),
    "index, select": (5, Run(("index",)), Run(("select",), LOOSE)),
    "retry, retry": (2, *[Run(("scan",), (), ("not_video",))] * 2),
}
"""How many steps have run before, and the two runs."""
TOGETHER = {
    "caption, tokenize": (3, Run(("caption",)), Run(("tokenize",))),
    "two tokenizers": (3, Run(("tokenize",)), Run(("tokenize",), ("tokenizer=pca-4x8x8",))),
    "a new score, tokenize": (
        3, Run(("scan",), ("scan.scores=[Motion, Sharpness]",)), Run(("tokenize",)),
    ),
    "compact, tokenize": (3, Run(("compact",)), Run(("tokenize",))),
    "compact, scan again": (3, Run(("compact",)), Run(("scan",), (), ("not_video",))),
}  # fmt: skip
"""The same of runs that fill different tables, or merge files: neither is refused."""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Path]]:
    """A folder of videos, and outputs after so many steps."""
    folder = tmp_path_factory.mktemp("race")
    (folder / "videos").mkdir()
    write_numbered_video(folder / "videos/a.mp4", 60, cuts=(30,), coding=Coding(crf=30))
    SOURCES["notes.mp4"](folder / "videos/notes.mp4")
    out, states = folder / "out", [folder / f"after-{n}" for n in range(DONE)]
    out.mkdir()
    with worker() as run:
        for state, step in zip(states, STEPS, strict=True):
            shutil.copytree(out, state)
            assert run(step, (str(folder / "videos"), str(out)))[0] == 0
    return str(folder / "videos"), states


@pytest.fixture(scope="module")
def workers() -> Iterator[tuple[Worker, Worker]]:
    with worker() as one, worker() as two:
        yield one, two


@contextlib.contextmanager
def removed_leases(out: Path, is_on: bool) -> Iterator[None]:
    """Removes leases as they come, as if they had expired: only the tables' fences are left."""
    stop = threading.Event()

    def remove() -> None:
        while not stop.wait(0.005):
            for path in (out / FOLDER).glob("[!.]*.json"):
                path.unlink(missing_ok=True)

    thread = threading.Thread(target=remove, daemon=True)
    if is_on:
        thread.start()
    yield
    stop.set()
    if is_on:
        thread.join()


def state_of(out: Path) -> dict[str, list[dict[str, object]]]:
    dataset = Dataset(out)
    return {name: rows_at(dataset, name) for name in table_versions(dataset) if name != "runs"}


@pytest.mark.full_seeds(5)
@pytest.mark.parametrize("race", [*RACES, *TOGETHER])
def test_each_of_two_runs_is_right_or_refused(  # noqa: PLR0917
    race, fault_seed, job, workers, tmp_path, record_fault
):
    rng = random.Random(f"{race} {fault_seed}")
    videos, states = job
    before, *runs = (RACES | TOGETHER)[race]
    out, reference = tmp_path / "out", tmp_path / "reference"
    shutil.copytree(states[before], out)
    shutil.copytree(states[before], reference)
    outcomes: list[str] = ["", ""]

    def work(number: int, process, place: Path, delay_s: float) -> None:
        time.sleep(delay_s)
        run = runs[number]
        for step in run.steps:
            status, _ = process(step, (videos, str(place)), settings=run.settings, retry=run.retry)
            outcomes[number] = process.error
            if status:
                return

    with removed_leases(out, rng.random() < 0.5 and race in RACES):
        threads = [
            threading.Thread(target=work, args=(n, process, out, rng.uniform(0, 0.2)))
            for n, process in enumerate(workers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for outcome in outcomes:
        assert not outcome or outcome.startswith(REFUSALS), outcome
    assert not all(outcomes), f"both were refused: {outcomes}"
    assert race in RACES or not any(outcomes), outcomes
    start = time.monotonic()
    for number, process in enumerate(workers):
        for place in (out, reference):
            work(number, process, place, 0)
            assert not outcomes[number], outcomes[number]
    recovery_s = time.monotonic() - start
    found, expected = state_of(out), state_of(reference)
    assert found.keys() == expected.keys()
    lost = sum(max(0, len(expected[name]) - len(found[name])) for name in found)
    doubled = sum(max(0, len(found[name]) - len(expected[name])) for name in found)
    assert [r.violations for r in verify(Dataset(out)) if not r.holds] == []
    wrong = sum(found[name] != expected[name] for name in found)
    record_fault(
        "two runs on one output", lost=lost, doubled=doubled, wrong=wrong, recovery_s=recovery_s
    )
