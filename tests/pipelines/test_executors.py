"""One suite for both executors, and what only one of them can meet."""

import contextlib
from collections import Counter
from pathlib import Path

import pytest

from curation.reasons import EnvironmentFaultError
from curation.stage import Done, Failed, Fault
from pipelines.drive import Tally, drive
from pipelines.executor import ClusterError, ExecutorLostError, InProcess
from tests.outputs import ROOT
from tests.pipelines.stages import Shout, Word


@pytest.fixture(scope="module")
def ray_executor():
    from pipelines.ray_executor import OnRay, cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with cluster("local", cpus=2, object_store_mb=150):
            yield OnRay(workers=2)


@pytest.fixture(params=["in_process", "ray"])
def executor(request):
    return InProcess() if request.param == "in_process" else request.getfixturevalue("ray_executor")


class Words:
    """A step over words, whose ledger is a dictionary."""

    name = "shout"
    result = "words"

    def __init__(self, folder: Path, words: list[str]) -> None:
        self.stage = Shout(str(folder))
        self.words = words
        self.committed: dict[str, Done | Failed] = {}

    def todo(self):
        return [Word(word) for word in self.words if word not in self.committed]

    def split(self, item):
        return [item]

    def weight(self, item):
        return 1

    @contextlib.contextmanager
    def ledger(self):
        yield self

    def commit(self, results):
        for item, outcome in results:
            assert item.key not in self.committed, "committed twice"
            self.committed[item.key] = outcome
        return Counter(type(outcome).__name__ for _, outcome in results)


def test_each_item_has_one_outcome(executor, tmp_path):
    items = [Word(word) for word in ("one", "bad", "bug", "fluke", "full", "down", "two")]
    outcomes = {o.key: o for o in executor.run(Shout(str(tmp_path)), items)}
    assert outcomes.keys() == {item.key for item in items}
    assert outcomes["one"].value == "ONE"
    assert outcomes["fluke"].value == "FLUKE"
    assert outcomes["bad"] == Failed("bad", "corrupt", "a bad word")
    assert outcomes["bug"].reason == "internal"
    assert outcomes["bug"].detail.startswith("KeyError: 'a bug' (stages.py:")
    assert isinstance(outcomes["full"], Fault)
    assert outcomes["down"] == Fault("down", "storage is down")
    assert (tmp_path / "bad").read_text() == "."
    assert (tmp_path / "bug").read_text() == ".."


def test_driving_commits_everything_once(executor, tmp_path):
    step, tally = Words(tmp_path, ["one", "bad", "bug", "two", "three"]), Tally()
    seen: list[tuple[int, int]] = []
    drive(step, executor, tally, lambda done, total, _: seen.append((done, total)))
    assert {k: type(o) for k, o in step.committed.items()} == {
        "one": Done, "two": Done, "three": Done, "bad": Failed, "bug": Failed
    }  # fmt: skip
    assert tally.counts == {"Done": 3, "Failed": 2}
    assert seen[0] == (0, 5)
    assert seen[-1] == (5, 5)


def test_a_fault_stops_and_keeps_what_was_done(executor, tmp_path):
    step = Words(tmp_path, ["one", "full"])
    with pytest.raises(EnvironmentFaultError, match="No space left"):
        drive(step, executor, Tally())
    assert "full" not in step.committed
    step.words = ["one", "two"]
    drive(step, executor, Tally())
    assert {k: o.value for k, o in step.committed.items()} == {"one": "ONE", "two": "TWO"}


def test_a_worker_that_dies_once_loses_nothing(ray_executor, tmp_path):
    step = Words(tmp_path, ["one", "deadly once", "two"])
    drive(step, ray_executor, Tally())
    assert {k: o.value for k, o in step.committed.items()} == {
        "one": "ONE", "two": "TWO", "deadly once": "DEADLY ONCE"
    }  # fmt: skip


def test_an_item_that_kills_every_worker_fails_by_name_and_alone(ray_executor, tmp_path):
    words = [f"word {n}" for n in range(12)]
    step = Words(tmp_path, [*words[:3], "deadly", *words[3:]])
    drive(step, ray_executor, Tally())
    deadly = step.committed.pop("deadly")
    assert deadly == Failed("deadly", "internal", "its worker died each time it was tried alone")
    assert {k: o.value for k, o in step.committed.items()} == {w: w.upper() for w in words}


def test_too_many_workers_are_refused(ray_executor, tmp_path):
    from pipelines.ray_executor import OnRay

    with pytest.raises(ClusterError, match=r"the cluster has 3 CPUs.*50 workers of 0\.5 CPUs"):
        list(OnRay(workers=50).run(Shout(str(tmp_path)), [Word("one")]))


def test_only_the_suspects_are_tried_alone(tmp_path):
    """Of many items left when workers die, those that were not at work go on together."""
    runs: list[int] = []

    class Fragile(InProcess):
        def run(self, stage, items):
            runs.append(len(items))
            if len(items) > 1 and any(item.key == "w1" for item in items):
                yield from super().run(stage, items[:1])
                raise ExecutorLostError("gone", 3)
            yield from super().run(stage, items)

    step = Words(tmp_path, [f"w{n}" for n in range(40)])
    drive(step, Fragile(), Tally())
    assert len(step.committed) == 40
    assert runs == [40, 36, 1, 1, 1]
