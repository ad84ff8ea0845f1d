"""Reading captions by the name of their table."""

import json

import pytest

from curation import records
from curation.caption_tables import NoCaptionsError
from curation.dataset import Dataset
from curation.records import Caption, CaptionedClip
from tests import rows


def add(dataset: Dataset, table: str, *captions: Caption, announced: str = "") -> None:
    dataset.catalog.append(f"captions/{table}", Caption, records.table(Caption, captions))
    clips = [CaptionedClip(clip, "s", "captioned") for clip in announced]
    if clips:
        made = records.table(CaptionedClip, clips)
        dataset.catalog.append(f"captioned/{table}", CaptionedClip, made)


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    return Dataset(tmp_path)


def test_windows_are_one_text_a_clip_in_order(dataset):
    add(dataset, "m", Caption("b", "s", "two", 1), Caption("b", "s", "one", 0),
        Caption("a", "t", "alone"))  # fmt: skip
    assert dataset.captions("m").to_pylist() == [
        {"clip_id": "a", "source_id": "t", "text": "alone", "windows": 1},
        {"clip_id": "b", "source_id": "s", "text": "one\ntwo", "windows": 2},
    ]
    assert dataset.captions("captions/m") == dataset.captions()


def test_the_table_that_was_filled_last_is_the_one(dataset):
    for name in "abc":
        add(dataset, name, Caption("x", "s", name))
    assert dataset.caption_tables() == ["captions/a", "captions/b", "captions/c"]
    for at, name in enumerate("cbc"):
        rows.ran(dataset, "caption", f"captioned/{name}", started=str(at))
    assert dataset.caption_tables() == ["captions/c", "captions/b", "captions/a"]
    assert dataset.captions()["text"].to_pylist() == ["c"]


def test_what_is_not_announced_does_not_count(dataset):
    add(dataset, "m", Caption("a", "s", "1"), Caption("b", "s", "2"), announced="a")
    assert dataset.captions("m")["clip_id"].to_pylist() == ["a"]


def test_a_table_that_is_not_there_names_those_that_are(dataset):
    with pytest.raises(NoCaptionsError, match="run `reelmill caption` first"):
        dataset.captions()
    add(dataset, "m", Caption("a", "s", "1"))
    with pytest.raises(NoCaptionsError, match="no captions 'n'; there are captions/m"):
        dataset.captions("n")


def test_answers_are_columns_and_truth_values_from_a_threshold_on(dataset):
    def caption(clip, window=0, model="m", **answers):
        return Caption(clip, "s", "t", window, model=model, answers=json.dumps(answers))

    add(dataset, "m", caption("a", people=0.25, text=0.5), caption("a", 1, people=0.75),
        caption("b", people=0.0), Caption("c", "s", "t", model="m"))  # fmt: skip
    assert dataset.answers("m").to_pydict() == {
        "clip_id": ["a", "b", "c"],
        "people": [0.75, 0.0, None],
        "text": [0.5, None, None],
    }
    found = dataset.answers("m", {"people": 0.75}).to_pydict()
    assert (found["people"], found["text"]) == ([True, False, None], [0.5, None, None])
    add(dataset, "facts", caption("a", model=None, duration_s=2.5))
    assert dataset.answers("facts").column_names == ["clip_id"]
