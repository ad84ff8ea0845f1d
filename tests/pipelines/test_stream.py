"""Render and the steps that read renders run as one stream, with the rows of each step alone."""

import shutil

import pytest

from curation.dataset import Dataset
from curation.sample import write_numbered_video
from curation.stage import Unavailable
from pipelines import config
from pipelines.run.engine import Engine, in_process
from pipelines.run.executor import WorkerLimits
from pipelines.run.pipeline import Pipeline
from tests.outputs import assert_same, tables
from tests.pipelines.conftest import command, profile
from tests.pipelines.simulated_workers import SimulatedWorkers
from tests.run_folder import made_once

STEPS = ("render", "caption", "tokenize")


def scan_and_select(folder):
    """Clips of four sources, selected and not rendered yet."""
    file = folder / "profile.yaml"
    file.write_text(profile())
    for number in range(4):
        write_numbered_video(
            folder / f"videos/{number}.mp4", 72, cuts=[24, 48], size=(96, 64), first=500 * number
        )
    command("scan", folder / "videos", "--out", folder / "out", "--config", file)
    return command("select", folder / "out", "--config", file).code


@pytest.fixture(scope="session")
def selected(tmp_path_factory):
    folder, code = made_once(tmp_path_factory, "selected", scan_and_select)
    assert code == 0
    return folder


@pytest.fixture(scope="session")
def step_by_step(selected, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "out"
    shutil.copytree(selected / "out", out)
    for step in STEPS:
        open_pipeline(selected, out).run(step)
    return out


def open_pipeline(selected, out, executor=None) -> Pipeline:
    settings = config.load(str(selected / "profile.yaml"))
    return Pipeline(Dataset(str(out)), settings, executor or in_process())


class RecordingEngine(Engine):
    """Notes in which order outcomes came."""

    def run(self, feeds):
        self.stages = getattr(self, "stages", [])
        self.counts = [feed.count for feed in feeds]
        for feed, outcome in super().run(feeds):
            self.stages.append(type(feed.stage).__name__)
            yield feed, outcome


@pytest.mark.parametrize("workers", [1, 5])
def test_a_stream_gives_the_rows_and_bytes_of_one_step_after_the_other(
    selected, step_by_step, tmp_path, monkeypatch, workers
):
    monkeypatch.setattr("pipelines.run.step_runner._COMMIT_FOR_OTHERS_S", 0.0)
    out = tmp_path / "out"
    shutil.copytree(selected / "out", out)
    executor = RecordingEngine(SimulatedWorkers(2 * workers))
    calls: dict[str, list[tuple[int, int]]] = {}

    def on_progress(step):
        return lambda done, total, _: calls.setdefault(step, []).append((done, total))

    done = open_pipeline(selected, out, executor).run_all(STEPS, on_progress)
    kept = done["render"].done
    assert kept >= 8
    assert {step: progress.done for step, progress in done.items()} == dict.fromkeys(STEPS, kept)
    assert {step: shown[-1] for step, shown in calls.items()} == dict.fromkeys(STEPS, (kept, kept))
    assert {total for shown in calls.values() for _, total in shown} == {kept}
    assert_same(out, step_by_step)
    last_render = len(executor.stages) - executor.stages[::-1].index("RenderClips")
    assert executor.counts[1] == 5, "by its items to come an executor is chosen"
    if workers == 1:
        assert executor.stages.index("Tokenize") < last_render, "tokens wait for their clip alone"


def test_a_stream_resumes_each_clip_where_it_stands(selected, step_by_step, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(selected / "out", out)
    open_pipeline(selected, out, StopsAfter(3)).run_all(STEPS)
    found = tables(out)
    rendered = next(rows for name, rows in found.items() if name.startswith("renders/"))
    assert rendered
    done = open_pipeline(selected, out).run_all(STEPS)
    assert done["render"].done > 0
    assert_same(out, step_by_step)
    assert open_pipeline(selected, out).run_all(STEPS) == dict.fromkeys(STEPS)


class StopsAfter(Engine):
    """After some items the sources are gone."""

    def __init__(self, items: int) -> None:
        super().__init__(in_process().workers, WorkerLimits(max=1))
        self.items = items

    def run(self, feeds):
        for feed, outcome in super().run(feeds):
            self.items -= 1
            yield feed, outcome if self.items >= 0 else Unavailable(outcome.key, "gone")


def test_a_clip_whose_render_failed_is_no_token_and_no_worry(selected, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(selected / "out", out)
    shutil.copytree(selected / "videos", tmp_path / "videos")
    executor = RecordingEngine(SimulatedWorkers(4, lambda key: key.endswith("+1") and key < "8"))
    done = open_pipeline(selected, out, executor).run_all(STEPS)
    render, tokens = done["render"].counts, done["tokenize"].counts
    assert render["internal"] > 0
    assert render["rendered"] > 0
    assert tokens["tokenized"] + tokens["internal"] == render["rendered"]
