import hashlib
import io
import os

import pytest

from curation.errors import InfrastructureError
from curation.storage import Storage, file_sha256, one_line, stream_sha256, utf8_path
from tests import s3

BYTES = bytes(range(256)) * 9000
"""Longer than one chunk."""


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.s3)])
def storage(request, tmp_path, monkeypatch) -> Storage:
    return Storage.at(tmp_path if request.param == "disk" else s3.bucket(monkeypatch) + "/out/")


def write(storage: Storage, name: str, content: bytes = BYTES) -> None:
    with storage.atomic_write(name) as path, open(path, "wb") as file:
        file.write(content)


def list_files(storage: Storage) -> list[str]:
    from pyarrow import fs

    files = storage.filesystem.get_file_info(
        fs.FileSelector(storage.path(""), recursive=True, allow_not_found=True)
    )
    return [info.path for info in files if info.type == fs.FileType.File]


def test_a_written_file_has_its_size_and_digest(storage):
    write(storage, "a/b.bin")
    assert storage.size("a/b.bin") == len(BYTES)
    assert storage.sha256("a/b.bin") == hashlib.sha256(BYTES).hexdigest()
    assert list_files(storage) == [storage.path("a/b.bin")]
    write(storage, "a/b.bin", b"other")
    assert storage.size("a/b.bin") == 5
    assert (storage.size("nothing"), storage.size("a")) == (None, None)


def test_an_exception_while_writing_leaves_the_old_file(storage):
    def interrupted(name: str) -> None:
        with storage.atomic_write(name) as path, open(path, "wb") as file:
            file.write(BYTES)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted("a.bin")
    assert list_files(storage) == []
    write(storage, "a.bin", b"old")
    with pytest.raises(KeyboardInterrupt):
        interrupted("a.bin")
    assert storage.sha256("a.bin") == hashlib.sha256(b"old").hexdigest()
    assert len(list_files(storage)) == 1


def test_local_path_leads_to_the_same_bytes(storage):
    write(storage, "deep/clip.mp4")
    with storage.local_path("deep/clip.mp4") as path:
        assert path.endswith(".mp4")
        assert file_sha256(path) == storage.sha256("deep/clip.mp4")
    assert os.path.exists(path) == (not storage.is_remote)
    with Storage.at(storage.uri("deep/clip.mp4")).local_path() as path:
        assert os.path.getsize(path) == len(BYTES)


def test_a_missing_file_is_no_infrastructure_error(storage):
    with pytest.raises(FileNotFoundError):
        storage.sha256("nothing")


@pytest.mark.s3
def test_a_missing_object_is_not_copied(monkeypatch):
    with pytest.raises(FileNotFoundError), Storage.at(s3.bucket(monkeypatch)).local_path("nothing"):
        pass


@pytest.mark.s3
def test_an_interrupted_upload_leaves_no_object(monkeypatch):
    storage = Storage.at(s3.bucket(monkeypatch))

    def interrupt(source, sink, _):
        sink.write(source.read(10))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("curation.storage.shutil.copyfileobj", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write(storage, "a.bin")
    assert storage.size("a.bin") is None


@pytest.mark.s3
def test_an_object_store_that_is_down_is_an_infrastructure_error(monkeypatch):
    bucket = s3.bucket(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(InfrastructureError, match=r"storage: .*[Cc]onnect"):
        Storage.at(bucket).size("x")


def test_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    root = str(tmp_path / "out")
    for address in ("out", "./out/", "~/out", f"file://{root}", tmp_path / "out"):
        assert Storage.at(address).root == root
    assert Storage.at("s3://bucket/out/").root == "s3://bucket/out"
    assert Storage.at("s3://bucket/out").path("t/x") == "bucket/out/t/x"


def test_only_s3_needs_options_for_delta(monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert Storage.at("out").delta_options is None
    assert Storage.at("s3://b/o").delta_options == {"aws_conditional_put": "etag"}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert Storage.at("s3://b/o").delta_options["aws_allow_http"] == "true"


def test_a_path_that_is_no_utf8_has_an_address_that_leads_back():
    path = os.fsdecode(b"/v/caf\xe9 100%.mp4")
    assert utf8_path(path) == "file:///v/caf%E9%20100%25.mp4"
    assert Storage.at(utf8_path(path)).root == path
    assert utf8_path("/v/café 100%.mp4") == "/v/café 100%.mp4"


def test_errors_become_one_line():
    error = OSError("Generic S3 error\n   \x1b[31m↳\x1b[0m no such bucket\n   0: <unknown>\n")
    assert one_line(error) == "Generic S3 error no such bucket"


def test_digest_reads_in_chunks():
    assert stream_sha256(io.BytesIO(BYTES)) == hashlib.sha256(BYTES).hexdigest()
