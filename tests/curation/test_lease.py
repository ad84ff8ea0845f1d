"""A second run on the same tables is refused with the name of the first, which goes on."""

import json
import os
import subprocess
import sys
import time

import pytest

from curation import lease, records
from curation.catalog import Catalog
from curation.lease import FOLDER, Lease, LeaseHeldError, hold_lease
from curation.process_identity import start_time
from curation.records import Caption
from curation.storage import Storage
from tests import s3
from tests.outputs import ROOT, environment

TABLES = {"captions/facts": Caption}


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.s3)])
def storage(request, tmp_path, monkeypatch) -> Storage:
    return Storage.at(tmp_path if request.param == "disk" else s3.bucket(monkeypatch) + "/out")


def add_lease(storage: Storage, **fields: object) -> str:
    """Writes a lease on `captions/facts` with some fields replaced; returns its name."""
    holder = Lease.of_this_process("render", TABLES, time.time_ns())
    with storage.atomic_write(f"{FOLDER}/render-0.json") as path, open(path, "w") as file:
        json.dump({**vars(holder), **fields}, file)
    return f"{FOLDER}/render-0.json"


def ended_process() -> dict[str, object]:
    child = subprocess.Popen([sys.executable, "-c", ""])
    started = start_time(child.pid)
    child.wait()
    return {"pid": child.pid, "process": started}


def test_the_second_run_is_refused_and_the_first_goes_on(storage):
    catalog = Catalog(storage)
    row = records.to_table(Caption, [Caption("a", "s", "text")])
    with catalog.writer("render", TABLES) as first:
        with (
            pytest.raises(
                LeaseHeldError, match=rf"is held by pid {os.getpid()} on .* since 20.* UTC"
            ),
            catalog.writer("render", TABLES),
        ):
            pass
        first.append("captions/facts", row)
    with catalog.writer("render", TABLES) as second:
        second.append("captions/facts", row)
    assert catalog.read("captions/facts", Caption).num_rows == 2


def test_other_tables_and_other_steps_are_not_held(storage):
    with (
        hold_lease(storage, "render", ["renders/a"]),
        hold_lease(storage, "render", ["renders/b"]),
        hold_lease(storage, "tokenize", ["renders/a"]),
    ):
        pass


def test_a_lease_ends_with_its_block(storage):
    with pytest.raises(KeyboardInterrupt), hold_lease(storage, "render", TABLES):
        raise KeyboardInterrupt
    with hold_lease(storage, "render", TABLES):
        pass


def test_the_lease_of_an_ended_process_is_void(storage):
    name = add_lease(storage, **ended_process())
    with hold_lease(storage, "render", TABLES):
        assert storage.size(name) is None


def test_a_later_process_with_the_same_id_does_not_hold_the_lease(storage):
    add_lease(storage, process="1")
    with hold_lease(storage, "render", TABLES):
        pass


def test_the_lease_of_another_machine_holds_for_three_minutes(storage):
    add_lease(storage, machine="other", host="gpu-7", pid=12, command="reelmill render out")
    message = (
        r"pid 12 on gpu-7 since .*: reelmill render out \(last sign of life \d s ago; .* 1\d\d s"
    )
    with pytest.raises(LeaseHeldError, match=message), hold_lease(storage, "render", TABLES):
        pass


def test_an_expired_lease_of_another_machine_is_removed(tmp_path):
    storage = Storage.at(tmp_path)
    path = storage.uri(add_lease(storage, machine="other"))
    os.utime(path, (0, time.time() - 181))
    with hold_lease(storage, "render", TABLES):
        assert not os.path.exists(path)


def test_a_lease_is_renewed(storage, monkeypatch):
    monkeypatch.setattr(lease, "_RENEWAL_S", 0.05)
    with hold_lease(storage, "render", TABLES):
        (info,) = storage.filesystem.get_file_info(lease.fs.FileSelector(storage.path(FOLDER)))
        storage.filesystem.delete_file(info.path)
        deadline = time.monotonic() + 30
        name = f"{FOLDER}/{info.base_name}"
        while storage.size(name) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert storage.size(name)


def test_a_file_that_is_no_lease_holds_nothing(storage):
    with storage.atomic_write(f"{FOLDER}/render-1.json") as path, open(path, "w") as file:
        file.write("{")
    with hold_lease(storage, "render", TABLES):
        pass


KILLED = """
import sys, time
from curation.lease import hold_lease
from curation.storage import Storage
with hold_lease(Storage.at(sys.argv[1]), "render", ["captions/facts"]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_the_lease_of_a_killed_run_is_void_at_once(storage):
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, storage.root], stdout=subprocess.PIPE, cwd=ROOT,
        env=environment(), text=True,
    )  # fmt: skip
    try:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(LeaseHeldError), hold_lease(storage, "render", TABLES):
            pass
    finally:
        child.kill()
        child.wait()
    with hold_lease(storage, "render", TABLES):
        pass
