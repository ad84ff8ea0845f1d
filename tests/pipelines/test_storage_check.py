"""A worker without the storage is detected, though it has a folder of the same name."""

import pytest

from curation.errors import InfrastructureError
from pipelines.run.storage_check import StorageMark


def test_the_mark_is_written_once_and_read_by_others(tmp_path):
    mark = StorageMark.create(str(tmp_path / "root"))
    assert StorageMark.create(str(tmp_path / "root")) == mark
    parsed = StorageMark.parse(str(mark))
    assert parsed == mark
    parsed.check()


def test_a_root_with_a_blank_in_its_name_survives_the_variable(tmp_path, monkeypatch):
    mark = StorageMark.create(str(tmp_path / "my root"))
    monkeypatch.setenv("REELMILL_STORAGE_MARK", str(mark))
    assert StorageMark.from_environment() == mark
    monkeypatch.setenv("REELMILL_STORAGE_MARK", "")
    assert StorageMark.from_environment() is None


@pytest.mark.parametrize("content", ["nothing", "an empty folder", "another mark"])
def test_a_folder_of_the_same_name_is_not_the_storage(tmp_path, content):
    root = tmp_path / "root"
    mark = StorageMark.create(str(root))
    root.rename(tmp_path / "gone")
    if content != "nothing":
        root.mkdir()
    if content == "another mark":
        StorageMark.create(str(root))
    with pytest.raises(InfrastructureError, match=f"does not see the storage of {root}"):
        mark.check()
