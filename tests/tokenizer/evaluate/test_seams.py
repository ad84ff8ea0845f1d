import math

import numpy as np
import pytest

from tokenizer.evaluate.seams import SeamComparison, Seams, flicker, measure_seams


def flat(*values):
    return np.stack([np.full((2, 2, 3), value, np.uint8) for value in values])


def test_a_constant_error_does_not_flicker():
    assert flicker(flat(10, 50, 200), flat(13, 53, 203)).tolist() == [0, 0]


def test_flicker_is_the_squared_change_of_the_error():
    assert flicker(flat(10, 10, 10), flat(10, 14, 8)).tolist() == [16, 36]
    half = flat(0, 0)
    half[1, 0] = 6  # half of the pixels
    assert flicker(flat(0, 0), half).tolist() == [18]
    assert flicker(flat(1), flat(2)).tolist() == []


def test_frames_next_to_seams_are_separated_from_the_rest():
    errors = np.array([1.0, 2, 3, 4, 5, 6, 7])
    changes = np.array([10.0, 20, 30, 40, 50, 60])
    result = measure_seams(errors, changes, [0, 3, 6], 2)
    assert result is not None
    assert math.isnan(result.alike)
    assert result._replace(alike=0) == Seams(
        2, (3 + 6) / 2, (4 + 7) / 2, (1 + 2 + 5) / 3, 0, (30 + 60) / 2, 180 / 6
    )


def test_frames_before_seams_are_compared_with_other_ends_of_latents():
    errors = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    result = measure_seams(errors, np.ones(9), [0, 5], 2)  # windows of 1 + 2 + 2 frames
    assert result is not None
    assert (result.last, result.alike) == (5, (3 + 8 + 10) / 3)
    lone = SeamComparison.of([measure_seams(errors, np.ones(9), [0, 3, 6], 2)])
    assert lone is not None
    assert lone.end_gap_db == pytest.approx(10 * np.log10(9 / 4.5))
    assert SeamComparison.of([result, Seams(1, 1, 1, 1, math.nan, 1, 1)]).end_gap_db is None


def test_a_slice_of_a_stream_begins_with_frames_that_share_a_latent():
    errors = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9])  # latents of 1 + 2 + 2 | 2 + 2 frames
    result = measure_seams(errors, np.ones(8), [0, 5], 2, independent=False)
    assert result is not None
    assert (result.last, result.first, result.alike) == (5, 6, (3 + 7 + 9) / 3)


@pytest.mark.parametrize(
    ("frames", "starts"), [(5, [0]), (1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (4, [0, 1, 3])]
)
def test_a_clip_without_a_seam_or_without_other_frames_has_no_result(frames, starts):
    assert measure_seams(np.ones(frames), np.ones(frames - 1), starts, 1) is None


def test_a_clip_weighs_the_same_on_both_sides():
    easy, hard = Seams(1, *[1.0] * 4, 4.0, 4.0), Seams(9, *[100.0] * 4, 400.0, 400.0)
    result = SeamComparison.of([easy, None, hard])
    assert result is not None
    assert (result.seams, result.gap_db) == (10, 0)
    assert result.psnr_db == pytest.approx(10 * np.log10(255**2 / 90.1))
    assert result.flicker == result.rest_flicker == pytest.approx(np.sqrt(360.4))


def test_the_gap_is_below_zero_where_seams_are_worse():
    result = SeamComparison.of([Seams(1, 30.0, 10.0, 10.0, 15.0, 9.0, 4.0)])
    assert result is not None
    assert result.gap_db == pytest.approx(-10 * np.log10(2))
    assert result.last_psnr_db == pytest.approx(10 * np.log10(255**2 / 30))
    assert result.first_psnr_db == result.rest_psnr_db == pytest.approx(10 * np.log10(255**2 / 10))
    assert result.end_gap_db == pytest.approx(-10 * np.log10(2))
    assert (result.flicker, result.rest_flicker) == (3, 2)
    assert SeamComparison.of([None, None]) is None
