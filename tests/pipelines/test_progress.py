"""The file that says how far a job is."""

import json
from collections import Counter

import pytest

from pipelines.run import progress
from pipelines.run.step_runner import Tally


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_steps", [])
    monkeypatch.setenv(progress.VARIABLE, str(tmp_path / "progress.json"))
    return tmp_path / "progress.json"


def test_steps_are_written_in_order_with_their_counts(place):
    heard = []
    watch = progress.recorded("scan", "sources", lambda *said: heard.append(said[:2]))
    watch(0, 2, Tally())
    first = json.loads(place.read_text())["steps"]
    assert [(s["step"], s["done"], s["total"]) for s in first] == [("scan", 0, 2)]
    watch(2, 2, Tally(Counter(scanned=2)))
    progress.finished("select", "clips", {"kept": 3, "duplicate": 1})
    scan, select = json.loads(place.read_text())["steps"]
    assert (scan["done"], scan["counts"]) == (2, {"scanned": 2})
    assert scan["at"] >= scan["began"]
    assert (select["total"], select["counts"]) == (4, {"kept": 3, "duplicate": 1})
    assert heard == [(0, 2), (2, 2)]


def test_without_the_variable_nothing_is_written(place, monkeypatch):
    monkeypatch.delenv(progress.VARIABLE)

    def watch(*_):
        pass

    assert progress.recorded("scan", "sources", watch) is watch
    progress.finished("select", "clips", {"kept": 1})
    assert not place.exists()


def test_a_place_that_cannot_be_written_does_not_stop_the_work(place, monkeypatch):
    monkeypatch.setenv(progress.VARIABLE, str(place / "missing" / "progress.json"))
    progress.recorded("scan", "sources", lambda *_: None)(1, 1, Tally())
    assert not place.exists()
