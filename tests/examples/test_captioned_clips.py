"""Captioned renders: what is said of them is what they show."""

from dataclasses import replace

import numpy as np
import pytest

from captioned_clips import (
    COLOURS,
    FIELDS,
    GROUNDS,
    LIGHTS,
    MOTIONS,
    SHAPES,
    Subject,
    Variation,
    all_subjects,
    clip_frames,
    describe,
    draw_frame,
)

SUBJECT = Subject("red", "disc", "sideways", "grass", "day")
VARIATION = Variation(
    seed=1, size=0.3, angle=0.0, centre=(0.0, 0.0), amplitude=0.5, phase=0.0, tint=1.0
)


def middle(rgb):
    """Where the reddest pixels are, right and down, −1 to 1."""
    red = rgb[..., 0].astype(float) - rgb[..., 1:].max(axis=2)
    down, right = np.nonzero(red > red.max() * 0.6)
    return right.mean() / len(rgb) * 2 - 1, down.mean() / len(rgb) * 2 - 1


def test_every_combination_occurs_once():
    subjects = all_subjects()
    assert len(subjects) == len(set(subjects)) == len({subject.caption for subject in subjects})
    assert len(subjects) == np.prod([len(t) for t in (COLOURS, SHAPES, MOTIONS, GROUNDS, LIGHTS)])


def test_a_caption_has_only_the_requested_fields():
    assert SUBJECT.caption == "a red disc moving sideways over grass by day"
    assert describe(SUBJECT, ["shape"]) == "a disc"
    assert describe(SUBJECT, ["light", "colour"]) == "a red thing by day"
    captions = {describe(SUBJECT, FIELDS, np.random.default_rng(seed)) for seed in range(30)}
    assert len(captions) == 4  # two ways to say the motion, two to say the light


@pytest.mark.parametrize(
    ("motion", "sweeps"),
    [("still", (0, 0)), ("sideways", (1, 0)), ("upright", (0, 1)), ("around", (1, 1))],
)
def test_it_moves_as_captioned(motion, sweeps):
    subject = replace(SUBJECT, motion=motion, ground="sand")
    places = np.array([middle(rgb) for rgb in clip_frames(subject, VARIATION, 8, 4, side=64)])
    np.testing.assert_allclose(np.ptp(places, axis=0), sweeps, atol=0.15)


def test_night_is_darker_and_the_ground_is_not_the_shapes():
    day = draw_frame(SUBJECT, VARIATION, 0.0)
    assert draw_frame(replace(SUBJECT, light="night"), VARIATION, 0.0).mean() < 0.5 * day.mean()
    others = [
        draw_frame(replace(SUBJECT, ground=g), VARIATION, 0.0).mean(axis=(0, 1)) for g in GROUNDS
    ]
    for index, one in enumerate(others):
        assert all(np.abs(one - other).max() > 8 for other in others[index + 1 :])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_covers_its_middle_or_leaves_it_open(shape):
    rgb = draw_frame(
        replace(SUBJECT, shape=shape, motion="still", ground="sand"), VARIATION, 0.0, 96
    )
    assert rgb.shape == (96, 96, 3)
    red = (rgb[..., 0] > 180) & (rgb[..., 1] < 80)
    assert red[48, 48] == (shape != "ring")
    share = red.mean()
    assert 0.01 < share < 0.09


def test_the_same_variation_gives_the_same_picture():
    assert (draw_frame(SUBJECT, VARIATION, 0.3) == draw_frame(SUBJECT, VARIATION, 0.3)).all()
    other = Variation.random(np.random.default_rng(0))
    assert other == Variation.random(np.random.default_rng(0))
    assert (draw_frame(SUBJECT, other, 0.3) != draw_frame(SUBJECT, VARIATION, 0.3)).any()
