"""Which windows may hold a transition, on painted scenes."""

import numpy as np
import pytest

from curation.sample.texture import noise
from curation.scan.prefilter import log_measures, may_hold_transition


def scene(seed, speed=0.0, frames=100):
    """A texture past which the camera pans by so many pixels a frame; levels, [n, 27, 48, 3]."""
    wide = np.stack([noise(3 * seed + c, (27, 400), cell=16.0, roughness=0.4) for c in range(3)], 2)
    places = (np.arange(frames) * speed)[:, None] + np.arange(48)
    left, share = places.astype(int), (places % 1)[:, None, :, None]
    panned = wide[:, left].swapaxes(0, 1) * (1 - share) + wide[:, left + 1].swapaxes(0, 1) * share
    return 20 + 200 * panned


def window(levels):
    """With the grain of a camera, one level strong."""
    grain = np.random.default_rng(0).normal(0, 1, levels.shape)
    return np.clip(np.rint(levels + grain), 0, 255).astype(np.uint8)


def mix(share):
    """From one scene to another by the share of the second in each frame."""
    share = np.asarray(share, float)[:, None, None, None]
    return scene(1) * (1 - share) + scene(2) * share


def ramp(start, end):
    return np.clip((np.arange(100) - start) / (end - start), 0, 1)


TIME = np.arange(100)
TRANSITIONS = {
    "cut": mix(TIME > 50),
    "cut at the first frame": mix(TIME > 25),
    "cut at the last frame": mix(TIME > 74),
    "cut in a pan": np.where((TIME > 60)[:, None, None, None], scene(2, 1.5), scene(1, 1.5)),
    "cut in the dark": mix(TIME > 40) * 0.1,
    "dissolve": mix(ramp(40, 56)),
    "dissolve of thirty frames": mix(ramp(35, 65)),
    "fade to black": scene(1) * (1 - ramp(45, 60))[:, None, None, None],
    "wipe": np.where(ramp(40, 60)[:, None, None, None] * 48 > np.arange(48)[:, None],
                     scene(2), scene(1)),
}  # fmt: skip
NOTHING = {
    "still": scene(1),
    "dark": scene(1) * 0.05,
    "black": np.zeros((100, 27, 48, 3)),
    "pan": scene(1, 0.3),
    "brightening": scene(1) * (0.7 + 0.3 * ramp(0, 99))[:, None, None, None],
    "cut before the middle": mix(TIME > 10),
    "cut behind the middle": mix(TIME > 95),
}


@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_transition_passes(name):
    assert may_hold_transition(window(TRANSITIONS[name]))


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_none_is_skipped(name):
    assert not may_hold_transition(window(NOTHING[name]))


def test_measures_of_a_cut():
    """Detail shows a change of one frame, colour of eight, layout of 32; half the picture flips."""
    frames = np.zeros((100, 27, 48, 3), np.uint8)
    frames[:, :, :24] = 255
    frames[51:, :, :24], frames[51:, :, 24:] = 0, 255
    measures = np.exp(log_measures(frames)) - [0.2, 0.01, 0.01]
    detail, colour, layout = measures.T
    assert np.flatnonzero(detail > 1e-6).tolist() == [25]
    assert np.flatnonzero(layout > 0.1).tolist() == list(range(9, 41))
    # Two columns of pixels on either side of the edge lie within the range of their neighbours.
    assert detail[25] == pytest.approx(255 * 44 / 48)
    assert colour.max() == pytest.approx(0, abs=1e-9)
    assert layout[25] == pytest.approx(2, abs=0.02)
    frames[51:] = 255
    colour = np.exp(log_measures(frames))[:, 1] - 0.01
    assert np.flatnonzero(colour > 1e-6).tolist() == list(range(21, 29))
    assert colour[25] == pytest.approx(0.5)
