import numpy as np
import pytest

from tokenizer.models.interface import Compression, check_codes, check_latents, check_video


def test_rate_reads_what_it_writes():
    assert str(Compression(8, 16)) == "8x16x16"
    assert Compression.parse("8x16x16") == Compression(8, 16)


@pytest.mark.parametrize("text", ["8x8", "8x8x16", "ax8x8", ""])
def test_other_rates_are_refused(text):
    with pytest.raises(ValueError, match="TIMExSPACExSPACE"):
        Compression.parse(text)


@pytest.mark.parametrize(
    ("shape", "nearest"),
    [
        ((48, 64, 64, 3), r"\[49, 64, 64, 3\]"),
        ((49, 60, 64, 3), r"\[49, 64, 64, 3\]"),
        ((49, 64, 67, 3), r"\[49, 64, 64, 3\]"),
        ((0, 64, 64, 3), r"\[1, 64, 64, 3\]"),
    ],
)
def test_a_shape_that_does_not_fit_names_itself_and_the_nearest(shape, nearest):
    with pytest.raises(ValueError, match=nearest) as caught:
        check_video(np.zeros(shape, np.uint8), Compression(8, 8))
    assert str(list(shape)) in str(caught.value)


def test_other_kinds_of_array_are_refused():
    with pytest.raises(ValueError, match=r"float32 \[1, 8, 8, 3\]"):
        check_video(np.zeros((1, 8, 8, 3), np.float32), Compression(8, 8))
    with pytest.raises(ValueError, match="64000 is beyond"):
        check_codes(np.full((1, 2, 2), 64000, np.uint16), 64000)
    with pytest.raises(ValueError, match=r"int64 \[1, 2, 2\]"):
        check_codes(np.zeros((1, 2, 2), np.int64), 64000)
    with pytest.raises(ValueError, match=r"need latents as float16 \[16, T, H, W\]"):
        check_latents(np.zeros((4, 1, 2, 2), np.float16), 16)
