"""The main job with its videos and its output in Azure's blob storage, against its emulator.

Azurite comes from npm; without npm, or where it cannot be installed, these tests are skipped.
"""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from curation.dataset import Dataset
from curation.object_stores import store_scheme
from curation.sample import Coding, write_numbered_video
from curation.storage import AddressError, Storage
from tests.outputs import QUICK, run

AZURITE = "azurite@3.37.0"


@pytest.fixture(scope="module")
def azurite(tmp_path_factory):
    """The program."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not here, so neither is Azurite")
    folder = tmp_path_factory.mktemp("npm")
    installed = subprocess.run(
        ["npm", "install", "--silent", "--no-fund", "--no-audit", AZURITE], cwd=folder,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    program = folder / "node_modules/.bin/azurite-blob"
    if not program.exists():
        pytest.skip(f"{AZURITE} cannot be installed: {installed.stderr[-200:]}")
    return program


@pytest.fixture(scope="module")
def store(azurite, tmp_path_factory):
    """An empty container."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [azurite, "--blobPort", str(port), "--location", tmp_path_factory.mktemp("blobs"),
               "--skipApiVersionCheck", "--silent", "--disableTelemetry"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ends = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < ends
            time.sleep(0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZURITE_BLOB_STORAGE_URL", f"http://127.0.0.1:{port}")
        Storage.at("az://reels/raw").filesystem.create_dir("reels")
        yield "az://reels"
    process.kill()
    process.wait()


@pytest.mark.s3
def test_curating_in_azure(store, tmp_path):
    write_numbered_video(tmp_path / "a.mp4", 70, cuts=(30,), coding=Coding(crf=30))
    (tmp_path / "notes.mp4").write_text("no video\n")
    raw = Storage.at(f"{store}/raw")
    for name in ("a.mp4", "notes.mp4"):
        with raw.atomic_write(f"deep/{name}") as path:
            shutil.copy(tmp_path / name, path)
    profile = tmp_path / "quick.yaml"
    profile.write_text(QUICK)
    job = ["curate", f"{store}/raw", "--out", f"{store}/out", "--config", str(profile),
           "--set", "executor=in_process"]  # fmt: skip
    done = run(*job)
    assert done.returncode == 3, done.stderr + done.stdout
    dataset = Dataset(f"{store}/out")
    outcomes = {Path(s["uri"]).name: s for s in dataset.sources().to_pylist()}
    assert outcomes["a.mp4"]["uri"] == f"{store}/raw/deep/a.mp4"
    assert outcomes["notes.mp4"]["reason"] == "not_video"
    assert dataset.clips()["verdict"].to_pylist() == ["kept", "kept"]
    verified = run("verify", f"{store}/out")
    assert verified.returncode == 0, verified.stdout
    again = run(*job)
    assert again.stdout.count("nothing to do") == 4
    found = run("search", f"{store}/out", "video", "--top", "1")
    assert found.returncode == 0, found.stderr


def test_addresses_of_every_store_name_a_bucket():
    for scheme in ("s3://", "gs://", "az://"):
        storage = Storage.at(f"{scheme}bucket/a b/")
        assert storage.is_remote
        assert (storage.scheme, storage.path("t")) == (scheme, "bucket/a b/t")
        assert storage.table_uri("t") == f"{scheme}bucket/a%20b/t"
        with pytest.raises(AddressError, match=f"{scheme}BUCKET/PREFIX"):
            Storage.at(f"{scheme}/prefix")
    assert store_scheme(os.getcwd()) == ""
    with pytest.raises(AddressError, match="s3://, gs:// and az://"):
        Storage.at("ftp://host/x")
