"""Merging files and removing garbage, killed before each change: no row and no version is lost."""

import os
import shutil

import pytest

from curation.catalog import Catalog
from curation.dataset import Dataset
from curation.delta_table import arrow_dataset
from curation.lease import FOLDER
from curation.storage import Storage
from pipelines.verify import verify
from tests.curation.test_compaction import NAME, fill, read_ids
from tests.faults.steps import worker
from tests.faults.test_crash_points import points

pytestmark = pytest.mark.faults


def files_of(out) -> set[str]:
    """Files but leases."""
    files = (path.relative_to(out) for path in out.rglob("*") if path.is_file())
    return {str(path) for path in files if path.parts[0] != FOLDER}


@pytest.mark.full_seeds(1)
def test_killed_before_a_change(request, fault_seed, tmp_path, record_fault):
    before, reference, out = (tmp_path / name for name in ("before", "reference", "out"))
    ids = fill(Catalog(Storage.at(out)), 3)
    version = Catalog(Storage.at(out)).version(NAME)
    job = ("", str(out))
    with worker() as run:
        for step in ("compact", "gc"):
            shutil.copytree(out, before)
            status, calls = run(step, job, count=str(out))
            assert status == 0
            assert len(calls) > 5
            out.rename(reference)
            for point in points(request, step, fault_seed, len(calls)):
                shutil.copytree(before, out)
                status, _ = run(step, job, count=str(out), kill_before=point)
                assert os.WIFSIGNALED(status), (step, point)
                catalog = Catalog(Storage.at(out))
                assert read_ids(catalog) == ids, (step, point, calls[point - 1])
                assert [r.violations for r in verify(Dataset(out)) if not r.holds] == []
                if step == "compact":  # who reads the version before goes on
                    old = arrow_dataset(catalog.open(NAME, version), catalog.storage, NAME)
                    assert sorted(old.to_table()["clip_id"].to_pylist()) == ids
                assert run(step, job)[0] == 0
                catalog = Catalog(Storage.at(out))
                assert read_ids(catalog) == ids
                assert len(catalog.files(NAME)) == 1
                assert step == "compact" or files_of(out) == files_of(reference)
                record_fault("compact and gc killed before a change")
                shutil.rmtree(out)
            shutil.rmtree(before)
            reference.rename(out)
