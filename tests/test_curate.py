"""The main job from end to end on Ray, over sample sources whose truth is known."""

import shutil
from pathlib import Path

import pytest

from curation.dataset import Dataset
from curation.delta_table import arrow_dataset
from curation.sample import SampleTruth, write_sample
from curation.search import Search
from tests.outputs import ROOT, run, versions
from tests.run_folder import made_once

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def curated(tmp_path_factory) -> tuple[Path, Path, list[SampleTruth]]:
    sample, truths = made_once(tmp_path_factory, "sample", write_sample)
    folder = tmp_path_factory.mktemp("curated")
    shutil.copytree(sample, folder / "videos")
    out = folder / "out"
    done = run("curate", str(folder / "videos"), "--out", str(out), "--set", "executor=ray")
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stderr == ""
    assert "3 inputs failed: 1 corrupt, 1 empty, 1 not video" in done.stdout
    return folder / "videos", out, truths


@pytest.fixture(scope="module")
def clips(curated) -> dict[str, list[dict]]:
    """Rows of each source's clips in order, by file name."""
    found: dict[str, list[dict]] = {}
    for row in Dataset(curated[1]).clips().sort_by("start_frame").to_pylist():
        found.setdefault(Path(row["uri"]).name, []).append(row)
    return found


def test_every_source_ends_as_its_truth_says(curated, clips):
    sources = {Path(s["uri"]).name: s for s in Dataset(curated[1]).sources().to_pylist()}
    assert sources.keys() == {truth.file for truth in curated[2]}
    for truth in curated[2]:
        source = sources[truth.file]
        if truth.expect == "failed":
            assert (source["outcome"], source["reason"]) == ("failed", truth.reason), truth.file
            continue
        assert source["outcome"] == "scanned"
        assert source["frames"] == truth.frames
        verdicts = {row["verdict"] for row in clips[truth.file]}
        assert truth.expect in verdicts, (truth.file, clips[truth.file])
        if truth.expect != "kept":
            assert verdicts == {truth.expect}, truth.file


def test_the_duplicate_names_its_original(clips):
    original = clips["flight.mp4"][0]
    copy = clips["flight_copy.mkv"][0]
    assert copy["duplicate_of"] == original["clip_id"]
    assert copy["similarity"] > 0.95


def test_shots_are_those_that_were_drawn(curated, clips):
    for truth in curated[2]:
        if truth.expect != "failed":
            found = [(r["shot_start_frame"], r["shot_end_frame"]) for r in clips[truth.file]]
            hard = [cut for cut in truth.hard_cuts if cut not in [start for start, _ in found]]
            assert not hard, truth.file
            assert len(found) == len(truth.shots), truth.file


def test_filtered_for_the_right_reasons(clips):
    reasons = {name: {row["reason"] for row in rows} for name, rows in clips.items()}
    assert reasons["blurred.mp4"] == {"blurred"}
    assert reasons["letterboxed.mp4"] == {"bars"}
    assert reasons["frozen.mp4"] <= {"little_motion", "mostly_still"}
    assert reasons["black.mp4"] <= {"little_motion", "mostly_still", "black", "dark"}
    assert "too_short" in reasons["city.mkv"]


def test_every_kept_clip_is_a_file_with_tokens(curated):
    dataset = Dataset(curated[1])
    kept = set(dataset.clips("kept")["clip_id"].to_pylist())
    for prefix, outcome in (("renders", "rendered"), ("tokenized", "tokenized")):
        (name,) = dataset.catalog.names(prefix)
        table = arrow_dataset(dataset.catalog.open(name), dataset.catalog.storage, name).to_table()
        assert set(table["clip_id"].to_pylist()) == kept
        assert set(table["outcome"].to_pylist()) == {outcome}


def test_a_second_run_does_and_writes_nothing(curated):
    videos, out, _ = curated
    before = versions(out)
    done = run("curate", str(videos), "--out", str(out))
    assert done.returncode == 3
    assert done.stdout.count("nothing to do") == 4
    assert versions(out) == before


def test_it_verifies_and_reports(curated):
    out = curated[1]
    assert run("verify", str(out)).returncode == 0
    assert run("report", str(out)).returncode == 0
    page = (out / "report.html").read_text()
    assert "flight_copy.mkv" in page
    assert "not_video" in page


def test_another_threshold_takes_no_video(curated, tmp_path):
    """The sources are out of reach, and the selection still changes."""
    videos, out, _ = curated
    hidden = videos.rename(tmp_path / "hidden")
    try:
        before = Dataset(out).clips("kept").num_rows
        assert run("select", str(out), "--set", "motion.min=0.3").returncode == 3
        assert Dataset(out).clips("kept").num_rows < before
        assert run("select", str(out)).returncode == 3
        assert Dataset(out).clips("kept").num_rows == before
    finally:
        hidden.rename(videos)


def test_tokens_decode_to_the_clip(curated, tmp_path):
    import av

    out = curated[1]
    row = Dataset(out).clips("kept").to_pylist()[0]
    target = tmp_path / "look.mp4"
    done = run("tokenizer", "decode", str(out), row["clip_id"][:10], "--video", str(target))
    assert done.returncode == 0, done.stderr
    with av.open(str(target)) as video:
        frames = sum(1 for _ in video.decode(video=0))
    assert frames == row["end_frame"] - row["start_frame"]


SEARCHES = {
    "ships in a harbour": ("journey.mp4", 10.5),
    "mountains in the morning": ("journey.mp4", 0.0),
    "sand in the desert": ("seasons.mov", 0.0),
}
"""Searches of `make demo`: the file and the start of the shot that shows it."""


def test_the_searches_of_the_demo_find_what_they_say(curated):
    lines = (ROOT / "Makefile").read_text().splitlines()
    assert [line.split('"')[1] for line in lines if "reelmill search" in line] == list(SEARCHES)
    search = Search(curated[1])
    for words, (file, start_s) in SEARCHES.items():
        hits = search.query(words, k=2).to_pylist()
        found = [(Path(hit["uri"]).name, hit["start_s"]) for hit in hits]
        # Two sources show the mountains, one of them in a letterbox.
        assert (file, pytest.approx(start_s, abs=0.1)) in found, words
        assert found[0][0] in (file, "letterboxed.mp4"), words
