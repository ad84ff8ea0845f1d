"""How the engine shares workers between stages, and finds the items that kill them."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from curation.errors import InfrastructureError
from curation.stage import Failed, Fault, Resources, attempt
from pipelines.run.engine import Engine, in_process
from pipelines.run.executor import Feed, WorkerLimits
from pipelines.run.stage_setup import set_up_stage
from pipelines.run.step_runner import Progress, run_step
from tests.pipelines.simulated_workers import SimulatedWorkers
from tests.pipelines.stages import Shout, Word, WordStep


@pytest.mark.parametrize("workers", [1, 4, 64])
@pytest.mark.parametrize(
    "deadly", [{"w300"}, {"w0"}, {"w0", "w1", "w2"}, {"w1", "w500", "w998"}, {"w998", "w999"}]
)
def test_deadly_items_fail_and_no_others(tmp_path, deadly, workers):
    step, progress = WordStep(tmp_path, [f"w{n}" for n in range(1000)]), Progress()
    simulated = SimulatedWorkers(workers, deadly.__contains__)
    run_step(step, Engine(simulated), progress)
    assert progress.counts == {"Done": 1000 - len(deadly), "Failed": len(deadly)}
    assert {k for k, o in step.committed.items() if isinstance(o, Failed)} == deadly
    assert step.committed[min(deadly)].detail == "its worker died each time it was tried alone"
    assert simulated.starts <= 2 * workers + 4 * len(deadly), "an item is tried four times"


@pytest.mark.parametrize("workers", [1, 64])
def test_where_no_worker_lives_nothing_is_blamed(tmp_path, workers):
    step = WordStep(tmp_path, [f"w{n}" for n in range(1000)])
    simulated = SimulatedWorkers(workers, bool)
    with pytest.raises(InfrastructureError, match="every worker died"):
        run_step(step, Engine(simulated), Progress())
    assert not step.committed
    assert simulated.starts <= 2 * workers + 4


def test_a_lonely_deadly_item_fails(tmp_path):
    step = WordStep(tmp_path, ["w0"])
    run_step(step, Engine(SimulatedWorkers(1, bool)), Progress())
    assert isinstance(step.committed["w0"], Failed)


class BagStep(WordStep):
    """A step over bags of letters, as `abc`."""

    def split(self, item):
        return [Word(letter) for letter in item.key]

    def weight(self, item):
        return len(item.key)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_deadly_item_is_split_and_the_total_stays_the_same(tmp_path, workers):
    step, progress = BagStep(tmp_path, ["abc", "defghijk", "lm"]), Progress()
    calls: list[tuple[int, int]] = []
    engine = Engine(SimulatedWorkers(workers, lambda key: "g" in key))
    run_step(step, engine, progress, lambda done, total, _: calls.append((done, total)))
    assert step.committed.keys() == {"abc", "lm", *"defghijk"}
    assert [k for k, o in step.committed.items() if isinstance(o, Failed)] == ["g"]
    assert {total for _, total in calls} == {13}
    assert calls[-1] == (13, 13)


@dataclass(frozen=True)
class Echo(Shout):
    """Another stage."""


def chain(folder: Path, engine: Engine, words: list[str]) -> list[tuple[str, str]]:
    """Shouts words and echoes each as soon as it has been shouted; what happened in order."""
    shout = Feed.of(Shout(str(folder)), [Word(word) for word in words])
    echo = Feed(Echo(str(folder)), source=shout)
    done: list[tuple[str, str]] = []
    for feed, outcome in engine.run([shout, echo]):
        done.append((type(feed.stage).__name__, outcome.key))
        if feed is shout:
            echo.items.append(Word(f"{outcome.key}, {outcome.key}"))
        assert len(echo.items) <= 4 * 64, "little lies between stages"
    return done


@pytest.mark.parametrize(("cpus", "holds_idle"), [(0.5, True), (1, True), (8, True), (8, False)])
def test_stages_in_a_row_share_the_workers_and_what_is_further_down_comes_first(
    tmp_path, monkeypatch, cpus, holds_idle
):
    monkeypatch.setattr("pipelines.run.engine._IDLE_S", 0.0)
    words = [f"w{n}" for n in range(200)]
    simulated = SimulatedWorkers(cpus, depth=2 if holds_idle else 1, holds_idle=holds_idle)
    done = chain(tmp_path, Engine(simulated), words)
    assert sorted(done) == sorted(
        [("Shout", word) for word in words] + [("Echo", f"{word}, {word}") for word in words]
    )
    first = done.index(("Echo", "w0, w0"))
    assert first < 60, "long before all have been shouted"


def test_stages_in_a_row_in_one_process_take_turns(tmp_path):
    done = chain(tmp_path, in_process(), ["a", "b"])
    assert done == [("Shout", "a"), ("Echo", "a, a"), ("Shout", "b"), ("Echo", "b, b")]


@dataclass(frozen=True)
class OnGpu(Shout):
    """A stage on a GPU."""

    cpus: float = 0.1

    @property
    def resources(self):
        return Resources(self.cpus, 1.0, 1)


def batches_on_a_gpu(folder: Path, cpus: float, gpu_cpus: float) -> SimulatedWorkers:
    """Shouts 40 words, which a GPU takes eight at a time; the workers that did it."""
    on_gpu = OnGpu(str(folder), cpus=gpu_cpus)
    return batches(SimulatedWorkers(cpus, gpus=1.0), on_gpu, WorkerLimits())


def batches(simulated: SimulatedWorkers, last: Shout, limits: WorkerLimits) -> SimulatedWorkers:
    """Shouts 40 words, which the last stage takes eight at a time."""
    batch: list[str] = []
    shout = Feed.of(Shout(last.folder), [Word(f"w{n}") for n in range(40)])

    def refill(is_last):
        while len(batch) >= 8:
            feed_of_last.items.append(Word("+".join(batch[:8])))
            del batch[:8]

    feed_of_last = Feed(last, source=shout, refill=refill)
    for feed, outcome in Engine(simulated, limits).run([shout, feed_of_last]):
        if feed is shout:
            batch.append(outcome.key)
    assert feed_of_last.finished == 5
    return simulated


@pytest.mark.parametrize(("least", "most"), [(0, 1), (1, 1), (2, 3)])
def test_so_many_workers_stay_though_idle(tmp_path, monkeypatch, least, most):
    monkeypatch.setattr("pipelines.run.engine._IDLE_S", 0.0)
    monkeypatch.setattr("pipelines.run.engine._RELEASE_S", -1.0)
    limits = WorkerLimits(least, most)
    simulated = batches(SimulatedWorkers(4), Echo(str(tmp_path)), limits)
    started = simulated.started.count("Echo")
    assert started == least if least else started > most


def test_of_two_stages_that_keep_more_than_there_is_room_for_both_have_a_worker(tmp_path):
    batches(SimulatedWorkers(2), Echo(str(tmp_path)), WorkerLimits(min=2))


def test_a_worker_on_a_gpu_loads_its_models_ahead_and_keeps_them(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.run.engine._IDLE_S", 0.0)
    monkeypatch.setattr("pipelines.run.engine._RELEASE_S", -1.0)
    simulated = batches_on_a_gpu(tmp_path, cpus=1.55, gpu_cpus=0.1)
    assert simulated.started.count("OnGpu") == 1
    assert simulated.started.index("OnGpu") < 4, "before the first batch is there"


def test_where_only_one_of_two_stages_has_room_they_take_turns(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.run.engine._IDLE_S", 0.0)
    simulated = batches_on_a_gpu(tmp_path, cpus=1.0, gpu_cpus=1.0)
    assert simulated.started.count("OnGpu") > 1


def test_how_workers_are_used_is_counted(tmp_path, monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr("pipelines.run.engine.time.monotonic", lambda: float(next(clock)))
    feed = Feed.of(Shout(str(tmp_path)), [Word(f"w{n}") for n in range(20)])
    shares = []
    for _ in Engine(SimulatedWorkers(2)).run([feed]):
        assert feed.load.workers <= 4
        shares.append(feed.load.busy_share)
    assert feed.load.waiting == 0
    assert 0 < feed.load.busy_s <= feed.load.worker_s
    assert max(shares) > 0.9, "both have items until the end"


@dataclass(frozen=True)
class Third(Shout):
    """One more stage."""


def test_the_last_of_three_stages_waits_until_both_before_it_have_finished(tmp_path):
    shout = Feed.of(Shout(str(tmp_path)), [Word(f"w{n}") for n in range(20)])
    echo = Feed(Echo(str(tmp_path)), source=shout)
    told: list[tuple[bool, int]] = []
    last = Feed(
        Third(str(tmp_path)), source=echo,
        refill=lambda is_last: told.append((is_last, echo.finished)),
    )  # fmt: skip
    for feed, outcome in Engine(SimulatedWorkers(1)).run([shout, echo, last]):
        if feed is shout:
            echo.items.append(Word(f"{outcome.key}, {outcome.key}"))
    assert (True, 20) in told
    assert not [finished for is_last, finished in told if is_last and finished < 20]


def test_a_stage_that_cannot_be_read_by_a_worker_says_why(tmp_path):
    outcome = attempt(set_up_stage(b"cthere\nis none\n."), Word("a"))
    assert isinstance(outcome, Fault)
    assert (
        "a stage cannot be set up: ModuleNotFoundError: No module named 'there'" in outcome.detail
    )
