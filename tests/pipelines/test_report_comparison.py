"""Two selections side by side in the report, of an output that is written row by row."""

import json

import pytest

from curation import records
from curation.dataset import Dataset
from curation.errors import UnknownSelectionError
from curation.records import Run
from curation.select.policy import Policy, Range
from curation.select.selection import select
from pipelines.report.comparison import compare
from pipelines.report.page import write_report
from pipelines.report.snapshot import OutputSnapshot
from tests.outputs import run as run_command
from tests.rows import MeasuredClip, add_source, make_clip

MOTIONS = (0.05, 0.15, 0.25, 0.35)


def select_by_motion(dataset, low=None, high=None) -> str:
    """A selection by motion, recorded as a job records it."""
    policy = Policy({"motion": Range(low, high)}, near_duplicates=None)
    selection = select(dataset, policy)
    limits = {"limits": {"motion": {"min": low, "max": high}}, "near_duplicates": None}
    runs = dataset.runs().num_rows
    row = Run(str(runs), "select", f"2026-01-0{runs + 1}", 0.1, json.dumps({"policy": limits}),
              "{}", "{}", "{}", selection.selection_id)  # fmt: skip
    dataset.catalog.append("runs", Run, records.to_table(Run, [row]))
    return selection.selection_id


@pytest.fixture
def dataset(tmp_path):
    """Four clips of one source, by how much moves in them."""
    dataset = Dataset(tmp_path / "out")
    clips = [
        MeasuredClip(make_clip("a" * 64, 48 * n, 48 * n + 48), scores={"motion": motion})
        for n, motion in enumerate(MOTIONS)
    ]
    add_source(dataset, "/v/film.mp4", clips)
    return dataset


def starts(sheet) -> list[str]:
    return [tile.time_range.split("–")[0] for tile in sheet.tiles]


def test_counts_policies_and_clips_that_differ(dataset):
    first = select_by_motion(dataset, low=0.1)
    select_by_motion(dataset, high=0.3)
    comparison = compare(OutputSnapshot.at(dataset), "before")
    assert comparison.previous_id == first
    assert [(o.name, o.current, o.previous, o.change) for o in comparison.outcomes] == [
        ("kept", 3, 3, ""), ("little_motion", 0, 1, "-1"), ("much_motion", 1, 0, "+1"),
    ]  # fmt: skip
    assert [(p.name, p.current, p.previous) for p in comparison.policy] == [
        ("limits.motion.max", "0.3", "–"), ("limits.motion.min", "–", "0.1"),
    ]  # fmt: skip
    assert comparison.both_keep == 2
    assert (starts(comparison.gained), [t.note for t in comparison.gained.tiles]) == (
        ["00:00.0"], ["little_motion"],
    )  # fmt: skip
    assert (starts(comparison.lost), [t.note for t in comparison.lost.tiles]) == (
        ["00:06.0"], ["much_motion"],
    )  # fmt: skip


def test_a_selection_is_named_by_the_beginning_of_its_id(dataset):
    first, second = select_by_motion(dataset, low=0.1), select_by_motion(dataset, low=0.2)
    output = OutputSnapshot.at(dataset)
    assert compare(output, first[:6]).previous_id == first
    same = compare(output, second)
    assert (same.gained.total, same.lost.total, same.policy) == (0, 0, [])
    assert same.gained.extent == ""
    for word in ("", "nothing-like-it"):
        with pytest.raises(UnknownSelectionError, match=r"names \d selections; there are"):
            compare(output, word)


def test_clips_newer_than_the_other_selection(dataset):
    select_by_motion(dataset, low=0.1)
    clip = MeasuredClip(make_clip("b" * 64, 0, 48), scores={"motion": 0.5})
    add_source(dataset, "/v/more.mp4", [clip])
    select_by_motion(dataset, low=0.1)
    comparison = compare(OutputSnapshot.at(dataset), "before")
    assert [tile.note for tile in comparison.gained.tiles] == ["newer than the selection"]
    assert comparison.gained.tiles[0].name == "more.mp4"


def test_without_another_selection(dataset):
    with pytest.raises(UnknownSelectionError, match="no selection yet"):
        compare(OutputSnapshot.at(dataset), "before")
    select_by_motion(dataset, low=0.1)
    with pytest.raises(UnknownSelectionError, match="no other selection"):
        compare(OutputSnapshot.at(dataset), "before")


@pytest.mark.slow
def test_the_page_and_the_command_show_it(dataset, tmp_path):
    first = select_by_motion(dataset, low=0.1)
    select_by_motion(dataset, high=0.3)
    assert 'id="comparison"' not in write_report(dataset, tmp_path / "plain.html").read_text()
    result = run_command("report", str(tmp_path / "out"), "--compare", first)
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "out" / "report.html").read_text()
    assert 'id="comparison"' in text
    assert f"<code>{first}</code>" in text
    assert "Both keep 2 clips." in text
    wrong = run_command("report", str(tmp_path / "out"), "--compare", "nothing")
    assert wrong.returncode == 2
    assert "names 0 selections" in wrong.stderr
