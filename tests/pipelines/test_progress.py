"""The file with the progress of a job."""

import json
from collections import Counter

import pytest

from pipelines.run import progress
from pipelines.run.step_runner import Progress


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_steps", [])
    monkeypatch.setenv(progress.PROGRESS_VARIABLE, str(tmp_path / "progress.json"))
    return tmp_path / "progress.json"


def test_steps_are_written_in_order_with_their_counts(path):
    calls = []
    update = progress.with_progress_file("scan", "sources", lambda *args: calls.append(args[:2]))
    update(0, 2, Progress())
    first = json.loads(path.read_text())["steps"]
    assert [(s["step"], s["done"], s["total"]) for s in first] == [("scan", 0, 2)]
    update(2, 2, Progress(Counter(scanned=2)))
    progress.record_finished("select", "clips", {"kept": 3, "duplicate": 1})
    scan, select = json.loads(path.read_text())["steps"]
    assert (scan["done"], scan["counts"]) == (2, {"scanned": 2})
    assert scan["at"] >= scan["began"]
    assert (select["total"], select["counts"]) == (4, {"kept": 3, "duplicate": 1})
    assert calls == [(0, 2), (2, 2)]


def test_without_the_variable_nothing_is_written(path, monkeypatch):
    monkeypatch.delenv(progress.PROGRESS_VARIABLE)

    def callback(*_):
        pass

    assert progress.with_progress_file("scan", "sources", callback) is callback
    progress.record_finished("select", "clips", {"kept": 1})
    assert not path.exists()


def test_an_unwritable_file_does_not_stop_the_work(path, monkeypatch):
    monkeypatch.setenv(progress.PROGRESS_VARIABLE, str(path / "missing" / "progress.json"))
    progress.with_progress_file("scan", "sources", lambda *_: None)(1, 1, Progress())
    assert not path.exists()
