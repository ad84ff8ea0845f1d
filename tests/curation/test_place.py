"""Where an output can lie: every place either works as it is written, or is refused in words."""

import os
import subprocess
from pathlib import Path

import boto3
import pytest

from curation import records
from curation.catalog import Catalog
from curation.errors import InfrastructureError
from curation.output_location import check_room, check_tables, check_writable
from curation.records import Caption
from curation.storage import PlaceError, Storage
from tests import s3

ROW = records.table(Caption, [Caption("a", "s", "text")])
WORKS = ["o#p", "o?p", "a b", "%", "%zz", "{y}", "~", "<>", '"q"', "ü日本", "a&b=c;d+e", "x:y", "*"]
ON_S3_TOO = ["[x]", "^", "|", "back\\slash"]
REFUSED = ["a%20b", "%2F", "new\nline", "\x7f"]


def written(catalog: Catalog) -> list[str]:
    """What is read back after every kind of commit."""
    with catalog.writer("t", {"captions/facts": Caption}) as writer:
        writer.append("captions/facts", ROW)
        writer.drop("captions/facts", "clip_id", {"none"})
    catalog.append("captions/facts", Caption, ROW)
    assert catalog.names("captions") == ["captions/facts"]
    return catalog.read("captions/facts", Caption)["text"].to_pylist()


@pytest.mark.parametrize("name", WORKS)
def test_a_local_output_lies_where_it_was_named(tmp_path, name):
    assert written(Catalog(Storage.at(tmp_path / name / "out"))) == ["text"] * 2
    assert os.listdir(tmp_path) == [name]


@pytest.mark.s3
@pytest.mark.parametrize("name", ["o#p", "o?p", "[x]^|\\ {y}%zz ~<>*", "a&b=c;d+e:ü日本"])
def test_an_output_on_s3_lies_under_its_own_prefix(monkeypatch, name):
    bucket = s3.bucket(monkeypatch)
    assert written(Catalog(Storage.at(f"{bucket}/{name}"))) == ["text"] * 2
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket.removeprefix("s3://"))["Contents"]
    assert {each["Key"].split("/")[0] for each in listed} == {name}


@pytest.mark.parametrize("name", [*REFUSED, *ON_S3_TOO])
def test_a_local_place_that_no_table_can_lie_in_is_refused(tmp_path, name):
    with pytest.raises(PlaceError, match="no tables can be written below"):
        Catalog(Storage.at(tmp_path / name / "out"))
    assert os.listdir(tmp_path) == []
    (tmp_path / name).mkdir() if "/" not in name else None
    (tmp_path / "link").symlink_to(tmp_path / name)
    with pytest.raises(PlaceError, match="no tables can be written below"):
        check_tables(Storage.at(tmp_path / "link"))


@pytest.mark.parametrize("key", [*REFUSED, "a//b", "/a", "./a", "a/../b"])
def test_a_prefix_that_no_table_can_lie_in_is_refused(key):
    with pytest.raises(PlaceError, match=r"no tables can be written|a part of the address"):
        Catalog(Storage.at(f"s3://bucket/{key}"))


def test_a_file_is_no_output(tmp_path):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(PlaceError, match=r"a\.mp4 is a file, not a folder"):
        Catalog(Storage.at(tmp_path / "a.mp4"))


@pytest.mark.parametrize(
    "place",
    ["gs://b/o", "https://x/o", "hdfs://n/o", "s3a://b/o", "s3:/b/o", Path("s3://b/o"), "gs:/b", "",
     "a\0b", "s3://", "s3:///o", "file://host/o"],
)  # fmt: skip
def test_a_place_of_another_kind_is_refused_and_makes_no_folder(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PlaceError):
        Storage.at(place)


def test_a_writable_place_is_left_as_it_was(tmp_path):
    check_writable(Storage.at(tmp_path / "new" / "out"))
    assert os.listdir(tmp_path) == []


@pytest.mark.s3
def test_a_writable_prefix_is_left_as_it_was(monkeypatch):
    bucket = s3.bucket(monkeypatch)
    check_writable(Storage.at(f"{bucket}/out"))
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket.removeprefix("s3://"))
    assert [each["Key"] for each in listed.get("Contents", []) if each["Size"]] == []
    with pytest.raises(InfrastructureError, match=r"(?i)bucket"):
        check_writable(Storage.at(f"{bucket}-gone/out"))


def test_a_read_only_place_is_said_before_any_work(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(InfrastructureError, match="out cannot be written: Read-only file system"):
        check_writable(Storage.at(small_disk / "out"))


def test_a_full_disk_is_said_before_the_commit(small_disk, capfd):
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
    check_room(catalog.storage)
    catalog.append("captions/facts", Caption, ROW)
