"""Camera motion over a texture whose motion is known."""

import numpy as np
import pytest

from curation.scores import AnalysisFrame
from curation.scores.camera import CAMERAS, Camera
from curation.scores.global_motion import global_motion

MOVES = [
    ("static", {}),
    ("pan_right", {"right": 6}),
    ("pan_left", {"right": -70}),
    ("tilt_up", {"down": -9}),
    ("tilt_down", {"down": 5}),
    ("zoom_in", {"grow": 0.03}),
    ("zoom_out", {"grow": -0.05}),
    ("roll", {"turn": 3}),
]


@pytest.mark.parametrize(("word", "motion"), MOVES, ids=[word for word, _ in MOVES])
def test_each_motion_has_its_word_and_its_speed(film, row, word, motion):
    result = row(Camera(), film(6, **motion))
    assert result["camera"] == word
    assert result["camera"] in CAMERAS
    expected = {
        "pan": motion.get("right", 0) / 320 * 4,
        "tilt": -motion.get("down", 0) / 320 * 4,
        "zoom": motion.get("grow", 0) * 4,
    }
    for name, speed in expected.items():
        assert result[name] == pytest.approx(speed, abs=max(0.006, 0.02 * abs(speed))), name
    assert result["roll"] == pytest.approx(motion.get("turn", 0) * 4, abs=0.3)
    assert result["object_motion"] < 0.1
    assert result["shake"] < 0.004


def test_moving_objects_are_not_camera_motion(film, row):
    """A patch of a sixth of the picture crosses it, over a camera that stands and one that pans."""
    patch = film(1, turn=90)[0][::-1, ::-1][:100, :96]
    for word, motion in (("static", {}), ("pan_right", {"right": 8})):
        frames = [frame.copy() for frame in film(6, **motion)]
        for index, frame in enumerate(frames):
            frame[40:140, 30 + 25 * index : 126 + 25 * index] = patch
        result = row(Camera(), frames)
        assert result["camera"] == word
        assert result["object_motion"] > 0.03


def test_shaking_is_distinguished_from_panning(film, row):
    rng = np.random.default_rng(2)
    frame = film(1)[0]
    shaken = [np.roll(frame, rng.integers(-9, 10, 2), (0, 1)) for _ in range(9)]
    result = row(Camera(), shaken)
    assert result["camera"] == "shaky"
    assert result["shake"] > 0.01
    assert row(Camera(), film(4, right=9))["shake"] < 0.002


def test_there_and_back_is_mixed(film, row):
    frames = film(7, right=10)
    assert row(Camera(), [*frames, *frames[-2::-1]])["camera"] == "mixed"


def test_pictures_without_texture_have_no_tag(row):
    flat = [np.full((180, 320, 3), 90, np.uint8)] * 5
    assert set(row(Camera(), flat).values()) == {None}
    tiny = [np.zeros((9, 16, 3), np.uint8)] * 3
    assert set(row(Camera(), tiny).values()) == {None}


def test_a_slow_camera_does_not_stand(film, row):
    """A tenth of the picture in 12 s: no quarter of a second shows it."""
    result = row(Camera(), film(48, right=0.55))
    assert abs(result["pan"]) < 0.007
    assert result["camera"] == "mixed"
    assert row(Camera(), film(8, right=0.55))["camera"] == "static"


def test_a_turn_for_a_short_while_names_no_direction(film, row):
    """A car that drives straight on and turns at the end does not pan."""
    still = film(1)[0]
    result = row(Camera(), [*[still] * 8, *[np.roll(still, -9 * step, 1) for step in range(1, 5)]])
    assert result["camera"] == "mixed"


def test_motion_before_black_is_not_camera_motion(film, row):
    """Black on all four sides: what moves may be the thing, not the camera."""
    frames = [frame.copy() for frame in film(5, right=7)]
    for frame in frames:
        frame[:20] = frame[160:] = frame[:, :60] = frame[:, 260:] = 0
    assert row(Camera(), frames)["camera"] is None


def test_a_title_that_slides_over_a_flat_ground_is_no_camera(film, row):
    """Only a part of the picture has something to follow, and that moves."""
    title = film(1)[0][80:100, 80:240]
    frames = [np.full((180, 320, 3), 200, np.uint8) for _ in range(5)]
    for index, frame in enumerate(frames):
        frame[80:100, 60 + 7 * index : 220 + 7 * index] = title
    result = row(Camera(), frames)
    assert result["pan"] < -0.05
    assert result["camera"] is None


def test_bars_do_not_hold_the_picture(film, row):
    """The edges of black bars stand still; the picture between them does not."""
    frames = [frame.copy() for frame in film(5, right=7)]
    for frame in frames:
        frame[:40] = frame[140:] = 0
    assert row(Camera(), frames)["camera"] == "pan_right"


def test_the_transform_is_right_to_a_fraction_of_a_pixel(film):
    before, after = (
        AnalysisFrame.from_rgb(f) for f in film(2, right=30.5, down=-4.25, grow=0.02, turn=1)
    )
    motion = global_motion(before, after)
    # The camera goes right and up about its middle, so that the content goes left and down.
    assert motion.dx * 320 == pytest.approx(-30.5, abs=1.0)
    assert motion.dy * 320 == pytest.approx(4.25, abs=1.0)
    assert motion.log_scale == pytest.approx(0.02, abs=0.002)
    assert np.degrees(motion.rotation_rad) == pytest.approx(-1, abs=0.1)
    assert motion.inlier_share > 0.9
    assert global_motion(before, after) == motion
