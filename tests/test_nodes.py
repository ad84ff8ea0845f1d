"""One job on a cluster of several nodes, its videos and its output on S3.

Nodes come and go while it runs, and rows and bytes stay those of a run on one machine.
"""

import contextlib
import json
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from curation.sample import Coding, write_numbered_video
from pipelines.run.progress import PROGRESS_VARIABLE
from tests.nodes import Cluster, Node, cluster, network
from tests.outputs import COMMAND, ROOT, assert_same, environment, run
from tests.s3 import serving

pytestmark = pytest.mark.ray

NUM_SOURCES = 15
PROFILE = """
scan:
  shots: {FixedWindows: {}}
  scores: [Exposure]
  embedders: [FrameDct]
policy: {near_duplicates: null}
tokenize:
  tokenizer: pca-8x8x8
  batch: 2
execution: {executor: ray, object_store_mb: 80}
"""
WAIT_S = 300


@pytest.fixture(scope="module")
def joined():
    with network() as made:
        yield made


@pytest.fixture(scope="module")
def bucket(joined):
    with serving("nodes", joined.host) as client:
        yield client


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    path = tmp_path_factory.mktemp("profile") / "profile.yaml"
    path.write_text(PROFILE)
    return path


@pytest.fixture(scope="module")
def videos(bucket, tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for number in range(NUM_SOURCES):
        path = folder / f"{number:02}.mp4"
        write_numbered_video(path, 40 + number, coding=Coding(crf=30))
        bucket.upload_file(str(path), "nodes", f"raw/{path.name}")
    return "s3://nodes/raw"


def download(bucket, name: str, folder: Path) -> Path:
    """A copy of an output on the bucket."""
    for page in bucket.get_paginator("list_objects_v2").paginate(Bucket="nodes", Prefix=f"{name}/"):
        for stored in [each for each in page["Contents"] if not each["Key"].endswith("/")]:
            path = folder / stored["Key"]
            path.parent.mkdir(parents=True, exist_ok=True)
            bucket.download_file("nodes", stored["Key"], str(path))
    return folder / name


@pytest.fixture(scope="module")
def reference(bucket, videos, profile, tmp_path_factory):
    """The same job in one process."""
    ran = run("curate", videos, "--out", "s3://nodes/reference", "--config", str(profile),
              "--set", "executor=in_process")  # fmt: skip
    assert ran.returncode == 0, ran.stderr + ran.stdout
    return download(bucket, "reference", tmp_path_factory.mktemp("reference"))


class Job:
    """The job as it runs on the head, and which nodes have worked for it."""

    def __init__(self, nodes: Cluster, videos: str, out: str, profile: Path, folder: Path) -> None:
        self.progress, self.log = folder / "progress", folder / "log"
        self.progress.unlink(missing_ok=True)
        command = [*nodes.head.prefix, *COMMAND, "curate", videos, "--out", out, "--config",
                   str(profile), "--set", f"execution.address={nodes.address}"]  # fmt: skip
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command, env=environment() | {PROGRESS_VARIABLE: str(self.progress)}, cwd=ROOT,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.seen: Counter[str] = Counter()
        threading.Thread(target=self._look, args=(nodes,), daemon=True).start()

    def _look(self, nodes: Cluster) -> None:
        while self.process.poll() is None:
            self.seen.update(node.address for node in tuple(nodes.nodes) if node.actors())
            time.sleep(0.1)

    def done(self, step: str) -> int:
        """Items of a step that have an outcome."""
        with contextlib.suppress(OSError):
            steps = json.loads(self.progress.read_text())["steps"]
            return sum(entry["done"] for entry in steps if entry["step"] == step)
        return 0

    def wait_for(self, step: str, items: int) -> None:
        self._wait(lambda: self.done(step) >= items)

    def wait_for_work_on(self, node: Node) -> None:
        self._wait(lambda: node.address in self.seen)

    def end(self) -> int:
        try:
            return self.process.wait(WAIT_S)
        finally:
            self.process.kill()

    def _wait(self, reached) -> None:
        ends = time.monotonic() + WAIT_S
        while not reached():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < ends, self.log.read_text()
            time.sleep(0.05)


@pytest.fixture
def start(videos, profile, tmp_path):
    """Starts the job on a cluster."""
    return lambda nodes, out: Job(nodes, videos, f"s3://nodes/{out}", profile, tmp_path)


@pytest.fixture
def assert_as_alone(bucket, reference, tmp_path):
    """Compares an output with that of one process."""
    return lambda out: assert_same(download(bucket, out, tmp_path), reference)


def test_nodes_join_and_die_while_a_job_runs(joined, start, assert_as_alone):
    with cluster(joined) as nodes:
        nodes.add()
        dying = nodes.add()
        job = start(nodes, "joined")
        job.wait_for_work_on(nodes.head)
        job.wait_for_work_on(dying)
        joining = nodes.add()
        job.wait_for_work_on(joining)
        dying.kill()
        assert job.end() == 0, job.log.read_text()
        assert job.seen.keys() == {node.address for node in nodes.nodes}
    assert_as_alone("joined")


@pytest.mark.faults
def test_a_job_whose_head_was_lost_goes_on_with_another_one(joined, start, assert_as_alone):
    with cluster(joined) as nodes:
        nodes.add()
        nodes.add()
        lost = start(nodes, "lost")
        lost.wait_for("scan", NUM_SOURCES // 3)
        nodes.kill()
        assert lost.end() == 4, lost.log.read_text()
        assert "Run the same command again" in lost.log.read_text()
        nodes.add()
        nodes.add()
        again = start(nodes, "lost")
        assert again.end() == 0, again.log.read_text()
    assert_as_alone("lost")
