"""Reading captions by the name of their table."""

import json

import pytest

from curation import records
from curation.dataset import Dataset
from curation.lineage import LineageError
from curation.records import Caption, CaptionedClip
from tests import rows


def add_captions(dataset: Dataset, table: str, *captions: Caption, committed: str = "") -> None:
    dataset.catalog.append(f"captions/{table}", Caption, records.to_table(Caption, captions))
    clips = [CaptionedClip(clip, "s", "captioned") for clip in committed]
    if clips:
        markers = records.to_table(CaptionedClip, clips)
        dataset.catalog.append(f"captioned/{table}", CaptionedClip, markers)


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    return Dataset(tmp_path)


def test_windows_of_a_clip_are_joined_in_order(dataset):
    add_captions(dataset, "m", Caption("b", "s", "two", 1), Caption("b", "s", "one", 0),
        Caption("a", "t", "alone"))  # fmt: skip
    assert dataset.captions("m").to_pylist() == [
        {"clip_id": "a", "source_id": "t", "text": "alone", "windows": 1},
        {"clip_id": "b", "source_id": "s", "text": "one\ntwo", "windows": 2},
    ]
    assert dataset.captions("captions/m") == dataset.captions()


def test_the_default_table_is_the_one_last_asked_for(dataset):
    for name in "abc":
        add_captions(dataset, name, Caption("x", "s", name))
    assert dataset.caption_tables() == ["captions/a", "captions/b", "captions/c"]
    for number, name in enumerate("cbc"):
        rows.add_run(dataset, "caption", f"captioned/{name}", started=str(number))
    assert dataset.caption_tables() == ["captions/c", "captions/b", "captions/a"]
    assert dataset.captions()["text"].to_pylist() == ["c"]


def test_captions_without_commit_marker_are_not_read(dataset):
    add_captions(dataset, "m", Caption("a", "s", "1"), Caption("b", "s", "2"), committed="a")
    assert dataset.captions("m")["clip_id"].to_pylist() == ["a"]


def test_an_unknown_table_is_an_error_that_names_the_others(dataset):
    with pytest.raises(LineageError, match="run `reelmill caption` first"):
        dataset.captions()
    add_captions(dataset, "m", Caption("a", "s", "1"))
    with pytest.raises(
        LineageError, match="no captions 'n'; there are captions/m: `reelmill caption` makes"
    ):
        dataset.captions("n")


def test_answers_are_columns_and_booleans_with_a_threshold(dataset):
    def caption(clip, window=0, model="m", **answers):
        return Caption(clip, "s", "t", window, model=model, answers=json.dumps(answers))

    add_captions(dataset, "m", caption("a", people=0.25, text=0.5), caption("a", 1, people=0.75),
        caption("b", people=0.0), Caption("c", "s", "t", model="m"))  # fmt: skip
    assert dataset.answers("m").to_pydict() == {
        "clip_id": ["a", "b", "c"],
        "people": [0.75, 0.0, None],
        "text": [0.5, None, None],
    }
    answers = dataset.answers("m", {"people": 0.75}).to_pydict()
    assert (answers["people"], answers["text"]) == ([True, False, None], [0.5, None, None])
    add_captions(dataset, "facts", caption("a", model=None, duration_s=2.5))
    assert dataset.answers("facts").column_names == ["clip_id"]
