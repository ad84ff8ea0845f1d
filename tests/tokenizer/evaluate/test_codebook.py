import numpy as np
import pytest

from tokenizer.evaluate.codebook import CodebookUse, count_codes


def test_counts_of_codes_of_any_shape():
    codes = np.array([[[0, 3], [3, 1]]], np.uint16)
    assert count_codes(codes, 5).tolist() == [1, 1, 0, 2, 0]


@pytest.mark.parametrize(
    ("counts", "share", "entropy"),
    [
        ([4, 0, 0, 0], 0.25, 0.0),
        ([2, 2, 0, 0], 0.5, 1.0),
        ([1, 1, 1, 1], 1.0, 2.0),
        ([2, 1, 1, 0], 0.75, 1.5),
    ],
)
def test_share_and_entropy_by_hand(counts, share, entropy):
    use = CodebookUse.of(np.array(counts))
    assert (use.codes, use.size, use.share) == (4, 4, share)
    assert use.entropy_bits == pytest.approx(entropy)
    assert str(use.entropy_bits) != "-0.0"
