"""Pending inputs: stored before they are scanned, superseded, withdrawn, never stored twice."""

import os
from collections import Counter
from pathlib import Path

import pytest

from curation import pending_inputs, records
from curation.catalog import Catalog
from curation.listing import list_videos
from curation.records import ListedInput, SkippedFiles, Source
from curation.storage import Storage


@pytest.fixture
def catalog(tmp_path) -> Catalog:
    return Catalog(Storage.at(tmp_path / "out"))


def add_listing(catalog: Catalog, *paths: Path) -> None:
    pending_inputs.record_listing(catalog, list_videos(map(str, paths)))


def videos(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"12345")
    return folder


def pending_names(catalog: Catalog) -> list[str]:
    return [Path(uri).name for uri in pending_inputs.pending_inputs(catalog)["uri"].to_pylist()]


def add_outcomes(catalog: Catalog, *names: str) -> None:
    rows = pending_inputs.pending_inputs(catalog).to_pylist()
    done = [
        Source(row["uri"], row["size_bytes"], row["modified"], "failed", "not_video")
        for row in rows
        if Path(row["uri"]).name in names
    ]
    catalog.append("sources", Source, records.to_table(Source, done))


def test_nothing_is_pending_without_a_listing(catalog):
    assert (pending_names(catalog), pending_inputs.skipped_counts(catalog)) == ([], {})


def test_inputs_without_outcome_are_pending(catalog, tmp_path):
    folder = videos(tmp_path / "v", "a.mp4", "b.mp4", "c.mp4")
    add_listing(catalog, folder)
    add_outcomes(catalog, "a.mp4", "c.mp4")
    assert pending_names(catalog) == ["b.mp4"]
    (row,) = pending_inputs.pending_inputs(catalog).to_pylist()
    assert (row["place"], row["size_bytes"]) == (str(folder), 5)
    add_outcomes(catalog, "b.mp4")
    assert pending_names(catalog) == []


def test_the_same_listing_again_writes_nothing(catalog, tmp_path):
    folder = videos(tmp_path / "v", "a.mp4", "n.txt")
    add_listing(catalog, folder)
    versions = [catalog.version(name) for name in ("listed", "passed_over")]
    add_listing(catalog, folder)
    assert [catalog.version(name) for name in ("listed", "passed_over")] == versions
    videos(folder, "b.mp4")
    add_listing(catalog, folder)
    assert catalog.rows("listed") == 2, "only what is new is added"
    assert catalog.version("passed_over") == versions[1]


def test_a_changed_input_is_pending_as_it_is_now(catalog, tmp_path):
    folder = videos(tmp_path / "v", "a.mp4")
    add_listing(catalog, folder)
    (folder / "a.mp4").write_bytes(b"1234567")
    add_listing(catalog, folder)
    assert pending_inputs.pending_inputs(catalog)["size_bytes"].to_pylist() == [7]
    add_outcomes(catalog, "a.mp4")
    assert pending_names(catalog) == []


def test_an_input_that_was_changed_and_restored_is_not_pending(catalog, tmp_path):
    folder = videos(tmp_path / "v", "a.mp4")
    add_listing(catalog, folder)
    add_outcomes(catalog, "a.mp4")
    stat = (folder / "a.mp4").stat()
    (folder / "a.mp4").write_bytes(b"1234567")
    add_listing(catalog, folder)
    assert pending_names(catalog) == ["a.mp4"]
    videos(folder, "a.mp4")
    os.utime(folder / "a.mp4", ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    add_listing(catalog, folder)
    assert pending_names(catalog) == []


@pytest.mark.parametrize("relisted", ["v", "v/deep", "."])
def test_a_pending_input_that_is_missing_when_its_root_is_listed_again_is_withdrawn(
    catalog, tmp_path, relisted
):
    folder = videos(tmp_path / "v")
    videos(folder / "deep", "a.mp4", "b.mp4")
    add_listing(catalog, folder)
    (folder / "deep/a.mp4").unlink()
    add_listing(catalog, tmp_path / relisted)
    assert pending_names(catalog) == ["b.mp4"]
    videos(folder / "deep", "a.mp4")
    add_listing(catalog, folder)
    assert pending_names(catalog) == ["a.mp4", "b.mp4"], "it came back"


def test_inputs_of_another_root_stay_pending(catalog, tmp_path):
    one, two = videos(tmp_path / "one", "a.mp4"), videos(tmp_path / "two", "b.mp4", "odd.bin")
    add_listing(catalog, one, two, two / "odd.bin")
    add_listing(catalog, one)
    assert pending_names(catalog) == ["a.mp4", "b.mp4", "odd.bin"]
    add_listing(catalog, two)
    assert pending_names(catalog) == ["a.mp4", "b.mp4", "odd.bin"], "a folder does not show odd.bin"


def test_pending_inputs_are_withdrawn_by_hand(catalog, tmp_path):
    folder = videos(tmp_path / "v", "a.mp4", "b.mp4")
    add_listing(catalog, folder)
    pending_inputs.withdraw(catalog, pending_inputs.pending_inputs(catalog))
    assert pending_names(catalog) == []
    add_listing(catalog, folder)
    assert pending_names(catalog) == ["a.mp4", "b.mp4"], "until they are listed again"


def test_skipped_files_are_those_of_the_newest_listing_of_a_root(catalog, tmp_path):
    folder, other = videos(tmp_path / "v", "n.txt", "m.txt", "x"), videos(tmp_path / "w", "x.doc")
    add_listing(catalog, folder, other)
    assert pending_inputs.skipped_counts(catalog) == {
        str(folder): Counter({".txt": 2, "no ending": 1}), str(other): Counter({".doc": 1}),
    }  # fmt: skip
    (folder / "n.txt").unlink()
    (other / "x.doc").unlink()
    add_listing(catalog, folder, other)
    counts = pending_inputs.skipped_counts(catalog)
    assert counts == {str(folder): {".txt": 1, "no ending": 1}, str(other): {}}


def test_of_two_runs_that_list_the_same_one_stores_it(catalog, tmp_path, monkeypatch):
    folder = videos(tmp_path / "v", "a.mp4", "b.txt")
    append, is_first = Catalog.append, True

    def append_after_the_other(self, name, record, rows, **options):
        nonlocal is_first
        if is_first:
            is_first = False
            add_listing(catalog, folder)
        append(self, name, record, rows, **options)

    monkeypatch.setattr(Catalog, "append", append_after_the_other)
    add_listing(catalog, folder)
    assert catalog.read("listed", ListedInput).num_rows == 1
    assert catalog.read("passed_over", SkippedFiles).num_rows == 1
