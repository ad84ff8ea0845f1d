"""Screens, stills, and how bright pictures are."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from curation.sample.scenes import SCENES
from curation.scores.kind import Kind
from curation.scores.light import LIGHTS, Light


def desktop(index):
    picture = Image.new("RGB", (320, 180), "#246")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((30, 20, 280, 160), "white")
    for line in range(30, 150, 13):
        draw.text((36, line), "lorem ipsum dolor sit amet"[: 5 + line % 20], "black")
    draw.polygon([(60 + 9 * index, 90), (60 + 9 * index, 104), (69 + 9 * index, 99)], "red")
    return np.asarray(picture)


def test_a_recorded_screen_is_distinguished_from_moving_pictures(film, row):
    assert row(Kind(), [desktop(index) for index in range(6)])["kind"] == "screen"
    assert row(Kind(), film(6, right=5))["kind"] == "moving"


def test_a_photo_that_stays_is_a_still_and_grain_makes_it_move(film, row):
    photo = film(1)[0]
    result = row(Kind(), [photo] * 5)
    assert (result["kind"], result["unchanged_share"]) == ("still", 1.0)
    rng = np.random.default_rng(1)
    grainy = [np.clip(photo + rng.normal(0, 3, photo.shape), 0, 255) for _ in range(5)]
    assert row(Kind(), [frame.astype(np.uint8) for frame in grainy])["kind"] == "moving"


def test_one_frame_is_of_no_kind(film, row):
    assert row(Kind(), film(1))["kind"] is None


def test_a_title_that_grows_is_no_screen(row):
    """Flat, of few colours, and most pixels stay; but its edges do not."""
    frames = []
    for size in range(40, 58, 3):
        picture = Image.new("RGB", (320, 180), "white")
        ImageDraw.Draw(picture).text((160, 90), "TITLE", "#28c", anchor="mm", font_size=size)
        frames.append(np.asarray(picture))
    result = row(Kind(), frames)
    assert result["flat_share"] > 0.85
    assert result["kind"] == "moving"


def test_lamps_and_lines_of_a_dark_road_are_no_screen(row):
    """A black picture whose few lit edges go on moving."""
    frames = []
    for index in range(6):
        picture = Image.new("RGB", (320, 180), "black")
        draw = ImageDraw.Draw(picture)
        for lamp in range(5):
            draw.ellipse((60 * lamp + 5 * index, 80, 60 * lamp + 5 * index + 8, 88), "white")
        frames.append(np.asarray(picture))
    assert row(Kind(), frames)["kind"] == "moving"


def test_a_screen_for_half_of_the_clip_gives_no_word(film, row):
    frames = [desktop(index) for index in range(6)] + film(5, right=5)
    assert row(Kind(), frames)["kind"] == "moving"


def lit(level):
    return np.full((180, 320, 3), round(255 * level), np.uint8)


@pytest.mark.parametrize(
    ("level", "word"),
    [(0.0, "dark"), (0.11, "dark"), (0.13, "dim"), (0.26, "dim"), (0.28, None), (0.54, None),
     (0.56, "bright"), (1.0, "bright")],
)  # fmt: skip
def test_each_brightness_has_its_word(row, level, word):
    result = row(Light(), [lit(level)] * 3)
    assert result["light"] == word
    assert result["median_luma"] == pytest.approx(level, abs=0.003)


@pytest.mark.parametrize(
    ("scene", "word"), [("dunes", None), ("harbour", "bright"), ("moonlit", "dark")]
)
def test_the_tag_depends_on_brightness_alone(row, scene, word):
    shoot = SCENES[scene]((320, 180))
    assert row(Light(), [np.asarray(shoot(t / 4)) for t in range(3)])["light"] == word
    assert set(LIGHTS) == {"dark", "dim", "bright"}


def test_a_street_under_lamps_is_neither_dark_nor_bright(row):
    """A night street whose exposure is turned up: half of it at 0.25, a third at 0.5."""
    street = lit(0.25)
    street[120:] = 128
    assert row(Light(), [street] * 3)["light"] is None


def test_lamps_do_not_make_it_bright_nor_bars_dark(row):
    lamps = np.full((180, 320, 3), 12, np.uint8)
    lamps[60:80, 40:60] = lamps[90:120, 200:230] = 255
    assert row(Light(), [lamps])["light"] == "dark"
    boxed = lit(0.6)
    boxed[:50] = boxed[130:] = 0
    assert row(Light(), [boxed])["light"] == "bright"


def test_a_clip_that_turns_bright_midway_has_no_word(row):
    assert row(Light(), [lit(0.05)] * 4 + [lit(0.7)] * 4)["light"] is None
    assert row(Light(), [lit(0.05)] * 4 + [lit(0.2)] * 4)["light"] == "dim"
    assert row(Light(), [lit(0.05)] * 9 + [lit(0.7)] * 3)["light"] == "dark"
