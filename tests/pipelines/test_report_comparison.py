"""Two selections side by side in the report, of an output that is written row by row."""

import json

import pytest

from curation import records
from curation.dataset import Dataset
from curation.records import Run
from curation.select.policy import Policy, Range
from curation.select.selection import select
from pipelines.report import UnknownSelectionError, write_report
from pipelines.report.comparison import compare
from pipelines.report.snapshot import Output
from tests.outputs import run as run_command
from tests.rows import Looks, clip_of, scanned

MOTIONS = (0.05, 0.15, 0.25, 0.35)


def chosen(dataset, low=None, high=None, **more) -> str:
    """A selection by motion, recorded as a job records it."""
    policy = Policy({"motion": Range(low, high)}, copies=None, **more)
    made = select(dataset, policy)
    limits = {"limits": {"motion": {"min": low, "max": high}}, "copies": None}
    runs = dataset.runs().num_rows
    row = Run(str(runs), "select", f"2026-01-0{runs + 1}", 0.1, json.dumps({"policy": limits}),
              "{}", "{}", "{}", made.selection_id)  # fmt: skip
    dataset.catalog.append("runs", Run, records.table(Run, [row]))
    return made.selection_id


@pytest.fixture
def dataset(tmp_path):
    """Four clips of one source, by how much moves in them."""
    made = Dataset(tmp_path / "out")
    looks = [
        Looks(clip_of("a" * 64, 48 * n, 48 * n + 48), scores={"motion": motion})
        for n, motion in enumerate(MOTIONS)
    ]
    scanned(made, "/v/film.mp4", looks)
    return made


def starts(sheet) -> list[str]:
    return [tile.span.split("–")[0] for tile in sheet.tiles]


def test_counts_rules_and_clips_that_differ(dataset):
    first = chosen(dataset, low=0.1)
    chosen(dataset, high=0.3)
    found = compare(Output.at(dataset), "before")
    assert found.before_id == first
    assert [(o.name, o.now, o.before, o.change) for o in found.outcomes] == [
        ("kept", 3, 3, ""), ("little_motion", 0, 1, "-1"), ("much_motion", 1, 0, "+1"),
    ]  # fmt: skip
    assert [(r.name, r.now, r.before) for r in found.rules] == [
        ("limits.motion.max", "0.3", "–"), ("limits.motion.min", "–", "0.1"),
    ]  # fmt: skip
    assert found.both == 2
    assert (starts(found.gained), [t.note for t in found.gained.tiles]) == (
        ["00:00.0"], ["little_motion"],
    )  # fmt: skip
    assert (starts(found.lost), [t.note for t in found.lost.tiles]) == (
        ["00:06.0"], ["much_motion"],
    )  # fmt: skip


def test_a_selection_is_named_by_the_beginning_of_its_id(dataset):
    first, second = chosen(dataset, low=0.1), chosen(dataset, low=0.2)
    output = Output.at(dataset)
    assert compare(output, first[:6]).before_id == first
    same = compare(output, second)
    assert (same.gained.total, same.lost.total, same.rules) == (0, 0, [])
    assert same.gained.said == ""
    for word in ("", "nothing-like-it"):
        with pytest.raises(UnknownSelectionError, match=r"names \d selections; there are"):
            compare(output, word)


def test_clips_that_came_later_were_none_before(dataset):
    chosen(dataset, low=0.1)
    scanned(dataset, "/v/more.mp4", [Looks(clip_of("b" * 64, 0, 48), scores={"motion": 0.5})])
    chosen(dataset, low=0.1)
    found = compare(Output.at(dataset), "before")
    assert [tile.note for tile in found.gained.tiles] == ["newer than the selection"]
    assert found.gained.tiles[0].name == "more.mp4"


def test_there_has_to_be_another(dataset):
    with pytest.raises(UnknownSelectionError, match="no selection yet"):
        compare(Output.at(dataset), "before")
    chosen(dataset, low=0.1)
    with pytest.raises(UnknownSelectionError, match="no other selection"):
        compare(Output.at(dataset), "before")


def test_the_page_and_the_command_show_it(dataset, tmp_path):
    first = chosen(dataset, low=0.1)
    chosen(dataset, high=0.3)
    assert 'id="comparison"' not in write_report(dataset, tmp_path / "plain.html").read_text()
    done = run_command("report", str(tmp_path / "out"), "--compare", first)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "out" / "report.html").read_text()
    assert 'id="comparison"' in text
    assert f"<code>{first}</code>" in text
    assert "Both keep 2 clips." in text
    wrong = run_command("report", str(tmp_path / "out"), "--compare", "nothing")
    assert wrong.returncode == 2
    assert "names 0 selections" in wrong.stderr
