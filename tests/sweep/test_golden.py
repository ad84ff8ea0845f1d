"""Files from bug reports: scan, both kinds of render, audio and tokens match the ground truth."""

from __future__ import annotations

import pytest

from curation import records
from curation.records import Clip
from tests.sweep import oracle
from tests.sweep.compare import compare, render, scan
from tests.sweep.golden import FOLDER, NAMES, golden

pytestmark = pytest.mark.media


@pytest.mark.parametrize("name", NAMES)
def test_each_file_matches_its_ground_truth(name):
    outcome = compare(golden(name), FOLDER / name, window_s=2.0)
    assert str(outcome) == "ok"


def _scanned(name, window_s=2.0):
    result = scan(FOLDER / name, window_s)
    assert (result.source.outcome, result.source.detail) == ("scanned", None)
    return result.source, records.from_table(Clip, result.clips)


@pytest.mark.parametrize("name", NAMES)
def test_every_clip_has_colour_tags(name, tmp_path):
    source, clips = _scanned(name)
    for row in render(source, clips, tmp_path):
        assert row.outcome == "rendered", row.detail
        matrix, transfer, primaries, _ = oracle.decode(tmp_path / row.path).tags
        assert 2 not in (matrix, transfer, primaries)
        assert transfer not in (16, 18), "an SDR clip is tagged as HDR"


@pytest.mark.parametrize("fps", [10.0, 25.0, 30.0, 60.0])
@pytest.mark.parametrize("name", ["17_vfr_resampled.mp4", "02_vfr_one_equal_pts.mkv"])
def test_a_resampled_clip_shows_the_nearest_frames(name, fps):
    case = golden(name)
    outcome = compare(case, FOLDER / name, window_s=2.0, rates=(fps,), plain=False)
    assert str(outcome) == "ok"


def test_audio_of_slides_lasts_to_the_end_of_the_last_one(tmp_path):
    source, clips = _scanned("08_slides_last_frame_13s.mp4", window_s=30.0)
    (row,) = render(source, clips, tmp_path, audio="keep")
    samples, rate, begin_s = oracle.sound_of(tmp_path / row.path)
    assert (source.frames, len(clips)) == (8, 1)
    assert begin_s + len(samples) / rate == pytest.approx(20.0, abs=0.1)


@pytest.mark.parametrize("name", ["13_ts_gap_1h.ts", "12_cat_of_two_ts.ts"])
def test_no_clip_spans_a_time_jump_even_if_clips_may_be_longer(name):
    source, clips = _scanned(name, window_s=10_000.0)
    assert [(clip.start_frame, clip.end_frame) for clip in clips] == [(0, 50), (50, 100)]
    assert source.duration_s == pytest.approx(4.0, abs=0.1)
