"""Removing files that no version in use names: what is kept, and for how long."""

import os
import time
from pathlib import Path

import pytest
from pyarrow import fs

from curation import garbage, lease
from curation.catalog import Catalog
from curation.delta_table import VersionGoneError, arrow_dataset
from curation.errors import InfrastructureError
from curation.garbage import PeriodError, collect_garbage
from curation.pins import FOLDER, write_pin
from curation.storage import Storage
from tests import s3
from tests.curation.test_compaction import NAME, TABLES, fill, read_ids, shard

DAY_S = 86_400


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.s3)])
def catalog(request, tmp_path, monkeypatch) -> Catalog:
    root = str(tmp_path) if request.param == "disk" else s3.bucket(monkeypatch)
    return Catalog(Storage.at(f"{root}/out"))


def collect(catalog: Catalog, in_days: float, delete: bool = True) -> list[str]:
    """The files of rows that are garbage in so many days, of more than a day."""
    now_ns = time.time_ns() + int(in_days * DAY_S * 1e9)
    found = collect_garbage(catalog, DAY_S, delete=delete, now_ns=now_ns)
    paths = [file.path for _, files in found for file in files]
    return [path for path in paths if "/_delta_log/" not in path]


def stored(catalog: Catalog, folder: str = NAME) -> set[str]:
    """Names of the files in a folder."""
    infos = catalog.storage.filesystem.get_file_info(fs.FileSelector(catalog.storage.path(folder)))
    return {info.base_name for info in infos if info.type == fs.FileType.File}


def test_merged_files_go_when_they_are_old_enough(catalog):
    ids = fill(catalog, 5)
    before = {path for path, _ in catalog.files(NAME)}
    catalog.compact(NAME)
    (merged,) = catalog.files(NAME)
    assert collect(catalog, 0.9) == []
    found = collect(catalog, 1.1, delete=False)
    assert {path.rsplit("/", 1)[1] for path in found} == before
    assert stored(catalog) == before | {merged[0]}
    assert sorted(collect(catalog, 1.1)) == sorted(found)
    assert stored(catalog) == {merged[0]}
    assert read_ids(catalog) == ids
    assert collect(catalog, 1.1) == []


def test_files_that_no_version_names_go_too(catalog):
    fill(catalog, 1)
    for name in ("unknown.parquet", ".0123abcd-part.parquet"):
        with catalog.storage.filesystem.open_output_stream(
            catalog.storage.path(f"{NAME}/{name}")
        ) as sink:
            sink.write(b"bytes")
    with catalog.storage.filesystem.open_output_stream(catalog.storage.path(f"{NAME}/notes.txt")):
        pass
    assert collect(catalog, 0.5) == []
    assert sorted(collect(catalog, 1.1)) == [
        f"{NAME}/.0123abcd-part.parquet", f"{NAME}/unknown.parquet",
    ]  # fmt: skip
    assert "notes.txt" in stored(catalog)


def test_a_version_that_a_feed_reads_is_kept(catalog, monkeypatch):
    ids, version = fill(catalog, 4), catalog.version(NAME)
    catalog.compact(NAME)
    write_pin(catalog.storage, {NAME: version})
    monkeypatch.setattr("curation.pins.EXPIRY_S", 30 * DAY_S)
    assert collect(catalog, 20) == []
    old = arrow_dataset(catalog.open(NAME, version), catalog.storage, NAME)
    assert sorted(old.to_table()["clip_id"].to_pylist()) == ids
    assert len(collect(catalog, 31)) == 4


def test_a_pin_that_cannot_be_read_stops_it(tmp_path):
    catalog = Catalog(Storage.at(tmp_path))
    fill(catalog, 1)
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "0.json").write_text("[]")
    with pytest.raises(InfrastructureError, match=r"_pins/0\.json is no pin"):
        collect(catalog, 0)


def test_versions_since_a_running_job_began_are_kept(catalog):
    fill(catalog, 4)
    catalog.compact(NAME)
    with lease.hold_lease(catalog.storage, "caption", TABLES):
        assert collect(catalog, 20) == []
    assert len(collect(catalog, 20)) == 4


def test_a_version_of_the_second_in_which_a_job_began_is_kept(tmp_path, monkeypatch):
    """Stores say to the second when a file was written: the merge may be later than the job."""
    catalog = Catalog(Storage.at(tmp_path))
    fill(catalog, 4)
    second_ns = time.time_ns() // 10**9 * 10**9
    for path in (tmp_path / NAME).rglob("*.*"):
        os.utime(path, ns=(0, second_ns - 10 * DAY_S * 10**9))
    monkeypatch.setattr(lease, "storage_time_ns", lambda _: second_ns)
    with lease.hold_lease(catalog.storage, "caption", TABLES):
        catalog.compact(NAME)
        entry = tmp_path / NAME / "_delta_log" / f"{catalog.version(NAME):020}.json"
        os.utime(entry, ns=(0, second_ns))
        assert collect(catalog, 20) == []
    assert len(collect(catalog, 20)) == 4


def test_a_job_began_by_the_clock_of_the_storage(tmp_path, monkeypatch):
    """The host's clock may be weeks ahead."""
    catalog = Catalog(Storage.at(tmp_path))
    fill(catalog, 1)
    start_ns = lease.storage_time_ns(catalog.storage)
    host = type("Host", (lease.datetime,), {"now": classmethod(lambda cls, tz: cls.max)})
    monkeypatch.setattr(lease, "datetime", host)
    with lease.hold_lease(catalog.storage, "caption", TABLES):
        (job,) = lease.live_leases(catalog.storage)
    assert 0 <= job.since_ns - start_ns + 10**9 < 60 * 10**9


def test_a_shard_that_is_made_again_while_its_old_file_is_removed_stays(tmp_path, monkeypatch):
    """Its rows give the same bytes, but never the same name."""
    catalog = Catalog(Storage.at(tmp_path))
    with catalog.writer("tokenize", TABLES) as writer:
        writer.add_files(NAME, [shard(catalog, "a", "pca")])
        writer.drop(NAME, "clip_id", {"a"})
    remove = garbage._remove

    def remove_late(storage: Storage, files: list[garbage.GarbageFile]) -> None:
        with catalog.writer("tokenize", TABLES) as writer:
            writer.add_files(NAME, [shard(catalog, "a", "pca")])
        remove(storage, files)

    monkeypatch.setattr(garbage, "_remove", remove_late)
    assert len(collect(catalog, 10)) == 1
    assert read_ids(catalog) == ["a"]


def test_a_pin_of_a_version_that_has_gone_stops_it(catalog):
    """What else such a feed reads is not known."""
    fill(catalog, 4)
    catalog.compact(NAME)
    catalog.open(NAME).create_checkpoint()
    collect(catalog, 10)
    assert catalog.open(NAME, catalog.version(NAME)) is not None
    with pytest.raises(VersionGoneError, match=rf"{NAME} no longer has version 1: .* has removed"):
        catalog.open(NAME, 1)
    before = stored(catalog)
    write_pin(catalog.storage, {NAME: 1})
    with pytest.raises(InfrastructureError, match=r"_pins/\w+\.json pins it: remove that file"):
        collect(catalog, 0)
    assert stored(catalog) == before


def test_the_log_starts_at_the_checkpoint_that_versions_in_use_need(catalog, monkeypatch):
    monkeypatch.setattr("curation.pins.EXPIRY_S", 2 * DAY_S)
    ids = fill(catalog, 4)
    table = catalog.open(NAME)
    table.create_checkpoint()
    checkpoint, pinned = catalog.version(NAME), catalog.version(NAME) + 1
    fill(catalog, 1, first=20)
    catalog.compact(NAME)
    write_pin(catalog.storage, {NAME: pinned})
    collect(catalog, 1.1)
    log = stored(catalog, f"{NAME}/_delta_log")
    versions = sorted(int(name[:20]) for name in log if name.endswith("json") and name[0] == "0")
    assert versions[0] == checkpoint
    assert read_ids(catalog) == sorted([*ids, "40"])
    old = arrow_dataset(catalog.open(NAME, pinned), catalog.storage, NAME)
    assert sorted(old.to_table()["clip_id"].to_pylist()) == ids
    (path,) = {path for path, _ in catalog.files(NAME)}
    assert path in stored(catalog)


def test_a_period_under_an_hour_is_refused(tmp_path):
    with pytest.raises(PeriodError, match="at least an hour"):
        list(collect_garbage(Catalog(Storage.at(tmp_path)), 60, delete=False))


def test_a_second_collection_is_refused(tmp_path):
    catalog = Catalog(Storage.at(tmp_path))
    fill(catalog, 1)
    with (
        lease.hold_lease(catalog.storage, "gc", [NAME]),
        pytest.raises(lease.LeaseHeldError, match="gc"),
    ):
        collect(catalog, 0)
    assert Path(tmp_path, NAME).exists()
