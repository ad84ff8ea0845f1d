import numpy as np
import pytest
import torch

from tokenizer.models.causal.patch import from_patches, haar, haar3d, to_patches
from tokenizer.models.pca import split_patches


def test_haar_of_four_is_the_textbook_matrix():
    half, root = 0.5, 0.5**0.5
    expected = [
        [half, half, half, half],
        [half, half, -half, -half],
        [root, -root, 0, 0],
        [0, 0, root, -root],
    ]
    assert np.allclose(haar(4), expected)


@pytest.mark.parametrize("size", [3, 0, 12])
def test_haar_takes_powers_of_two(size):
    with pytest.raises(ValueError, match=f"not {size}"):
        haar(size)


def test_the_transform_is_orthonormal_and_concentrates_flat_patches():
    matrix = haar3d(4, 8).double()
    assert torch.allclose(matrix @ matrix.T, torch.eye(768).double(), atol=1e-6)
    flat = matrix @ torch.ones(768).double()
    assert int((flat.abs() > 1e-6).sum()) == 3
    assert torch.allclose(flat[:3], torch.full((3,), 16.0).double())


def test_patches_are_those_of_the_baseline_and_invert():
    video = torch.randint(0, 256, (2, 8, 16, 24, 3), dtype=torch.uint8)
    patches = to_patches(video, 4, 8)
    assert patches.shape == (2, 2, 2, 3, 768)
    assert np.array_equal(
        patches[1].reshape(2, 6, 768).numpy(), split_patches(video[1].numpy(), 4, 8)
    )
    assert torch.equal(from_patches(patches, 4, 8), video)
