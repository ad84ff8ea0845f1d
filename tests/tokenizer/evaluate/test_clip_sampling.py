import json
import shutil
from dataclasses import replace

import pytest

from curation import records
from curation.dataset import Dataset
from curation.records import Render, Verdict
from tests.rows import MeasuredClip, add_run, add_source, make_clip
from tokenizer.evaluate.clip_sampling import (
    NoClipsError,
    read_held_out,
    rendered_clips,
    sample_evenly,
)

SOURCES = {"s1": ("/v/bear.mp4", {"dup_group": "animals"}), "s2": ("/v/dog.mkv", {}),
           "s3": ("/v/cat.mp4", {"dup_group": "animals"})}  # fmt: skip


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """Two clips of each source, one of them twice, one copied, one that failed."""
    dataset = Dataset(tmp_path_factory.mktemp("evaluated"))
    renders = []
    for source_id, (uri, extra) in SOURCES.items():
        clips = [make_clip(source_id, start, start + 24) for start in (0, 24)]
        add_source(dataset, uri, [MeasuredClip(clip) for clip in clips], extra=extra)
        for place, clip in enumerate(clips):
            path = f"renders/x/{source_id}-{place}.mp4"
            facts = {"mode": "encode", "path": path, "fps": 12.5, "frames": 24}
            renders.append(
                Render(clip.clip_id, source_id, "rendered", width=96, height=64, **facts)
            )
    renders[3] = replace(renders[3], mode="copy")
    renders[5] = Render(renders[5].clip_id, "s3", "failed", "corrupt", "noise")
    for name, rows in (("renders/x", renders), ("renders/y", renders[:1])):
        dataset.catalog.append(name, Render, records.to_table(Render, rows))
    return dataset


def names(clips):
    return sorted(clip.uri.rsplit("/", 1)[1] for clip in clips)


def test_encoded_clips_are_listed_once_and_in_order(output):
    result = rendered_clips(output)
    assert names(result) == ["s1-0.mp4", "s1-1.mp4", "s2-0.mp4", "s3-0.mp4"]
    assert [clip.source_id for clip in result] == ["s1", "s1", "s2", "s3"]
    assert result[0].clip_id < result[1].clip_id
    assert (result[2].frames, result[2].fps, result[2].width, result[2].height) == (
        24,
        12.5,
        96,
        64,
    )
    assert result[2].uri == output.catalog.storage.uri("renders/x/s2-0.mp4")


def test_clips_of_the_newest_selection_and_the_newest_renders(output, tmp_path):
    shutil.copytree(output.catalog.storage.root, tmp_path / "out")
    dataset = Dataset(tmp_path / "out")
    add_run(dataset, "render", "renders/x", started="1")
    assert names(rendered_clips(dataset)) == ["s1-0.mp4", "s1-1.mp4", "s2-0.mp4", "s3-0.mp4"]
    add_run(dataset, "render", "renders/y", started="2")
    assert names(rendered_clips(dataset)) == ["s1-0.mp4"]
    add_run(dataset, "render", "renders/x", started="3")
    kept = make_clip("s2", 0, 24).clip_id
    verdicts = records.to_table(Verdict, [Verdict("5e1", kept, "s2", "kept")])
    dataset.catalog.append("selection", Verdict, verdicts)
    add_run(dataset, "select", "5e1")
    assert names(rendered_clips(dataset)) == ["s2-0.mp4"]
    assert len(rendered_clips(dataset, selection="all")) == 4
    assert [clip.clip_id for clip in rendered_clips(dataset, selection="5e1")] == [kept]


@pytest.mark.parametrize(
    ("groups", "by", "expected"),
    [
        (["s2"], "source_id", ["s2-0.mp4"]),
        (["animals"], "dup_group", ["s1-0.mp4", "s1-1.mp4", "s3-0.mp4"]),
        (["s2", "other"], "dup_group", ["s2-0.mp4"]),
        (["bear", "dog"], "name", ["s1-0.mp4", "s1-1.mp4", "s2-0.mp4"]),
    ],
)
def test_groups_filter_clips(output, groups, by, expected):
    assert names(rendered_clips(output, groups, by)) == expected


def test_unknown_groups_are_reported_with_the_known_ones(output):
    words = (
        r"held out \(a, b, c, d, e and 2 more\); by dup_group there are animals, s2: give another"
    )
    with pytest.raises(NoClipsError, match=words):
        rendered_clips(output, list("abcdefg"), "dup_group")


def test_an_output_without_encoded_clips_says_what_to_run(tmp_path):
    with pytest.raises(NoClipsError, match="no rendered clips; run `reelmill render` first"):
        rendered_clips(Dataset(tmp_path))


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [5]), (2, [2, 7]), (5, [1, 3, 5, 7, 9]), (10, [*range(10)])]
)
def test_clips_are_sampled_at_even_distances(count, expected):
    assert sample_evenly([*range(10)], count) == expected
    assert sample_evenly([1, 2], 5) == [1, 2]


def test_a_split_lists_its_held_out_groups(tmp_path):
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"validation": ["a", 3]}))
    assert read_held_out(path) == ["a", "3"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no split: needs a JSON list validation"),
        ('{"train": ["a"]}', "needs a JSON list validation .'validation'"),
        ("[1]", "needs a JSON list validation"),
        ('{"validation": []}', "its validation is no list, or is empty"),
        ('{"validation": "a"}', "its validation is no list, or is empty"),
    ],
)
def test_files_that_are_no_split_are_refused(tmp_path, text, words):
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"split\.json {words}|split\.json is no split: {words}"):
        read_held_out(path)
