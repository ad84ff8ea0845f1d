"""A second run on the same tables is refused, and told by whom; the first goes on."""

import json
import os
import subprocess
import sys
import time

import pytest

from curation import lease, records
from curation.catalog import Catalog
from curation.lease import FOLDER, HeldError, Lease, leased
from curation.records import Caption
from curation.storage import Storage
from tests import s3
from tests.outputs import ROOT, environment

TABLES = {"captions/facts": Caption}


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.s3)])
def storage(request, tmp_path, monkeypatch) -> Storage:
    return Storage.at(tmp_path if request.param == "disk" else s3.bucket(monkeypatch) + "/out")


def left(storage: Storage, **other: object) -> str:
    """A lease on `captions/facts` that somebody left; its name."""
    mine = Lease.mine("render", TABLES)
    with storage.writing(f"{FOLDER}/render-0.json") as path, open(path, "w") as file:
        json.dump({**vars(mine), **other}, file)
    return f"{FOLDER}/render-0.json"


def ended_process() -> dict[str, object]:
    child = subprocess.Popen([sys.executable, "-c", ""])
    started = lease._process(child.pid)
    child.wait()
    return {"pid": child.pid, "process": started}


def test_the_second_is_refused_and_the_first_goes_on(storage):
    catalog = Catalog(storage)
    row = records.table(Caption, [Caption("a", "s", "text")])
    with catalog.writer("render", TABLES) as first:
        with (
            pytest.raises(HeldError, match=rf"is held by pid {os.getpid()} on .* since 20.* UTC"),
            catalog.writer("render", TABLES),
        ):
            pass
        first.append("captions/facts", row)
    with catalog.writer("render", TABLES) as second:
        second.append("captions/facts", row)
    assert catalog.read("captions/facts", Caption).num_rows == 2


def test_other_tables_and_other_steps_are_not_held(storage):
    with (
        leased(storage, "render", ["renders/a"]),
        leased(storage, "render", ["renders/b"]),
        leased(storage, "tokenize", ["renders/a"]),
    ):
        pass


def test_a_lease_ends_with_its_block(storage):
    with pytest.raises(KeyboardInterrupt), leased(storage, "render", TABLES):
        raise KeyboardInterrupt
    with leased(storage, "render", TABLES):
        pass


def test_a_process_of_this_machine_that_is_gone_holds_nothing(storage):
    name = left(storage, **ended_process())
    with leased(storage, "render", TABLES):
        assert storage.size(name) is None


def test_a_process_that_took_over_the_id_of_one_that_is_gone_holds_nothing(storage):
    left(storage, process="1")
    with leased(storage, "render", TABLES):
        pass


def test_another_machine_holds_until_it_has_been_silent_for_three_minutes(storage):
    left(storage, machine="other", host="gpu-7", pid=12, command="reelmill render out")
    words = (
        r"pid 12 on gpu-7 since .*: reelmill render out \(last sign of life \d s ago; .* 1\d\d s"
    )
    with pytest.raises(HeldError, match=words), leased(storage, "render", TABLES):
        pass


def test_another_machine_that_is_silent_holds_no_longer(tmp_path):
    storage = Storage.at(tmp_path)
    path = storage.uri(left(storage, machine="other"))
    os.utime(path, (0, time.time() - 181))
    with leased(storage, "render", TABLES):
        assert not os.path.exists(path)


def test_a_holder_gives_signs_of_life(storage, monkeypatch):
    monkeypatch.setattr(lease, "_REWRITTEN_S", 0.05)
    with leased(storage, "render", TABLES):
        (info,) = storage.filesystem.get_file_info(lease.fs.FileSelector(storage.path(FOLDER)))
        storage.filesystem.delete_file(info.path)
        deadline = time.monotonic() + 30
        name = f"{FOLDER}/{info.base_name}"
        while storage.size(name) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert storage.size(name)


def test_what_is_no_lease_holds_nothing(storage):
    with storage.writing(f"{FOLDER}/render-1.json") as path, open(path, "w") as file:
        file.write("{")
    with leased(storage, "render", TABLES):
        pass


KILLED = """
import sys, time
from curation.lease import leased
from curation.storage import Storage
with leased(Storage.at(sys.argv[1]), "render", ["captions/facts"]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_run_that_was_killed_frees_its_tables_at_once(storage):
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, storage.root], stdout=subprocess.PIPE, cwd=ROOT,
        env=environment(), text=True,
    )  # fmt: skip
    try:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(HeldError), leased(storage, "render", TABLES):
            pass
    finally:
        child.kill()
        child.wait()
    with leased(storage, "render", TABLES):
        pass
