"""The fault matrix goes on where a session before it stopped."""

from types import SimpleNamespace

import pytest

from tests.fault_table import PROPERTY, FaultTable


def report(test: str, faults: int, outcome: str = "passed") -> SimpleNamespace:
    entry = {"row": "bit rot", "seed": 3, "faults": faults, "lost": 0, "doubled": 0, "wrong": 0,
             "recovery_s": 1.5}  # fmt: skip
    return SimpleNamespace(
        nodeid=test, when="call", passed=outcome == "passed", failed=outcome == "failed",
        keywords={"faults": 1}, user_properties=[(PROPERTY, entry)],
    )  # fmt: skip


@pytest.fixture
def path(tmp_path):
    """The file of a session of two tests, one of which failed."""
    path = tmp_path / "faults.jsonl"
    table = FaultTable(path, "full")
    table.pytest_runtest_logreport(report("rot[3]", 2))
    table.pytest_runtest_logreport(report("rot[4]", 5, "failed"))
    assert table.lines()[-1] == "failed: rot[4]"
    return path


def test_what_passed_is_done_and_counted_and_what_failed_is_tried_again(path):
    table = FaultTable(path, "full")
    assert table.done == {"rot[3]"}
    table.pytest_runtest_logreport(report("rot[4]", 5))
    assert table.lines()[2] == "| bit rot | 1 | 7 | 0 | 0 | 0 | 1.5 |"


def test_files_of_several_sessions_are_merged_end_to_end(path):
    path.write_text(path.read_text() * 2 + path.read_text().replace("rot[3]", "rot[5]"))
    table = FaultTable(path, "full")
    assert table.done == {"rot[3]", "rot[5]"}
    assert table.lines()[2] == "| bit rot | 1 | 4 | 0 | 0 | 0 | 1.5 |"


def test_what_a_sample_did_the_full_matrix_does_again(path):
    assert not FaultTable(path, "sample").done
