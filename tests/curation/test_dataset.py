import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curation import records, subset
from curation.dataset import Dataset, sources_by_id
from curation.records import Embedding, Source, Verdict
from curation.scan.collector import EMBEDDINGS
from curation.select.filter import filter_values
from curation.select.policy import LIMITS
from tests import rows

ONE, TWO = "1" * 64, "2" * 64
FIRST = [
    rows.MeasuredClip(rows.make_clip(ONE, 0, 48, (0, 96)), scores={"motion": 0.25}),
    rows.MeasuredClip(
        rows.make_clip(ONE, 48, 96, (0, 96)), scores={"sharpness": 0.5, "motion": 0.75}
    ),
]
SECOND = [rows.MeasuredClip(rows.make_clip(TWO, 0, 24))]


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("dataset")
    rows.add_source(Dataset(place), "/v/b.mp4", FIRST)
    rows.add_source(Dataset(place), "/v/c.mp4", SECOND, width=90, height=160)
    return place


@pytest.fixture
def dataset(template, tmp_path) -> Dataset:
    shutil.copytree(template, tmp_path / "out")
    return Dataset(tmp_path / "out")


def add_selection(dataset: Dataset, name: str, started: str, **verdicts: str) -> None:
    """A selection with the given verdict for each clip id."""
    selection = [Verdict(name, clip, ONE, verdict) for clip, verdict in verdicts.items()]
    dataset.catalog.append("selection", Verdict, records.to_table(Verdict, selection))
    rows.add_run(dataset, "select", name, started=started)


def test_a_missing_output_reads_as_empty_tables(tmp_path):
    dataset = Dataset(tmp_path / "nothing")
    assert dataset.sources().num_rows == dataset.clips().num_rows == dataset.runs().num_rows == 0
    assert dataset.latest_selection() is None
    assert not (tmp_path / "nothing").exists()


def test_selections_and_subsets_are_resolved_by_id_prefix_and_name(dataset, tmp_path):
    assert (
        dataset.resolve_selection()
        is dataset.resolve_selection("latest")
        is dataset.resolve_selection("all")
        is None
    )
    with pytest.raises(
        ValueError, match="no selection '5e'; there are none: run `reelmill select`"
    ):
        dataset.resolve_selection("5e")
    one, two = (measured.clip.clip_id for measured in FIRST)
    add_selection(dataset, "5e1ec7", "1", **{one: "kept", two: "filtered"})
    add_selection(dataset, "5eed00", "2", **{one: "filtered", two: "kept"})
    assert dataset.resolve_selection() == dataset.resolve_selection("latest") == "5eed00"
    assert dataset.resolve_selection("5e1") == "5e1ec7"
    assert dataset.resolve_selection("all") is None
    with pytest.raises(ValueError, match="no selection '5e'; there are 5e1ec7, 5eed00"):
        dataset.resolve_selection("5e")
    hits = pa.table({"clip_id": [one], "source_id": [ONE], "score": [1.0]})
    subset_id = subset.export_subset(dataset.catalog, "mine", hits, {}, "1")
    assert dataset.resolve_selection("mine") == dataset.resolve_selection(subset_id) == subset_id
    assert (
        dataset.kept_clip_ids(subset_id).to_pylist()
        == dataset.kept_clip_ids("5e1ec7").to_pylist()
        == [one]
    )


@pytest.mark.parametrize("name", ["all", "latest"])
def test_names_of_selections_are_refused_for_subsets(dataset, name):
    hits = pa.table({"clip_id": ["c"], "source_id": [ONE], "score": [1.0]})
    with pytest.raises(ValueError, match=f"a subset cannot be called {name}"):
        subset.export_subset(dataset.catalog, name, hits, {}, "1")


def test_clips_have_scores_and_metadata_of_their_source(dataset):
    by_id = {row["clip_id"]: row for row in dataset.clips().to_pylist()}
    assert len(by_id) == dataset.clips().num_rows == 3
    assert list(by_id) == sorted(by_id)
    second = by_id[FIRST[1].clip.clip_id]
    assert (second["motion"], second["sharpness"], second["brightness"]) == (0.75, 0.5, None)
    assert (second["uri"], second["width"], second["fps"]) == ("/v/b.mp4", 640, 24.0)
    assert (second["start_frame"], second["shot_start_frame"]) == (48, 0)
    upright = by_id[SECOND[0].clip.clip_id]
    assert (upright["uri"], upright["width"], upright["motion"]) == ("/v/c.mp4", 90, None)
    assert "verdict" not in upright


def test_texts_as_dictionaries_are_the_same_texts(dataset):
    columns = ["uri", "kind", "motion"]
    plain = dataset.scored_clips(columns=columns)
    found = dataset.scored_clips(columns=columns, as_dictionaries=True)
    assert found.to_pylist() == plain.to_pylist()
    assert pa.types.is_dictionary(found.schema.field("uri").type)


def test_sources_without_their_commit_marker_are_invisible(dataset):
    half = [rows.MeasuredClip(rows.make_clip("3" * 64, 0, 24))]
    rows.add_source(dataset, "/v/half.mp4", half, commit=False)
    assert dataset.all_clips().num_rows == dataset.clips().num_rows == 3
    assert dataset.side_table(EMBEDDINGS, Embedding).num_rows == 3
    assert dataset.catalog.read(EMBEDDINGS, Embedding).num_rows == 4
    assert {row["uri"] for row in dataset.sources().to_pylist()} == {"/v/b.mp4", "/v/c.mp4"}


def test_the_same_bytes_under_two_names_are_one_source(dataset):
    copy = rows.make_source("/v/a.mp4", ONE, [measured.clip for measured in FIRST])
    failed = Source("/v/0.mp4", 9, "1", "failed", "time_limit", source_id=ONE)
    dataset.catalog.append("sources", Source, records.to_table(Source, [copy, failed]))
    assert dataset.clips().num_rows == 3
    uris = {row["source_id"]: row["uri"] for row in dataset.clips().to_pylist()}
    assert uris == {ONE: "/v/a.mp4", TWO: "/v/c.mp4"}
    assert {i: s.uri for i, s in sources_by_id(dataset.catalog).items()} == uris


def test_the_newest_selection_is_the_default(dataset):
    first, second = (measured.clip.clip_id for measured in FIRST)
    add_selection(dataset, "later", "2026-01-01T10", **{first: "kept", second: "duplicate"})
    add_selection(dataset, "earlier", "2026-01-01T09", **{first: "filtered", second: "kept"})
    rows.add_run(dataset, "render", "renders/x", started="2026-01-01T11")
    assert dataset.latest_selection() == "later"
    assert dataset.clips("kept")["clip_id"].to_pylist() == [first]
    assert dataset.clips("duplicate")["clip_id"].to_pylist() == [second]
    assert dataset.clips("kept", "earlier")["clip_id"].to_pylist() == [second]
    assert dataset.clips("filtered", "earlier")["clip_id"].to_pylist() == [first]
    everything = {row["clip_id"]: row["verdict"] for row in dataset.clips().to_pylist()}
    assert everything[SECOND[0].clip.clip_id] is None
    assert len(everything) == 3


def test_an_unknown_verdict_is_an_error(dataset):
    with pytest.raises(ValueError, match="no clip is kept yet: run `reelmill select` first"):
        dataset.clips("kept")
    with pytest.raises(ValueError, match="verdict 'keep' is none of kept, filtered, duplicate"):
        dataset.clips("keep")


def test_filter_values_cover_every_limit_of_a_policy(dataset):
    clips = dataset.clips()
    values = filter_values(clips)
    assert list(values) == list(LIMITS)
    at = clips["clip_id"].to_pylist().index(SECOND[0].clip.clip_id)
    assert (values["duration_s"][at], values["short_side"][at], values["fps"][at]) == (1.0, 90, 24)
    assert np.isnan(values["motion"][at])
    assert np.nansum(values["motion"]) == 1.0
    assert all(column.dtype == np.float64 for column in values.values())
