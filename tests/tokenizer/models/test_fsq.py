import numpy as np
import pytest

from tokenizer.models import fsq


def test_every_index_survives_the_round_trip():
    indices = np.arange(fsq.SIZE, dtype=np.uint16)
    vectors = fsq.dequantise(indices)
    assert vectors.dtype == np.float32
    assert (vectors.min(), vectors.max()) == (-1.0, 1.0)
    assert np.array_equal(fsq.quantise(vectors), indices)


def test_the_lowest_digit_is_the_first_component():
    bottom = np.full(6, -1.0)
    places = []
    for component, levels in enumerate(fsq.LEVELS):
        one_up = bottom.copy()
        one_up[component] += 2 / (levels - 1)
        places.append(int(fsq.quantise(one_up)))
    assert int(fsq.quantise(bottom)) == 0
    assert places == [1, 8, 64, 512, 2560, 12800]


def test_error_is_at_most_half_a_step_and_outliers_are_clipped():
    vectors = np.random.default_rng(0).uniform(-1, 1, (5000, 6))
    error = np.abs(fsq.dequantise(fsq.quantise(vectors)) - vectors).max(0)
    assert np.all(error <= 1 / (np.asarray(fsq.LEVELS) - 1) + 1e-6)
    assert int(fsq.quantise(np.full(6, 7.0))) == fsq.SIZE - 1


def test_the_shape_of_a_map_is_kept():
    assert fsq.dequantise(np.zeros((2, 3, 4), np.uint16)).shape == (2, 3, 4, 6)
    with pytest.raises(ValueError, match=r"\[2, 5\]"):
        fsq.quantise(np.zeros((2, 5)))
