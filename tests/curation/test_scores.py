"""Scores on frames with known values; the rows of a scan."""

import functools
import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from curation import records, scores
from curation.listing import entry_at
from curation.sample import read_number
from curation.sample.encode import encode
from curation.sample.scenes import SCENES
from curation.sample.texture import noise
from curation.scan.collector import EMBEDDINGS, THUMBNAILS, encode_jpeg
from curation.scan.score_aggregator import without_cross_shot_comparison
from curation.scan.shots import ContentChange
from curation.scan.stage import Scan, ScanItem
from curation.scores import SCORES, AnalysisFrame
from curation.scores.borders import Borders
from curation.scores.exposure import Exposure
from curation.scores.motion import Motion
from curation.scores.sharpness import Sharpness
from curation.signals.blocks import SIGNAL_TABLES

SIZE = (180, 320)


def grey(level):
    return np.full((*SIZE, 3), level, np.uint8)


def textured(seed=3):
    field = noise(seed, SIZE, cell=40, roughness=0.9)
    return np.repeat((field * 200 + 30).astype(np.uint8)[..., None], 3, axis=2)


def summary(score, frames, fps=4.0):
    """The row of a clip that has these analysis frames."""
    prepared = [AnalysisFrame.from_rgb(frame) for frame in frames]
    previous = [None, *prepared[:-1]]
    pairs = zip(prepared, previous, strict=True)
    measures = np.array([score.measure(frame, before) for frame, before in pairs], float)
    measures = without_cross_shot_comparison(score, measures.reshape(len(prepared), -1))
    return score.summarise(measures, np.arange(len(prepared)) / fps)


def test_luma_is_that_of_bt709():
    for colour, luma in (((255, 0, 0), 54.2), ((0, 255, 0), 182.4), ((0, 0, 255), 18.4)):
        picture = np.zeros((2, 2, 3), np.uint8) + np.array(colour, np.uint8)
        assert AnalysisFrame.from_rgb(picture).luma == pytest.approx(luma, abs=0.1)


def test_a_still_picture_has_no_motion():
    row = summary(Motion(), [textured()] * 9)
    assert row == {"motion": 0.0, "still_share": 1.0, "longest_still_s": 2.0}


def test_grain_is_no_motion():
    rng = np.random.default_rng(5)
    frames = [np.clip(textured() + rng.normal(0, 4, (*SIZE, 3)), 0, 255) for _ in range(6)]
    row = summary(Motion(), [frame.astype(np.uint8) for frame in frames])
    assert row["motion"] < 0.002
    assert row["still_share"] == 1.0


def test_a_moving_block_moves_its_share_of_the_picture():
    """A block of 80×80 jumps by 80: it leaves 100 of 880 small blocks and enters 100 others."""
    frames = []
    for step in range(4):
        frame = grey(60)
        frame[40:120, 80 * step : 80 * step + 80] = 200
        frames.append(frame)
    row = summary(Motion(), frames)
    assert row["motion"] == pytest.approx(200 / 880, abs=1e-4)
    assert (row["still_share"], row["longest_still_s"]) == (0.0, 0.0)


def test_everything_moves():
    rng = np.random.default_rng(2)
    frames = [np.full((*SIZE, 3), level, np.uint8) for level in rng.permutation(20) * 10]
    assert summary(Motion(), frames)["motion"] == 1.0


def test_the_longest_stretch_without_change_is_in_seconds():
    first, second = textured(1), textured(2)
    row = summary(Motion(), [first, first, second, second, second, second, first], fps=2.0)
    assert row["longest_still_s"] == 1.5
    assert row["still_share"] == pytest.approx(4 / 6, abs=1e-5)


def test_the_first_frame_of_a_clip_is_not_compared_with_another_shot():
    motion = Motion()
    dark, light = AnalysisFrame.from_rgb(grey(10)), AnalysisFrame.from_rgb(grey(200))
    cut = motion.measure(light, dark)
    assert cut == (1.0,)
    measures = np.array([cut, motion.measure(light, light)])
    assert (
        motion.summarise(without_cross_shot_comparison(motion, measures), np.arange(2) / 4)[
            "motion"
        ]
        == 0.0
    )
    assert measures[0, 0] == 1.0
    one = motion.summarise(without_cross_shot_comparison(motion, measures[:1]), np.zeros(1))
    assert one == {"motion": None, "still_share": None, "longest_still_s": None}
    exposure = np.ones((2, 4))
    assert without_cross_shot_comparison(Exposure(), exposure) is exposure


def test_motion_of_a_tiny_picture():
    frames = [np.full((4, 6, 3), level, np.uint8) for level in (0, 100)]
    assert summary(Motion(), frames)["motion"] == 1.0


def test_exposure_of_plain_pictures():
    black, white, middle = (summary(Exposure(), [grey(v)] * 3) for v in (0, 255, 127))
    assert black == {"brightness": 0, "contrast": 0, "black_share": 1.0, "white_share": 0.0}
    assert white == {"brightness": 1.0, "contrast": 0, "black_share": 0.0, "white_share": 1.0}
    assert middle["brightness"] == pytest.approx(127 / 255, abs=1e-4)
    assert (middle["black_share"], middle["white_share"]) == (0.0, 0.0)
    half = grey(0)
    half[:, 160:] = 255
    row = summary(Exposure(), [half, half])
    assert row == {"brightness": 0.5, "contrast": 0.5, "black_share": 0.5, "white_share": 0.5}


def test_exposure_is_the_mean_over_the_clip():
    row = summary(Exposure(), [grey(0), grey(255), grey(255), grey(255)])
    assert (row["brightness"], row["black_share"]) == (0.75, 0.25)


def test_blur_lowers_sharpness_step_by_step():
    picture = SCENES["forest_walk"]((320, 180))(0.0)
    sharpness = []
    for radius in (0, 0.5, 1, 2, 3, 5, 8):
        blurred = picture.filter(ImageFilter.GaussianBlur(radius)) if radius else picture
        sharpness.append(summary(Sharpness(), [np.asarray(blurred)])["sharpness"])
    assert sharpness == sorted(sharpness, reverse=True)
    assert np.diff(sharpness).max() < -0.003
    assert sharpness[0] > 0.5
    assert sharpness[-1] < 0.2


def test_sharpness_hardly_depends_on_contrast():
    picture = textured().astype(float)
    pale = (picture * 0.4 + 80).astype(np.uint8)
    both = [summary(Sharpness(), [p])["sharpness"] for p in (picture.astype(np.uint8), pale)]
    assert both[0] == pytest.approx(both[1], abs=0.06)


def test_sharpness_of_a_clip_is_its_median_frame():
    picture = Image.fromarray(textured())
    frames = [np.asarray(picture.filter(ImageFilter.GaussianBlur(r))) for r in (6, 0, 0, 6, 0)]
    alone = summary(Sharpness(), [np.asarray(picture.filter(ImageFilter.GaussianBlur(0)))])
    assert summary(Sharpness(), frames) == alone


def test_a_flat_or_tiny_picture_has_no_sharpness():
    assert summary(Sharpness(), [grey(90)] * 2) == {"sharpness": None}
    assert summary(Sharpness(), [textured()[:9, :9]]) == {"sharpness": None}


@pytest.mark.parametrize(
    ("top", "bottom", "left", "right"),
    [(0, 0, 0, 0), (23, 22, 0, 0), (0, 0, 40, 39), (10, 0, 0, 5), (1, 1, 1, 1), (70, 70, 100, 100)],
)
def test_bars_are_found_to_the_pixel(top, bottom, left, right):
    frame = grey(16)
    frame[top : 180 - bottom, left : 320 - right] = textured()[
        top : 180 - bottom, left : 320 - right
    ]
    row = summary(Borders(), [frame, frame])
    assert [row[f"bar_{side}"] for side in ("top", "bottom", "left", "right")] == pytest.approx(
        [top / 180, bottom / 180, left / 320, right / 320], abs=1e-5
    )
    covered = 1 - (180 - top - bottom) * (320 - left - right) / (180 * 320)
    assert row["bars"] == pytest.approx(covered, abs=1e-4)


def test_bars_stay_throughout_the_clip():
    """A dark scene or a black frame is no bar; what is lit once is picture."""
    wide, narrow, dark = textured(), textured(), textured()
    wide[:20] = narrow[:40] = 0
    dark[:90] = 0
    row = summary(Borders(), [wide, narrow, dark, grey(0)])
    assert row["bar_top"] == pytest.approx(20 / 180, abs=1e-5)
    assert summary(Borders(), [grey(5)] * 3) == dict.fromkeys(row)


def test_bars_survive_coding_and_scaling(made, tmp_path):
    """An 800×450 letterbox of 57 rows above and 56 below is 23 and 22 rows at 320×180."""
    rows = np.asarray(SCENES["crates"]((800, 450))(0.5)).copy()
    rows[:57] = rows[450 - 56 :] = 0
    path = tmp_path / "letterbox.mp4"
    encode(path, [Image.fromarray(rows)] * 12, fps=24)
    result = scan(path)
    bars = result.side_rows["scores/borders"].to_pylist()[0]
    assert bars["bar_top"] * 180 == pytest.approx(57 * 0.4, abs=1)
    assert bars["bar_bottom"] * 180 == pytest.approx(56 * 0.4, abs=1)
    assert (bars["bar_left"], bars["bar_right"]) == (0, 0)


@functools.cache
def scan(path):
    return Scan(shots=ContentChange()).setup()(ScanItem(entry_at(str(path), {})))


def test_scan_gives_each_clip_a_row_in_each_table(made):
    path = made("scored.mp4", 96, cuts=(30, 61), size=(480, 270))
    result = scan(path)
    clips = result.clips.to_pylist()
    assert [(c["start_frame"], c["end_frame"]) for c in clips] == [(0, 30), (30, 61), (61, 96)]
    names = [clip["clip_id"] for clip in clips]
    assert len(set(names)) == 3
    assert set(result.side_rows) == set(Scan().side_tables)
    for name, rows in result.side_rows.items():
        if name in SIGNAL_TABLES:
            assert not rows.num_rows  # nothing was recorded with it
            continue
        assert rows["clip_id"].to_pylist() == names, name
        assert rows.schema == records.arrow_schema(Scan().side_tables[name])
        assert set(rows["source_id"].to_pylist()) == {result.source.source_id}
    assert result.source.clips == 3
    assert set(result.cpu_seconds) == {"decode", "transfer", "shots", "scores"}


def test_thumbnails_show_the_frame_they_name(made):
    path = made("scored.mp4", 96, cuts=(30, 61), size=(480, 270))
    rows = scan(path).side_rows[THUMBNAILS].to_pylist()
    spans = [(0, 30), (30, 61), (61, 96)]
    for row, (start, end) in zip(rows, spans, strict=True):
        picture = np.asarray(Image.open(io.BytesIO(row["jpeg"])))
        assert picture.shape == (180, 320, 3)
        assert read_number(picture) == row["frame"]
        assert start < row["frame"] < end
        assert abs(row["frame"] - (start + end) / 2) <= 6


def test_known_clips_are_kept_and_only_requested_tables_backfilled(made):
    path = made("scored.mp4", 96, cuts=(30, 61), size=(480, 270))
    full = scan(path)
    known = tuple(records.from_table(records.Clip, full.clips))[1:]
    item = ScanItem(entry_at(str(path), {}), known, ("scores/motion",))
    again = Scan(shots=ContentChange()).setup()(item)
    assert set(again.side_rows) == {"scores/motion"}
    assert again.side_rows["scores/motion"].equals(full.side_rows["scores/motion"].slice(1))


def test_a_clip_without_analysis_frames_has_empty_scores(made, scan_spans):
    """Frames 1 to 3 lie between two analysis frames."""
    path = made("scored.mp4", 96, cuts=(30, 61), size=(480, 270))
    clips = tuple(scan_spans(path, (1, 4), (30, 61)).clips)
    stage = Scan(shots=ContentChange())
    result = stage.setup()(ScanItem(entry_at(str(path), {}), clips, ()))
    assert result.side_rows[THUMBNAILS].num_rows == 1
    for name, rows in result.side_rows.items():
        if name.startswith("scores/"):
            empty, full = ({k: v for k, v in row.items() if not k.endswith("_id")}
                           for row in rows.to_pylist())  # fmt: skip
            sees_all = name == "scores/flicker"
            assert (set(empty.values()) == {None}) is not sees_all, name
            if name not in ("scores/loudness", "scores/recording"):  # it has neither
                measured = {k: v for k, v in full.items() if k != "light"}  # no word fits it
                assert None not in measured.values(), name
    first, second = result.side_rows[EMBEDDINGS]["vector"].to_pylist()
    assert not np.frombuffer(first, "<f2").any()
    assert np.frombuffer(second, "<f2").any()


def test_reasons_of_scores_are_distinct():
    for name, score in SCORES.items():
        columns = scores.columns(score)
        assert columns, name
    assert scores.table_name(Motion()) == "scores/motion"
    reasons = [
        column.metadata.get(side)
        for score in SCORES.values() for column in scores.columns(score) for side in ("low", "high")
    ]  # fmt: skip
    reasons = [reason for reason in reasons if reason]
    assert len(reasons) == len(set(reasons))


def test_jpeg_is_the_picture_it_was_given():
    picture = SCENES["harbour"]((320, 180))(0.0)
    shown = np.asarray(Image.open(io.BytesIO(encode_jpeg(np.asarray(picture)))), float)
    assert np.abs(shown - np.asarray(picture)).mean() < 4
