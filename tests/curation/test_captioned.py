"""Captioned renders: what is said of them is what they show."""

from dataclasses import replace

import numpy as np
import pytest

from curation.sample.captioned import (
    COLOURS,
    FIELDS,
    GROUNDS,
    LIGHTS,
    MOTIONS,
    SHAPES,
    Chance,
    Thing,
    film,
    picture,
    spoken,
    things,
)

THING = Thing("red", "disc", "sideways", "grass", "day")
CHANCE = Chance(seed=1, size=0.3, turn=0.0, at=(0.0, 0.0), reach=0.5, phase=0.0, tint=1.0)


def middle(rgb):
    """Where the reddest pixels are, right and down, −1 to 1."""
    red = rgb[..., 0].astype(float) - rgb[..., 1:].max(axis=2)
    down, right = np.nonzero(red > red.max() * 0.6)
    return right.mean() / len(rgb) * 2 - 1, down.mean() / len(rgb) * 2 - 1


def test_every_combination_is_there_once():
    every = things()
    assert len(every) == len(set(every)) == len({thing.caption for thing in every})
    assert len(every) == np.prod([len(t) for t in (COLOURS, SHAPES, MOTIONS, GROUNDS, LIGHTS)])


def test_a_caption_names_what_it_is_told_to():
    assert THING.caption == "a red disc moving sideways over grass by day"
    assert spoken(THING, ["shape"]) == "a disc"
    assert spoken(THING, ["light", "colour"]) == "a red thing by day"
    said = {spoken(THING, FIELDS, np.random.default_rng(seed)) for seed in range(30)}
    assert len(said) == 4  # two ways to say the motion, two to say the light


@pytest.mark.parametrize(
    ("motion", "sweeps"),
    [("still", (0, 0)), ("sideways", (1, 0)), ("upright", (0, 1)), ("around", (1, 1))],
)
def test_it_moves_as_it_is_said_to(motion, sweeps):
    thing = replace(THING, motion=motion, ground="sand")
    places = np.array([middle(rgb) for rgb in film(thing, CHANCE, 8, 4, side=64)])
    np.testing.assert_allclose(np.ptp(places, axis=0), sweeps, atol=0.15)


def test_night_is_darker_and_the_ground_is_not_the_shapes():
    day = picture(THING, CHANCE, 0.0)
    assert picture(replace(THING, light="night"), CHANCE, 0.0).mean() < 0.5 * day.mean()
    others = [picture(replace(THING, ground=g), CHANCE, 0.0).mean(axis=(0, 1)) for g in GROUNDS]
    for index, one in enumerate(others):
        assert all(np.abs(one - other).max() > 8 for other in others[index + 1 :])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_covers_its_middle_or_leaves_it_open(shape):
    rgb = picture(replace(THING, shape=shape, motion="still", ground="sand"), CHANCE, 0.0, 96)
    assert rgb.shape == (96, 96, 3)
    red = (rgb[..., 0] > 180) & (rgb[..., 1] < 80)
    assert red[48, 48] == (shape != "ring")
    share = red.mean()
    assert 0.01 < share < 0.09


def test_the_same_chance_gives_the_same_picture():
    assert (picture(THING, CHANCE, 0.3) == picture(THING, CHANCE, 0.3)).all()
    other = Chance.drawn(np.random.default_rng(0))
    assert other == Chance.drawn(np.random.default_rng(0))
    assert (picture(THING, other, 0.3) != picture(THING, CHANCE, 0.3)).any()
