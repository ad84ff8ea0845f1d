"""What was listed and waits: stored before it is watched, superseded, withdrawn, never twice."""

import os
from collections import Counter
from pathlib import Path

import pytest

from curation import pending_inputs, records
from curation.catalog import Catalog
from curation.listing import listing
from curation.records import Source
from curation.storage import Storage


@pytest.fixture
def catalog(tmp_path) -> Catalog:
    return Catalog(Storage.at(tmp_path / "out"))


def listed(catalog: Catalog, *places: Path) -> None:
    pending_inputs.record(catalog, listing(map(str, places)))


def videos(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"12345")
    return folder


def waiting(catalog: Catalog) -> list[str]:
    return [Path(uri).name for uri in pending_inputs.pending(catalog)["uri"].to_pylist()]


def watched(catalog: Catalog, *names: str) -> None:
    rows = pending_inputs.pending(catalog).to_pylist()
    done = [
        Source(row["uri"], row["size_bytes"], row["modified"], "failed", "not_video")
        for row in rows
        if Path(row["uri"]).name in names
    ]
    catalog.append("sources", Source, records.table(Source, done))


def test_nothing_waits_where_nothing_was_listed(catalog):
    assert (waiting(catalog), pending_inputs.passed_over(catalog)) == ([], {})


def test_what_has_no_outcome_waits(catalog, tmp_path):
    folder = videos(tmp_path / "v", "a.mp4", "b.mp4", "c.mp4")
    listed(catalog, folder)
    watched(catalog, "a.mp4", "c.mp4")
    assert waiting(catalog) == ["b.mp4"]
    (row,) = pending_inputs.pending(catalog).to_pylist()
    assert (row["place"], row["size_bytes"]) == (str(folder), 5)
    watched(catalog, "b.mp4")
    assert waiting(catalog) == []


def test_the_same_listing_again_writes_nothing(catalog, tmp_path):
    folder = videos(tmp_path / "v", "a.mp4", "n.txt")
    listed(catalog, folder)
    versions = [catalog.version(name) for name in ("listed", "passed_over")]
    listed(catalog, folder)
    assert [catalog.version(name) for name in ("listed", "passed_over")] == versions
    videos(folder, "b.mp4")
    listed(catalog, folder)
    assert catalog.rows("listed") == 2, "only what is new is added"
    assert catalog.version("passed_over") == versions[1]


def test_an_input_that_changed_waits_as_it_is_now(catalog, tmp_path):
    folder = videos(tmp_path / "v", "a.mp4")
    listed(catalog, folder)
    (folder / "a.mp4").write_bytes(b"1234567")
    listed(catalog, folder)
    assert pending_inputs.pending(catalog)["size_bytes"].to_pylist() == [7]
    watched(catalog, "a.mp4")
    assert waiting(catalog) == []


def test_an_input_that_is_as_it_was_again_does_not_wait_for_what_it_was_between(catalog, tmp_path):
    folder = videos(tmp_path / "v", "a.mp4")
    listed(catalog, folder)
    watched(catalog, "a.mp4")
    stat = (folder / "a.mp4").stat()
    (folder / "a.mp4").write_bytes(b"1234567")
    listed(catalog, folder)
    assert waiting(catalog) == ["a.mp4"]
    videos(folder, "a.mp4")
    os.utime(folder / "a.mp4", ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    listed(catalog, folder)
    assert waiting(catalog) == []


@pytest.mark.parametrize("again", ["v", "v/deep", "."])
def test_an_input_that_is_gone_when_its_place_is_listed_again_is_withdrawn(
    catalog, tmp_path, again
):
    folder = videos(tmp_path / "v")
    videos(folder / "deep", "a.mp4", "b.mp4")
    listed(catalog, folder)
    (folder / "deep/a.mp4").unlink()
    listed(catalog, tmp_path / again)
    assert waiting(catalog) == ["b.mp4"]
    videos(folder / "deep", "a.mp4")
    listed(catalog, folder)
    assert waiting(catalog) == ["a.mp4", "b.mp4"], "it came back"


def test_what_another_place_gave_goes_on_waiting(catalog, tmp_path):
    one, two = videos(tmp_path / "one", "a.mp4"), videos(tmp_path / "two", "b.mp4", "odd.bin")
    listed(catalog, one, two, two / "odd.bin")
    listed(catalog, one)
    assert waiting(catalog) == ["a.mp4", "b.mp4", "odd.bin"]
    listed(catalog, two)
    assert waiting(catalog) == ["a.mp4", "b.mp4", "odd.bin"], "a folder does not show odd.bin"


def test_inputs_that_wait_are_withdrawn_by_hand(catalog, tmp_path):
    folder = videos(tmp_path / "v", "a.mp4", "b.mp4")
    listed(catalog, folder)
    pending_inputs.withdraw(catalog, pending_inputs.pending(catalog))
    assert waiting(catalog) == []
    listed(catalog, folder)
    assert waiting(catalog) == ["a.mp4", "b.mp4"], "until they are listed again"


def test_of_what_was_passed_over_the_newest_listing_of_a_place_counts(catalog, tmp_path):
    folder, other = videos(tmp_path / "v", "n.txt", "m.txt", "x"), videos(tmp_path / "w", "x.doc")
    listed(catalog, folder, other)
    assert pending_inputs.passed_over(catalog) == {
        str(folder): Counter({".txt": 2, "no ending": 1}), str(other): Counter({".doc": 1}),
    }  # fmt: skip
    (folder / "n.txt").unlink()
    (other / "x.doc").unlink()
    listed(catalog, folder, other)
    found = pending_inputs.passed_over(catalog)
    assert found == {str(folder): {".txt": 1, "no ending": 1}, str(other): {}}
