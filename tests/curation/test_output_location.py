"""Addresses of outputs: each works as it is written, or is refused with a message."""

import os
import subprocess
from pathlib import Path

import boto3
import pytest

from curation import records
from curation.catalog import Catalog
from curation.errors import InfrastructureError
from curation.output_location import check_address, check_free_space, check_writable
from curation.records import Caption
from curation.storage import AddressError, Storage
from tests import s3

ROW = records.to_table(Caption, [Caption("a", "s", "text")])
WORKS = ["o#p", "o?p", "a b", "%", "%zz", "{y}", "~", "<>", '"q"', "ü日本", "a&b=c;d+e", "x:y", "*"]
ON_S3_TOO = ["[x]", "^", "|", "back\\slash"]
REFUSED = ["a%20b", "%2F", "new\nline", "\x7f"]


def write_and_read(catalog: Catalog) -> list[str]:
    """The texts that are read back after every kind of commit."""
    with catalog.writer("t", {"captions/facts": Caption}) as writer:
        writer.append("captions/facts", ROW)
        writer.drop("captions/facts", "clip_id", {"none"})
    catalog.append("captions/facts", Caption, ROW)
    assert catalog.names("captions") == ["captions/facts"]
    return catalog.read("captions/facts", Caption)["text"].to_pylist()


@pytest.mark.parametrize("name", WORKS)
def test_a_local_output_is_written_at_its_address(tmp_path, name):
    assert write_and_read(Catalog(Storage.at(tmp_path / name / "out"))) == ["text"] * 2
    assert os.listdir(tmp_path) == [name]


@pytest.mark.s3
@pytest.mark.parametrize("name", ["o#p", "o?p", "[x]^|\\ {y}%zz ~<>*", "a&b=c;d+e:ü日本"])
def test_an_output_on_s3_is_written_under_its_prefix(monkeypatch, name):
    bucket = s3.bucket(monkeypatch)
    assert write_and_read(Catalog(Storage.at(f"{bucket}/{name}"))) == ["text"] * 2
    objects = boto3.client("s3").list_objects_v2(Bucket=bucket.removeprefix("s3://"))["Contents"]
    assert {item["Key"].split("/")[0] for item in objects} == {name}


@pytest.mark.parametrize("name", [*REFUSED, *ON_S3_TOO])
def test_a_local_path_that_tables_cannot_use_is_refused(tmp_path, name):
    with pytest.raises(AddressError, match="no tables can be written below"):
        Catalog(Storage.at(tmp_path / name / "out"))
    assert os.listdir(tmp_path) == []
    (tmp_path / name).mkdir() if "/" not in name else None
    (tmp_path / "link").symlink_to(tmp_path / name)
    with pytest.raises(AddressError, match="no tables can be written below"):
        check_address(Storage.at(tmp_path / "link"))


@pytest.mark.parametrize("key", [*REFUSED, "a//b", "/a", "./a", "a/../b"])
def test_a_prefix_that_tables_cannot_use_is_refused(key):
    with pytest.raises(AddressError, match=r"no tables can be written|a part of the address"):
        Catalog(Storage.at(f"s3://bucket/{key}"))


def test_a_file_is_no_output(tmp_path):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(AddressError, match=r"a\.mp4 is a file, not a folder"):
        Catalog(Storage.at(tmp_path / "a.mp4"))


@pytest.mark.parametrize(
    "address",
    ["ftp://b/o", "https://x/o", "hdfs://n/o", "s3a://b/o", "s3:/b/o", Path("s3://b/o"), "ftp:/b",
     "", "a\0b", "s3://", "s3:///o", "file://host/o"],
)  # fmt: skip
def test_an_unsupported_address_is_refused_and_makes_no_folder(tmp_path, monkeypatch, address):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AddressError):
        Catalog(Storage.at(address))


def test_checking_a_folder_leaves_nothing_behind(tmp_path):
    check_writable(Storage.at(tmp_path / "new" / "out"))
    assert os.listdir(tmp_path) == []


@pytest.mark.s3
def test_checking_a_prefix_leaves_nothing_behind(monkeypatch):
    bucket = s3.bucket(monkeypatch)
    check_writable(Storage.at(f"{bucket}/out"))
    objects = boto3.client("s3").list_objects_v2(Bucket=bucket.removeprefix("s3://"))
    assert [item["Key"] for item in objects.get("Contents", []) if item["Size"]] == []
    with pytest.raises(InfrastructureError, match=r"(?i)bucket"):
        check_writable(Storage.at(f"{bucket}-gone/out"))


def test_a_read_only_folder_is_an_error_before_any_work(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(InfrastructureError, match="out cannot be written: Read-only file system"):
        check_writable(Storage.at(small_disk / "out"))


def test_a_full_disk_is_an_error_before_the_commit(small_disk, capfd):
    catalog = Catalog(Storage.at(small_disk / "out"))
    catalog.append("captions/facts", Caption, ROW)
    (small_disk / "ballast").write_bytes(bytes(2 << 20))
    version = catalog.version("captions/facts")
    with pytest.raises(InfrastructureError, match=r"No space left on device: '.*out'"):
        catalog.append("captions/facts", Caption, ROW)
    with pytest.raises(InfrastructureError, match="No space left on device"):
        check_writable(catalog.storage)
    assert catalog.version("captions/facts") == version
    assert "panicked" not in capfd.readouterr().err
    (small_disk / "ballast").unlink()
    check_free_space(catalog.storage)
    catalog.append("captions/facts", Caption, ROW)
