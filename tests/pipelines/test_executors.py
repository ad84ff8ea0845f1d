"""One suite for both executors, and cases that only one of them can meet."""

import contextlib
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from curation.catalog import Catalog
from curation.errors import InfrastructureError
from curation.stage import Done, Failed, Fault, Resources, Unavailable, attempt
from curation.storage import Storage
from pipelines.run.engine import Engine, in_process
from pipelines.run.executor import Feed, SizedExecutor
from pipelines.run.local_workers import LocalWorkers
from pipelines.run.ray_workers import RayWorkers
from pipelines.run.stage_setup import set_up_stage
from pipelines.run.step_runner import Progress, run_step
from pipelines.run.workers import ClusterError, InProcessWorkers
from tests.outputs import ROOT
from tests.pipelines.simulated_workers import SimulatedWorkers
from tests.pipelines.stages import Shout, Stillborn, Word


@pytest.fixture(scope="module")
def ray_executor():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        workers = RayWorkers("local", cpus=2, object_store_mb=150)
        yield Engine(workers, 2)
        workers.close()


@pytest.fixture(scope="module")
def local_executor():
    workers = LocalWorkers()
    yield Engine(workers, 2)
    workers.close()


WITH_WORKERS = ["local_executor", pytest.param("ray_executor", marks=pytest.mark.ray)]


@pytest.fixture(params=["in_process", *WITH_WORKERS])
def executor(request):
    if request.param == "in_process":
        return in_process()
    return request.getfixturevalue(request.param)


@pytest.fixture(params=WITH_WORKERS)
def mortal_executor(request):
    """One whose workers may die."""
    return request.getfixturevalue(request.param)


class WordStep:
    """A step over words, whose ledger is a dictionary."""

    name = "shout"
    result = "words"
    tables: Mapping[str, type] = {}

    def __init__(self, folder: Path, words: list[str]) -> None:
        self.stage = Shout(str(folder))
        self.catalog = Catalog(Storage.at(folder / "out"))
        self.words = words
        self.committed: dict[str, Done | Failed] = {}

    def check(self):
        pass

    def todo(self):
        return [Word(word) for word in self.words if word not in self.committed]

    def retried(self, items):
        return 0

    def split(self, item):
        return [item]

    def weight(self, item):
        return 1

    def size(self, item):
        return 1.0

    def video_s(self, item, outcome):
        return 0.0

    def finished(self):
        return 0

    def ledger(self, writer, items):
        return self

    def commit(self, results):
        for item, outcome in results:
            assert item.key not in self.committed, "committed twice"
            self.committed[item.key] = outcome
        return Counter(type(outcome).__name__ for _, outcome in results)


WORDS = ("one", "bad", "bug", "fluke", "full", "down", "away", "two")


def test_each_item_has_one_outcome(executor, tmp_path):
    items = [Word(word) for word in WORDS]
    outcomes = {o.key: o for _, o in executor.run([Feed.of(Shout(str(tmp_path)), items)])}
    assert outcomes.keys() == {item.key for item in items}
    assert outcomes["one"].value == "ONE"
    assert outcomes["fluke"].value == "FLUKE"
    assert outcomes["bad"] == Failed("bad", "corrupt", "a bad word")
    assert outcomes["bug"].reason == "internal"
    assert outcomes["bug"].detail.startswith("KeyError: 'a bug' (stages.py:")
    assert isinstance(outcomes["full"], Fault)
    assert outcomes["down"] == Fault("down", "storage is down")
    assert outcomes["away"] == Unavailable("away", "a disk is not mounted")
    assert (tmp_path / "bad").read_text() == "."
    assert (tmp_path / "bug").read_text() == ".."


def test_running_a_step_commits_everything_once(executor, tmp_path):
    step, progress = WordStep(tmp_path, ["one", "bad", "bug", "two", "three"]), Progress()
    calls: list[tuple[int, int]] = []
    run_step(step, executor, progress, lambda done, total, _: calls.append((done, total)))
    assert {k: type(o) for k, o in step.committed.items()} == {
        "one": Done, "two": Done, "three": Done, "bad": Failed, "bug": Failed
    }  # fmt: skip
    assert progress.counts == {"Done": 3, "Failed": 2}
    assert calls[0] == (0, 5)
    assert calls[-1] == (5, 5)


def test_what_a_killed_worker_was_writing_is_removed(tmp_path):
    """The worker that takes its place writes the file again, under another temporary name."""
    step = WordStep(tmp_path, ["one"])
    step.tables = {"words": Word}
    media = tmp_path / "out/words/media"

    class Killed(Engine):
        def run(self, feeds):
            media.mkdir(parents=True)
            (media / ".0badf00d-one.mp4").write_text("half")
            (media / "one.mp4").write_text("whole")
            return super().run(feeds)

    run_step(step, Killed(InProcessWorkers(), 1), Progress())
    assert [path.name for path in media.iterdir()] == ["one.mp4"]


def test_unavailable_items_are_counted_and_left_for_another_run(tmp_path):
    step, progress = WordStep(tmp_path, ["one", "away", "two"]), Progress()
    calls: list[tuple[int, int]] = []
    run_step(step, in_process(), progress, lambda done, total, _: calls.append((done, total)))
    assert step.committed.keys() == {"one", "two"}
    assert progress.counts == {"Done": 2, "unavailable": 1}
    assert calls[-1] == (3, 3)


def test_a_fault_stops_the_run_and_keeps_what_was_committed(executor, tmp_path):
    step = WordStep(tmp_path, ["one", "full"])
    with pytest.raises(InfrastructureError, match="No space left"):
        run_step(step, executor, Progress())
    assert "full" not in step.committed
    step.words = ["one", "two"]
    run_step(step, executor, Progress())
    assert {k: o.value for k, o in step.committed.items()} == {"one": "ONE", "two": "TWO"}


@pytest.mark.parametrize("others", [(), ("one", "two")])
def test_a_worker_that_dies_once_loses_nothing(mortal_executor, tmp_path, others):
    words = ["deadly once", *others]
    step = WordStep(tmp_path, words)
    run_step(step, mortal_executor, Progress())
    assert {k: o.value for k, o in step.committed.items()} == {w: w.upper() for w in words}


def test_an_item_that_kills_every_worker_fails_by_name_and_alone(mortal_executor, tmp_path):
    words = [f"word {n}" for n in range(12)]
    step = WordStep(tmp_path, [*words[:3], "deadly", *words[3:]])
    run_step(step, mortal_executor, Progress())
    deadly = step.committed.pop("deadly")
    assert deadly == Failed("deadly", "internal", "its worker died each time it was tried alone")
    assert {k: o.value for k, o in step.committed.items()} == {w: w.upper() for w in words}


def test_a_worker_with_other_storage_does_no_work(tmp_path):
    def check():
        raise InfrastructureError("node 3 does not see the storage")

    work = set_up_stage(Shout(str(tmp_path)), check)
    outcome = attempt(work, Word("a"))
    assert isinstance(outcome, Fault)
    assert "node 3 does not see the storage" in outcome.detail
    assert not list(tmp_path.iterdir())


def test_workers_that_cannot_start_stop_the_run(mortal_executor, tmp_path):
    step = WordStep(tmp_path, [f"w{n}" for n in range(20)])
    step.stage = Stillborn(str(tmp_path))
    with pytest.raises(InfrastructureError, match="every worker died"):
        run_step(step, mortal_executor, Progress())
    assert not step.committed


@pytest.mark.ray
@pytest.mark.parametrize(
    ("workers", "memory_mb", "message"),
    [
        (50, 100, r"has 2 CPUs: too few for 50 workers that take 0\.5 each, enough for 4;"),
        (2, 10**8, r"MB of memory: too few for 2 workers that take 100000000 each, enough for 0;"),
        (0, 10**8, r"MB of memory: too few for 1 workers"),
    ],
)
def test_too_many_workers_are_refused(ray_executor, tmp_path, workers, memory_mb, message):
    feed = Feed.of(Shout(str(tmp_path), memory_mb), [Word("one")])
    with pytest.raises(ClusterError, match=message):
        list(Engine(ray_executor.workers, workers).run([feed]))


@pytest.mark.ray
@pytest.mark.parametrize("name", ["raylet"])
def test_a_killed_process_of_ray_is_no_items_fault(tmp_path, monkeypatch, name):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    workers = RayWorkers("local", cpus=2, object_store_mb=150)
    step = WordStep(tmp_path, [f"w{n}" for n in range(300)])

    class Killing(Engine):
        def run(self, feeds):
            for number, (feed, outcome) in enumerate(super().run(feeds)):
                if number == 5:
                    kill_child(workers._child.pid, name)
                yield feed, outcome

    with contextlib.suppress(InfrastructureError):  # unless the workers finish first
        run_step(step, Killing(workers, 2), Progress())
    workers.close()
    assert not any(isinstance(outcome, Failed) for outcome in step.committed.values())
    run_step(step, in_process(), Progress())
    assert {k: o.value for k, o in step.committed.items()} == {w: w.upper() for w in step.words}


def kill_child(pid: int, name: str) -> None:
    """Kills the child process of this name."""
    (child,) = [p for p in psutil.Process(pid).children() if p.name() == name]
    child.kill()


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nobody_listens_is_refused_at_once(scheme):
    from pipelines.run.ray_cluster import cluster

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"{scheme}127.0.0.1:{bound.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(ClusterError, match=f"cannot join .* at {address}: .*refused.*check"):
            cluster(address).__enter__()
    assert time.monotonic() - start < 5


def test_errors_of_rays_process_are_raised_here():
    workers = RayWorkers("127.0.0.1:1")
    with pytest.raises(ClusterError, match=r"cannot join .* 127\.0\.0\.1:1: .*refused"):
        workers.total()
    workers.close()


def test_a_process_that_ray_ends_is_an_infrastructure_error():
    """Ray's native code does so when a process of its own dies; here it waits for a cluster."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        workers = RayWorkers(f"127.0.0.1:{mute.getsockname()[1]}")

        def end_it() -> None:
            mute.accept()
            assert workers._child
            workers._child.kill()

        thread = threading.Thread(target=end_it)
        thread.start()
        with pytest.raises(InfrastructureError, match=r"Ray ended in the middle .*exit code -9"):
            workers.total()
        thread.join()
    workers.close()


def test_ray_that_does_not_start_is_an_error_and_signals_are_restored(monkeypatch):
    import ray

    from pipelines.run.ray_cluster import cluster

    def init(**_):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise ConnectionError("wrong token")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ClusterError, match="cannot join the Ray cluster at auto: wrong token"):
        cluster("auto").__enter__()
    with pytest.raises(InfrastructureError, match="a private Ray does not start: wrong token"):
        cluster("local").__enter__()
    assert signal.getsignal(signal.SIGTERM) == handler


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
    simulated, batch = SimulatedWorkers(cpus, gpus=1.0), []
    shout = Feed.of(Shout(str(folder)), [Word(f"w{n}") for n in range(40)])

    def refill(is_last):
        while len(batch) >= 8:
            on_gpu.items.append(Word("+".join(batch[:8])))
            del batch[:8]

    on_gpu = Feed(OnGpu(str(folder), cpus=gpu_cpus), source=shout, refill=refill)
    for feed, outcome in Engine(simulated).run([shout, on_gpu]):
        if feed is shout:
            batch.append(outcome.key)
    assert on_gpu.finished == 5
    return simulated


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


@dataclass(frozen=True)
class Marked:
    name: str

    def run(self, feeds):
        return iter([self.name])


@pytest.mark.parametrize(
    ("count", "gpus", "name"), [(256, 0.0, "small"), (257, 0.0, "large"), (1, 0.5, "large")]
)
def test_few_items_without_a_gpu_need_no_cluster(tmp_path, monkeypatch, count, gpus, name):
    monkeypatch.setattr(Shout, "resources", Resources(1.0, gpus))
    executor = SizedExecutor(Marked("small"), Marked("large"))
    assert list(executor.run([Feed.of(Shout(str(tmp_path)), [Word("a")] * count)])) == [name]
    monkeypatch.setattr(Shout, "resources", Resources(1.0))
    assert list(executor.run([Feed.of(Shout(str(tmp_path)), [Word("a")])])) == [name], (
        "what is left stays"
    )


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
