"""Flicker and stutter, in every frame at 48×27."""

import numpy as np
import pytest

from curation.scores.flicker import Flicker


def low(film, count, **motion):
    return [frame[3::6, 3::6][:27, :48] for frame in film(count, **motion)]


def lit(frames, gains):
    return [np.clip(f * g, 0, 255).astype(np.uint8) for f, g in zip(frames, gains, strict=True)]


def test_steady_light_does_not_flicker_though_the_picture_moves(film, row):
    assert row(Flicker(), low(film, 24, right=6), fps=24)["flicker"] < 0.01


def test_lamps_flicker_as_much_as_they_do(film, row):
    frames = low(film, 24, right=6)
    gains = 1 + 0.1 * (-1.0) ** np.arange(24)
    # From 0.9 to 1.1 and back: log luma lies 0.2 from the line between its neighbours.
    assert row(Flicker(), lit(frames, gains * 0.8), 24)["flicker"] == pytest.approx(0.2, abs=0.02)


def test_a_fade_and_a_flash_are_no_flicker(film, row):
    frames = low(film, 24, right=3)
    assert row(Flicker(), lit(frames, np.linspace(0.2, 1, 24)), 24)["flicker"] < 0.02
    flash = np.ones(24)
    flash[11] = 1.6
    assert row(Flicker(), lit(frames, flash * 0.6), 24)["flicker"] < 0.02


def test_frames_that_repeat_while_things_move_stutter(film, row):
    frames = low(film, 24, right=6)
    repeated = [frames[index // 3 * 3] for index in range(24)]
    # The first frame has none before it, so 16 of 23 repeat.
    assert row(Flicker(), repeated, 24)["stutter"] == pytest.approx(16 / 23, abs=1e-4)
    assert row(Flicker(), frames, 24)["stutter"] == 0
    assert row(Flicker(), [frames[0]] * 24, 24)["stutter"] == 0


def test_a_clip_of_one_frame_has_neither(film, row):
    assert row(Flicker(), low(film, 1)) == {"flicker": None, "stutter": None}
