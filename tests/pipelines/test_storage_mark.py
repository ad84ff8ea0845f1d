"""Who sees the same storage, and who only has a folder of the same name."""

import pytest

from curation.errors import InfrastructureError
from pipelines.run.storage_check import StorageMark


def test_the_mark_is_made_once_and_holds_for_whoever_sees_it(tmp_path):
    mark = StorageMark.of(str(tmp_path / "root"))
    assert StorageMark.of(str(tmp_path / "root")) == mark
    again = StorageMark.parse(str(mark))
    assert again == mark
    again.check()


def test_a_root_with_a_blank_in_its_name_survives_the_variable(tmp_path, monkeypatch):
    mark = StorageMark.of(str(tmp_path / "my root"))
    monkeypatch.setenv("REELMILL_STORAGE_MARK", str(mark))
    assert StorageMark.handed() == mark
    monkeypatch.setenv("REELMILL_STORAGE_MARK", "")
    assert StorageMark.handed() is None


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "another mark"])
def test_a_folder_of_the_same_name_is_not_the_storage(tmp_path, there):
    root = tmp_path / "root"
    mark = StorageMark.of(str(root))
    root.rename(tmp_path / "gone")
    if there != "nothing":
        root.mkdir()
    if there == "another mark":
        StorageMark.of(str(root))
    with pytest.raises(InfrastructureError, match=f"does not see the storage of {root}"):
        mark.check()
