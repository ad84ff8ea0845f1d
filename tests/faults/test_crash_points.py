"""A run is killed before each of its changes of the storage; then its tables are at one version or
the next, and the same command gives what an undisturbed run gives."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from curation.dataset import Dataset
from curation.lease import FOLDER
from curation.sample import Coding, write_numbered_video
from curation.search.index import Index
from curation.search.store import IndexStore
from pipelines.verify import verify
from tests import s3
from tests.faults.steps import STEPS, Rows, rows_at, table_versions, worker

pytestmark = pytest.mark.faults
History = dict[str, list[Rows]]
"""By table its rows at each version."""
MAINTENANCE = ("compact", "gc")
ANOTHER_POLICY = ("policy.near_duplicates=null",)
"""Selected by before the files of `selection` are merged."""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("crash")
    write_numbered_video(folder / "a.mp4", 60, cuts=(30,), coding=Coding(crf=30))
    return str(folder)


def history(dataset: Dataset) -> History:
    return {
        name: [rows_at(dataset, name, version) for version in range(newest + 1)]
        for name, newest in table_versions(dataset).items()
    }


def indexed(dataset: Dataset) -> Rows | None:
    index = Index.open(IndexStore.of(dataset.catalog.storage), set())
    return None if index is None else index.metadata_with_verdicts.to_pylist()


def check_readable(dataset: Dataset, expected: History) -> None:
    """Each table is at one of the versions that an undisturbed run makes."""
    for name, version in table_versions(dataset).items():
        assert rows_at(dataset, name) == expected[name][version], f"{name}, version {version}"
    for result in verify(dataset):
        left = [v for v in result.violations if "never scanned" not in v]
        assert not left, left
    indexed(dataset)


def check_recovered(dataset: Dataset, expected: History, index: Rows | None) -> None:
    """As an undisturbed run leaves it; `runs` may lack the run that was killed."""
    assert table_versions(dataset).keys() | {"runs"} == expected.keys() | {"runs"}
    for name in expected.keys() - {"runs"}:
        assert rows_at(dataset, name) == expected[name][-1], name
    assert [r.violations for r in verify(dataset) if not r.holds] == []
    assert indexed(dataset) == index


def files_of(out: Path) -> set[str]:
    """Files of an output but leases."""
    files = (path.relative_to(out) for path in out.rglob("*") if path.is_file())
    return {str(path) for path in files if path.parts[0] != FOLDER}


def points(request: pytest.FixtureRequest, step: str, seed: int, count: int) -> list[int]:
    """All points of a step in the full matrix; else one that the seed decides."""
    if request.config.getoption("--fault-scale") == "full":
        return list(range(1, count + 1))
    return [random.Random(f"{step} {seed}").randint(1, count)]


@contextlib.contextmanager
def located(where: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise AssertionError(where) from error


@pytest.mark.full_seeds(1)
def test_killed_before_a_change_on_disk(request, fault_seed, videos, tmp_path, record_fault):
    before, reference, out = (tmp_path / name for name in ("before", "reference", "out"))
    out.mkdir()
    job = (videos, str(out))
    with worker() as run:
        for step in (*STEPS, *MAINTENANCE):
            if step == "compact":
                assert run("select", job, settings=ANOTHER_POLICY)[0] == 0
            shutil.copytree(out, before)
            status, calls = run(step, job, count=str(out))
            assert status == 0
            assert calls
            out.rename(reference)
            expected = history(Dataset(before if step == "gc" else reference))
            index = indexed(Dataset(reference))
            for point in points(request, step, fault_seed, len(calls)):
                shutil.copytree(before, out)
                with located(f"{step}, before change {point}: {calls[point - 1]}"):
                    status, _ = run(step, job, count=str(out), kill_before=point)
                    assert os.WIFSIGNALED(status)
                    check_readable(Dataset(out), expected)
                    start = time.monotonic()
                    assert run(step, job)[0] == 0
                    recovery_s = time.monotonic() - start
                    check_recovered(Dataset(out), expected, index)
                    assert step != "gc" or files_of(out) == files_of(reference)
                record_fault("crash before a change, disk", recovery_s=recovery_s)
                shutil.rmtree(out)
            shutil.rmtree(before)
            reference.rename(out)


@pytest.mark.s3
@pytest.mark.full_seeds(1)
def test_killed_before_a_change_on_s3(request, fault_seed, videos, monkeypatch, record_fault):
    changes: list[str] = []
    kill_before: int | None = None
    out = s3.bucket(monkeypatch) + "/out"
    job, direct = (videos, out), os.environ["AWS_ENDPOINT_URL"]
    is_full = request.config.getoption("--fault-scale") == "full"
    steps = (*STEPS[:-1], *MAINTENANCE)
    chosen = random.Random(fault_seed).choice(steps)

    def decide(method: str, path: str) -> s3.Fault | None:
        if method in ("GET", "HEAD"):
            return None
        if len(changes) + 1 == kill_before and run.fork:
            os.killpg(run.fork, signal.SIGKILL)
            return "reset"
        changes.append(f"{method} {path}")
        return None

    with s3.proxy(decide) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with worker() as run:
            monkeypatch.setenv("AWS_ENDPOINT_URL", direct)
            for step in steps:
                if step == "compact":
                    assert run("select", job, settings=ANOTHER_POLICY)[0] == 0
                before = objects(out)
                expected = history(Dataset(out)) if step == "gc" else {}
                changes.clear()
                assert run(step, job)[0] == 0
                if step != chosen and not is_full:
                    continue
                calls, reference = list(changes), objects(out)
                expected = expected or history(Dataset(out))
                for point in points(request, step, fault_seed, len(calls)):
                    restore(out, before)
                    changes.clear()
                    kill_before = point
                    with located(f"{step}, before change {point}: {calls[point - 1]}"):
                        status, _ = run(step, job)
                        kill_before = None
                        assert os.WIFSIGNALED(status)
                        check_readable(Dataset(out), expected)
                        start = time.monotonic()
                        assert run(step, job)[0] == 0
                        recovery_s = time.monotonic() - start
                        check_recovered(Dataset(out), expected, None)
                    record_fault("crash before a change, S3", recovery_s=recovery_s)
                restore(out, reference)
                if not is_full:
                    break


def objects(out: str) -> dict[str, bytes]:
    bucket, _, prefix = out.removeprefix("s3://").partition("/")
    client = boto3.client("s3")
    listed = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [item["Key"] for page in listed for item in page.get("Contents", [])]
    return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def restore(out: str, content: dict[str, bytes]) -> None:
    """Makes a prefix hold these objects and no others."""
    bucket, client = out.removeprefix("s3://").partition("/")[0], boto3.client("s3")
    for key in objects(out).keys() - content.keys():
        client.delete_object(Bucket=bucket, Key=key)
    for key, body in content.items():
        client.put_object(Bucket=bucket, Key=key, Body=body)
