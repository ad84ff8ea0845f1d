"""An object store that fails now and then: runs go on or stop resumable, and nothing doubles."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from curation.dataset import Dataset
from curation.sample import Coding, write_numbered_video
from pipelines.verify import verify
from tests import s3
from tests.faults.steps import Worker, rows_at, table_versions, worker

pytestmark = [pytest.mark.faults, pytest.mark.s3]
STEPS = ("scan", "select", "render", "caption", "tokenize")
SAMPLE = ("scan", "select")
MOST_S = 300
"""Of one step, whatever fails."""
REFUSALS = ("InfrastructureError", "StaleWriterError", "DamagedLogError")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("s3")
    write_numbered_video(folder / "a.mp4", 60, cuts=(30,), coding=Coding(crf=30))
    return str(folder)


@contextlib.contextmanager
def worker_behind(decide: s3.Decide, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A worker that reaches the store through a proxy; this process reaches it directly."""
    direct = os.environ["AWS_ENDPOINT_URL"]
    with s3.proxy(decide) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with worker() as run:
            monkeypatch.setenv("AWS_ENDPOINT_URL", direct)
            yield run


def state_of(out: str) -> dict[str, list[dict[str, object]]]:
    dataset = Dataset(out)
    return {name: rows_at(dataset, name) for name in table_versions(dataset) if name != "runs"}


@pytest.mark.full_seeds(20)
def test_a_store_that_fails_now_and_then(  # noqa: PLR0917
    request, fault_seed, videos, monkeypatch, tmp_path, record_fault
):
    rng = random.Random(fault_seed)
    rate, failing = rng.uniform(0.01, 0.3), False
    faults: Counter[str] = Counter()

    def decide(method: str, path: str) -> s3.Fault | None:
        if not failing or rng.random() > rate:
            return None
        fault = rng.choice(["error", "reset", "lost", "slow", "cut"])
        faults[fault] += 1
        return fault

    steps = STEPS if request.config.getoption("--fault-scale") == "full" else SAMPLE
    out, worst_s = s3.bucket(monkeypatch) + "/out", 0.0
    with worker_behind(decide, monkeypatch) as run:
        for step in steps:
            failing, start = True, time.monotonic()
            run(step, (videos, out))
            worst_s = max(worst_s, time.monotonic() - start)
            assert not run.error or run.error.startswith(REFUSALS), run.error
            assert "\n" not in run.error
            failing = False
            assert run(step, (videos, out))[0] == 0, run.error
    assert worst_s < MOST_S, f"at {rate:.0%} of the requests: {faults}"
    with worker() as run:
        for step in steps:
            assert run(step, (videos, str(tmp_path)))[0] == 0, run.error
    found, expected = state_of(out), state_of(str(tmp_path))
    assert found.keys() == expected.keys()
    lost = sum(max(0, len(expected[name]) - len(found[name])) for name in expected)
    doubled = sum(max(0, len(found[name]) - len(expected[name])) for name in expected)
    assert [r.violations for r in verify(Dataset(out)) if not r.holds] == []
    record_fault(
        "S3 fails now and then", faults=faults.total(), lost=lost, doubled=doubled,
        wrong=sum(found[name] != expected[name] for name in found), recovery_s=worst_s,
    )  # fmt: skip


def test_a_commit_whose_answer_is_lost_is_no_other_writers(videos, monkeypatch, record_fault):
    """The store carries out the put, the client hears nothing, asks again, and it is there."""
    lost: list[str] = []

    def decide(method: str, path: str) -> s3.Fault | None:
        is_new = method == "PUT" and "/_delta_log/" in path and path not in lost
        if is_new:
            lost.append(path)
        return "lost" if is_new else None

    out = s3.bucket(monkeypatch) + "/out"
    with worker_behind(decide, monkeypatch) as run:
        for step in SAMPLE:
            assert run(step, (videos, out))[0] == 0, run.error
    assert len(lost) > 20
    assert [r.violations for r in verify(Dataset(out)) if not r.holds] == []
    record_fault("answer to a commit is lost", faults=len(lost))
