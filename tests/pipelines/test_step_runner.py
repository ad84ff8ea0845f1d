"""How a step's outcomes are committed: in slices, by bytes and by time."""

from dataclasses import dataclass

import pytest

from curation.stage import Done, Failed
from pipelines.run.engine import Engine
from pipelines.run.step_runner import Progress, run_step
from tests.pipelines.simulated_workers import SimulatedWorkers
from tests.pipelines.stages import Word, WordStep


class Counted(list):
    """A work list of which only slices are taken."""

    def __getitem__(self, index):
        assert isinstance(index, slice)
        self.slices = [*getattr(self, "slices", []), (index.start, index.stop)]
        return super().__getitem__(index)


def test_a_long_work_list_is_worked_off_in_slices(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.run.step_runner._SLICE", 40)
    step = WordStep(tmp_path, [])
    words = Counted(Word(f"w{n}") for n in range(100))
    monkeypatch.setattr(WordStep, "todo", lambda _: words)
    calls: list[tuple[int, int]] = []
    engine = Engine(SimulatedWorkers(2, {"w3", "w90"}.__contains__))
    run_step(step, engine, Progress(), lambda done, total, _: calls.append((done, total)))
    assert words.slices == [(0, 40), (40, 80), (80, 120)]
    assert {k for k, o in step.committed.items() if isinstance(o, Failed)} == {"w3", "w90"}
    assert len(step.committed) == 100
    assert {total for _, total in calls} == {100}
    assert calls[-1] == (100, 100)


@dataclass(frozen=True)
class Large:
    """The result of a worker that states its size."""

    nbytes: int


@pytest.mark.parametrize(
    ("nbytes", "second_s", "commits"),
    [(0, 0.0, 1), (1 << 20, 0.0, 100 // 16 + 1), (0, 10.0, 50), (0, 10_000.0, 100)],
)
def test_commits_come_by_bytes_and_by_time(tmp_path, monkeypatch, nbytes, second_s, commits):
    """Of 100 results; every one takes `second_s`, and late ones wait for at most five minutes."""
    step, clock, committed = WordStep(tmp_path, [f"w{n}" for n in range(100)]), [0.0], []
    monkeypatch.setattr("pipelines.run.step_runner.time.monotonic", lambda: clock[0])

    class Timed:
        def run(self, feeds):
            while feeds[0].fill(is_last=True):
                clock[0] += second_s
                yield feeds[0], Done(feeds[0].items.popleft().key, Large(nbytes), 0.0)

    ledger = step.ledger(None, [])
    commit = ledger.commit
    monkeypatch.setattr(
        type(ledger), "commit", lambda _, results: committed.append(len(results)) or commit(results)
    )
    run_step(step, Timed(), Progress())
    assert sum(committed) == 100
    assert len(committed) == commits
