"""The newest row counts, and a lease ends, also where the clock was set back meanwhile."""

import json
import os
import time
from datetime import datetime, timedelta, timezone

import pytest

from curation import pending_inputs, records
from curation.dataset import Dataset
from curation.lease import FOLDER, Lease, LeaseHeldError, hold_lease
from curation.listing import list_videos
from curation.records import ListedInput
from curation.row_times import time_after
from curation.run_history import RunClock, record_run
from curation.storage import Storage
from tests import rows

TOMORROW = datetime.now(timezone.utc) + timedelta(days=1)


def test_the_selection_that_was_asked_for_last_is_the_newest(tmp_path):
    dataset = Dataset(tmp_path)
    rows.add_run(dataset, "select", "first", started=TOMORROW.isoformat(timespec="milliseconds"))
    for selection in ("second", "third"):
        record_run(
            dataset.catalog, "select", RunClock(), config={}, packages=[], counts={},
            result=selection,
        )  # fmt: skip
        assert dataset.latest_selection() == selection
    times = dataset.runs()["started"].to_pylist()
    assert times == sorted(times)
    assert datetime.fromisoformat(times[-1]) - TOMORROW < timedelta(minutes=1)


def test_a_listing_is_newer_than_one_from_a_clock_that_was_ahead(tmp_path):
    dataset, videos = Dataset(tmp_path / "out"), tmp_path / "videos"
    videos.mkdir()
    (videos / "a.mp4").write_bytes(b"1")
    (entry,) = list_videos([str(videos)]).entries
    listed = TOMORROW.isoformat(timespec="microseconds")
    row = ListedInput(entry.uri, entry.size_bytes, entry.modified, entry.root, listed, False)
    dataset.catalog.append("listed", ListedInput, records.to_table(ListedInput, [row]))
    (videos / "a.mp4").unlink()
    pending_inputs.record_listing(dataset.catalog, list_videos([str(videos)]))
    assert pending_inputs.pending_inputs(dataset.catalog).num_rows == 0
    (videos / "a.mp4").write_bytes(b"12")
    pending_inputs.record_listing(dataset.catalog, list_videos([str(videos)]))
    assert pending_inputs.pending_inputs(dataset.catalog)["size_bytes"].to_pylist() == [2]


@pytest.mark.parametrize("stored", [[], [None], ["", "no time"], ["2020-01-01T00:00:00.000+00:00"]])
def test_where_nothing_lies_ahead_it_is_now(stored):
    assert time_after(stored, "milliseconds", "then") == "then"
    then = datetime.fromisoformat(time_after(stored, "milliseconds"))
    assert abs(datetime.now(timezone.utc) - then) < timedelta(minutes=1)


def test_a_lease_from_a_clock_that_was_ahead_expires_after_three_minutes(tmp_path):
    """That of an ended process on another machine: nobody renews it."""
    storage, name = Storage.at(tmp_path), f"{FOLDER}/render-0.json"
    with storage.atomic_write(name) as path, open(path, "w") as file:
        lease = Lease.of_this_process("render", ["renders/a"], time.time_ns())
        json.dump({**vars(lease), "machine": "b"}, file)
    os.utime(storage.uri(name), (0, time.time() + 86_400))
    with pytest.raises(LeaseHeldError), hold_lease(storage, "render", ["renders/a"]):
        pass
    age_s = time.time() - os.stat(storage.uri(name)).st_mtime
    assert -5 < age_s < 60
    os.utime(storage.uri(name), (0, time.time() - 181))
    with hold_lease(storage, "render", ["renders/a"]):
        pass
