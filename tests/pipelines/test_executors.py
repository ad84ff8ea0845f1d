"""One suite for both executors, and cases that only one of them can meet."""

import contextlib
import signal
import socket
import threading
import time
from dataclasses import dataclass

import psutil
import pytest

from curation.errors import InfrastructureError
from curation.stage import Done, Failed, Fault, Resources, Unavailable, attempt
from pipelines.run.engine import Engine, in_process
from pipelines.run.executor import Feed, SizedExecutor, WorkerLimits
from pipelines.run.local_workers import LocalWorkers
from pipelines.run.ray_workers import RayWorkers
from pipelines.run.stage_setup import set_up_stage
from pipelines.run.step_runner import Progress, run_step
from pipelines.run.workers import ClusterError, InProcessWorkers
from tests.outputs import ROOT
from tests.pipelines.stages import Shout, Stillborn, Word, WordStep


@pytest.fixture(scope="module")
def ray_executor():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        workers = RayWorkers("local", cpus=2, object_store_mb=150)
        yield Engine(workers, WorkerLimits(max=2))
        workers.close()


@pytest.fixture(scope="module")
def local_executor():
    workers = LocalWorkers()
    yield Engine(workers, WorkerLimits(max=2))
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

    run_step(step, Killed(InProcessWorkers(), WorkerLimits(max=1)), Progress())
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
        list(Engine(ray_executor.workers, WorkerLimits(max=workers)).run([feed]))


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
        run_step(step, Killing(workers, WorkerLimits(max=2)), Progress())
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
