"""Which renders there are to fit, train and evaluate on."""

import pytest

from curation import records
from curation.dataset import Dataset
from curation.records import Render, Verdict
from tests.rows import add_run
from tokenizer.train.renders import encoded_renders

PLAIN, BLURRED = "renders/encode-1", "renders/encode-2"


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    """Three clips rendered plainly, one copied, one failed; then two of them with faces blurred."""
    made = Dataset(tmp_path)
    modes = {"a": "encode", "b": "encode", "c": "encode", "d": "copy"}
    rows = [Render(clip, "s", "rendered", mode=mode, path=f"1/{clip}") for clip, mode in
            modes.items()] + [Render("e", "s", "failed", "corrupt", mode="encode")]  # fmt: skip
    made.catalog.append(PLAIN, Render, records.to_table(Render, rows))
    rows = [Render(clip, "s", "rendered", mode="encode", path=f"2/{clip}") for clip in "ab"]
    made.catalog.append(BLURRED, Render, records.to_table(Render, rows))
    return made


def select(dataset: Dataset, name: str, kept: str) -> None:
    rows = [Verdict(name, clip, "s", "kept" if clip in kept else "filtered") for clip in "abcde"]
    dataset.catalog.append("selection", Verdict, records.to_table(Verdict, rows))
    add_run(dataset, "select", name, started=name)


def paths(dataset: Dataset, selection: str | None = None) -> list[str | None]:
    return [render.path for render in encoded_renders(dataset, selection)]


def test_clips_are_those_of_the_newest_renders_alone(dataset):
    add_run(dataset, "render", PLAIN, started="1")
    assert paths(dataset) == ["1/a", "1/b", "1/c"]
    add_run(dataset, "render", BLURRED, started="2")
    assert paths(dataset) == ["2/a", "2/b"]


def test_clips_are_those_that_the_newest_selection_keeps(dataset):
    add_run(dataset, "render", PLAIN, started="1")
    select(dataset, "s1", "abc")
    select(dataset, "s2", "cd")
    assert paths(dataset) == ["1/c"]
    assert paths(dataset, "s1") == paths(dataset, "all") == ["1/a", "1/b", "1/c"]
    with pytest.raises(ValueError, match="no selection 's3'; there are s1, s2"):
        encoded_renders(dataset, "s3")


def test_where_no_run_says_which_renders_are_newest_each_clip_counts_once(dataset):
    assert len(paths(dataset)) == 3
