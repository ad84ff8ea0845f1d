import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curation import records, subset
from curation.dataset import Dataset, source_rows
from curation.records import Embedding, Source, Verdict
from curation.scan.collector import EMBEDDINGS
from curation.select.filter import numbers
from curation.select.policy import LIMITS
from tests import rows

ONE, TWO = "1" * 64, "2" * 64
FIRST = [
    rows.Looks(rows.clip_of(ONE, 0, 48, (0, 96)), scores={"motion": 0.25}),
    rows.Looks(rows.clip_of(ONE, 48, 96, (0, 96)), scores={"sharpness": 0.5, "motion": 0.75}),
]
SECOND = [rows.Looks(rows.clip_of(TWO, 0, 24))]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("dataset")
    rows.scanned(Dataset(place), "/v/b.mp4", FIRST)
    rows.scanned(Dataset(place), "/v/c.mp4", SECOND, width=90, height=160)
    return place


@pytest.fixture
def dataset(made, tmp_path) -> Dataset:
    shutil.copytree(made, tmp_path / "out")
    return Dataset(tmp_path / "out")


def judge(dataset: Dataset, name: str, started: str, **verdicts: str) -> None:
    """A selection with the given verdict for each clip id."""
    made = [Verdict(name, clip, ONE, verdict) for clip, verdict in verdicts.items()]
    dataset.catalog.append("selection", Verdict, records.table(Verdict, made))
    rows.ran(dataset, "select", name, started=started)


def test_an_empty_place_reads_as_empty_tables(tmp_path):
    dataset = Dataset(tmp_path / "nothing")
    assert dataset.sources().num_rows == dataset.clips().num_rows == dataset.runs().num_rows == 0
    assert dataset.latest_selection() is None
    assert not (tmp_path / "nothing").exists()


def test_which_selection_is_meant(dataset, tmp_path):
    assert dataset.selected() is dataset.selected("latest") is dataset.selected("all") is None
    with pytest.raises(
        ValueError, match="no selection '5e'; there are none: run `reelmill select`"
    ):
        dataset.selected("5e")
    one, two = (look.clip.clip_id for look in FIRST)
    judge(dataset, "5e1ec7", "1", **{one: "kept", two: "filtered"})
    judge(dataset, "5eed00", "2", **{one: "filtered", two: "kept"})
    assert dataset.selected() == dataset.selected("latest") == "5eed00"
    assert dataset.selected("5e1") == "5e1ec7"
    assert dataset.selected("all") is None
    with pytest.raises(ValueError, match="no selection '5e'; there are 5e1ec7, 5eed00"):
        dataset.selected("5e")
    hits = pa.table({"clip_id": [one], "source_id": [ONE], "score": [1.0]})
    subset_id = subset.export(dataset.catalog, "mine", hits, {}, "1")
    assert dataset.selected("mine") == dataset.selected(subset_id) == subset_id
    assert dataset.kept(subset_id).to_pylist() == dataset.kept("5e1ec7").to_pylist() == [one]


@pytest.mark.parametrize("name", ["all", "latest"])
def test_no_subset_is_called_what_stands_for_a_selection(dataset, name):
    hits = pa.table({"clip_id": ["c"], "source_id": [ONE], "score": [1.0]})
    with pytest.raises(ValueError, match=f"a subset cannot be called {name}"):
        subset.export(dataset.catalog, name, hits, {}, "1")


def test_one_row_a_clip_with_scores_and_facts_of_its_source(dataset):
    found = {row["clip_id"]: row for row in dataset.clips().to_pylist()}
    assert len(found) == dataset.clips().num_rows == 3
    assert list(found) == sorted(found)
    second = found[FIRST[1].clip.clip_id]
    assert (second["motion"], second["sharpness"], second["brightness"]) == (0.75, 0.5, None)
    assert (second["uri"], second["width"], second["fps"]) == ("/v/b.mp4", 640, 24.0)
    assert (second["start_frame"], second["shot_start_frame"]) == (48, 0)
    upright = found[SECOND[0].clip.clip_id]
    assert (upright["uri"], upright["width"], upright["motion"]) == ("/v/c.mp4", 90, None)
    assert "verdict" not in upright


def test_sources_that_were_cut_off_before_their_last_row_are_not_seen(dataset):
    half = [rows.Looks(rows.clip_of("3" * 64, 0, 24))]
    rows.scanned(dataset, "/v/half.mp4", half, announce=False)
    assert dataset.all_clips().num_rows == dataset.clips().num_rows == 3
    assert dataset.side(EMBEDDINGS, Embedding).num_rows == 3
    assert dataset.catalog.read(EMBEDDINGS, Embedding).num_rows == 4
    assert {row["uri"] for row in dataset.sources().to_pylist()} == {"/v/b.mp4", "/v/c.mp4"}


def test_the_same_bytes_under_two_names_are_one_source(dataset):
    copy = rows.source_of("/v/a.mp4", ONE, [look.clip for look in FIRST])
    failed = Source("/v/0.mp4", 9, "1", "failed", "time_limit", source_id=ONE)
    dataset.catalog.append("sources", Source, records.table(Source, [copy, failed]))
    assert dataset.clips().num_rows == 3
    uris = {row["source_id"]: row["uri"] for row in dataset.clips().to_pylist()}
    assert uris == {ONE: "/v/a.mp4", TWO: "/v/c.mp4"}
    assert {i: s.uri for i, s in source_rows(dataset.catalog).items()} == uris


def test_the_selection_that_was_asked_for_last_counts(dataset):
    first, second = (look.clip.clip_id for look in FIRST)
    judge(dataset, "later", "2026-01-01T10", **{first: "kept", second: "duplicate"})
    judge(dataset, "earlier", "2026-01-01T09", **{first: "filtered", second: "kept"})
    rows.ran(dataset, "render", "renders/x", started="2026-01-01T11")
    assert dataset.latest_selection() == "later"
    assert dataset.clips("kept")["clip_id"].to_pylist() == [first]
    assert dataset.clips("duplicate")["clip_id"].to_pylist() == [second]
    assert dataset.clips("kept", "earlier")["clip_id"].to_pylist() == [second]
    assert dataset.clips("filtered", "earlier")["clip_id"].to_pylist() == [first]
    everything = {row["clip_id"]: row["verdict"] for row in dataset.clips().to_pylist()}
    assert everything[SECOND[0].clip.clip_id] is None
    assert len(everything) == 3


def test_a_verdict_that_there_is_not_is_an_error(dataset):
    with pytest.raises(ValueError, match="no clip is kept yet: run `reelmill select` first"):
        dataset.clips("kept")
    with pytest.raises(ValueError, match="verdict 'keep' is none of kept, filtered, duplicate"):
        dataset.clips("keep")


def test_numbers_hold_every_value_that_a_policy_may_bound(dataset):
    clips = dataset.clips()
    found = numbers(clips)
    assert list(found) == list(LIMITS)
    at = clips["clip_id"].to_pylist().index(SECOND[0].clip.clip_id)
    assert (found["duration_s"][at], found["short_side"][at], found["fps"][at]) == (1.0, 90, 24)
    assert np.isnan(found["motion"][at])
    assert np.nansum(found["motion"]) == 1.0
    assert all(column.dtype == np.float64 for column in found.values())
