import numpy as np
import pytest

from tokenizer.evaluate.perceptual import ssim
from tokenizer.tokenize.psnr import frame_mse, psnr_db, psnr_from_mse

SCIKIT_IMAGE = {
    "noisy": (0.5734043705124204, 0.5784336104585363, 0.5908250077684370),
    "dark": (0.9692519211753486, 0.9691803527979550, 0.9690745494750050),
    "coarse": (0.8004186376799562, 0.8030340149687503, 0.8050803605094075),
    "inverted": (0.4097384383896055, 0.4037875359321992, 0.3961721677207229),
}
"""What scikit-image 0.26.0 makes of the frames' luma, `video @ [0.299, 0.587, 0.114]`, with
gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255."""


def distorted(video):
    noise = np.random.default_rng(0).integers(-20, 21, video.shape)
    return {
        "noisy": np.clip(video.astype(int) + noise, 0, 255).astype(np.uint8),
        "dark": (video * 0.8).astype(np.uint8),
        "coarse": (video // 32 * 32 + 16).astype(np.uint8),
        "inverted": 255 - video,
    }


def flat(*values):
    return np.stack([np.full((16, 12, 3), value, np.uint8) for value in values])


@pytest.mark.parametrize("name", SCIKIT_IMAGE)
def test_ssim_agrees_with_scikit_image(pattern, name):
    video = pattern(3)
    result = ssim(video, distorted(video)[name])
    assert result.dtype == np.float64
    assert result == pytest.approx(SCIKIT_IMAGE[name], abs=2e-6)


def test_ssim_of_flat_pictures_is_the_term_of_light():
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 110 + c1) / (100**2 + 110**2 + c1)
    assert ssim(flat(100), flat(110)) == pytest.approx([expected], abs=1e-6)


def test_ssim_of_a_frame_does_not_depend_on_the_others(pattern):
    video = pattern(11)
    other = distorted(video)["noisy"]
    alone = [ssim(video[t : t + 1], other[t : t + 1])[0] for t in range(11)]
    assert ssim(video, other).tolist() == alone
    assert ssim(video, video) == pytest.approx(np.ones(11), abs=1e-6)


def test_squared_errors_are_exact_for_each_frame():
    video, other = flat(0, 10, 255), flat(0, 13, 0)
    other[1, 0, 0] = (10, 10, 14)  # one pixel of 192: 0 + 0 + 16 in place of 3 · 9
    assert frame_mse(video, other).tolist() == [0, (191 * 27 + 16) / 576, 255**2]


def test_psnr_by_hand():
    assert psnr_db(flat(0, 0), flat(0, 5)) == pytest.approx(10 * np.log10(255**2 / 12.5))
    assert psnr_db(flat(0), flat(255)) == 0
    assert psnr_db(flat(7), flat(7)) == 100
    assert psnr_from_mse(1e-9) == 100
    assert psnr_from_mse(255**2 / 1000) == pytest.approx(30)


@pytest.mark.parametrize("measure", [frame_mse, psnr_db, ssim])
def test_videos_of_two_shapes_are_refused(measure):
    with pytest.raises(
        ValueError, match=r"of one shape, got \[1, 16, 12, 3\] and \[2, 16, 12, 3\]"
    ):
        measure(flat(1), flat(1, 2))
    with pytest.raises(ValueError, match="of one shape"):
        measure(flat(1)[:0], flat(1)[:0])


def test_pictures_smaller_than_the_window_of_ssim_are_refused():
    small = flat(1)[:, :, :10]
    with pytest.raises(ValueError, match="SSIM needs 11 pixels a side"):
        ssim(small, small)
