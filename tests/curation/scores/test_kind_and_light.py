"""Screens, stills, and day and night."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from curation.sample.scenes import SCENES
from curation.scores.kind import Kind
from curation.scores.light import Light


def desktop(index):
    picture = Image.new("RGB", (320, 180), "#246")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((30, 20, 280, 160), "white")
    for line in range(30, 150, 13):
        draw.text((36, line), "lorem ipsum dolor sit amet"[: 5 + line % 20], "black")
    draw.polygon([(60 + 9 * index, 90), (60 + 9 * index, 104), (69 + 9 * index, 99)], "red")
    return np.asarray(picture)


def test_a_recorded_screen_is_told_from_what_moves(film, row):
    assert row(Kind(), [desktop(index) for index in range(6)])["kind"] == "screen"
    assert row(Kind(), film(6, right=5))["kind"] == "moving"


def test_a_photo_that_stays_is_a_still_and_grain_makes_it_move(film, row):
    photo = film(1)[0]
    found = row(Kind(), [photo] * 5)
    assert (found["kind"], found["unchanged_share"]) == ("still", 1.0)
    rng = np.random.default_rng(1)
    grainy = [np.clip(photo + rng.normal(0, 3, photo.shape), 0, 255) for _ in range(5)]
    assert row(Kind(), [frame.astype(np.uint8) for frame in grainy])["kind"] == "moving"


def test_one_frame_is_of_no_kind(film, row):
    assert row(Kind(), film(1))["kind"] is None


@pytest.mark.parametrize(
    ("scene", "word"), [("dunes", "day"), ("harbour", "day"), ("moonlit", "night")]
)
def test_day_and_night(row, scene, word):
    shoot = SCENES[scene]((320, 180))
    assert row(Light(), [np.asarray(shoot(t / 4)) for t in range(3)])["light"] == word


def test_lamps_do_not_make_a_day_nor_bars_a_night(row):
    lamps = np.full((180, 320, 3), 12, np.uint8)
    lamps[60:80, 40:60] = lamps[90:120, 200:230] = 255
    assert row(Light(), [lamps])["light"] == "night"
    boxed = np.full((180, 320, 3), 120, np.uint8)
    boxed[:50] = boxed[130:] = 0
    assert row(Light(), [boxed])["light"] == "day"
    assert row(Light(), [np.full((180, 320, 3), 45, np.uint8)])["light"] == "dim"
