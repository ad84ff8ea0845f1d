import numpy as np
import pytest

from tokenizer.tokenize.psnr import psnr_db


def test_psnr_is_of_the_mean_error_and_bounded():
    black = np.zeros((2, 4, 4, 3), np.uint8)
    assert psnr_db(black, black) == 100
    assert psnr_db(black, black + 255) == 0
    assert psnr_db(black + 5, black) == psnr_db(black, black + 5) == pytest.approx(34.151, abs=1e-3)


def test_videos_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="of one shape"):
        psnr_db(np.zeros((2, 4, 4, 3), np.uint8), np.zeros((1, 4, 4, 3), np.uint8))
