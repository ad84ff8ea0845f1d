import numpy as np
import pytest

from tokenizer import fsq
from tokenizer.load import load, shipped

DIGESTS = {
    "pca-4x8x8": "0efab2a633aa295b49bfa16fd8eff744218680b10150787696bfd379c4df41ed",
    "pca-8x16x16": "6055ea344d777f2cc0180ca3514bdececc533e67264d6be8261849c973843dd0",
    "pca-8x8x8": "4ffaa6fd53459e3d101021f27447c8dd58f9a7eda6d85c3009b1ffa26e6a5c66",
}


def test_the_shipped_weights_are_these():
    assert {name: load(name).digest for name in shipped()} == DIGESTS


@pytest.mark.parametrize("name", DIGESTS)
def test_shipped_bases_are_orthonormal(name):
    tokenizer = load(name)
    assert tokenizer.name == name
    assert tokenizer.levels == fsq.LEVELS
    assert len(tokenizer.latent_mean) == len(tokenizer.latent_std) == tokenizer.channels == 16
    for basis in (tokenizer.first, tokenizer.group):
        product = basis.components @ basis.components.T
        assert np.allclose(product, np.eye(16), atol=1e-5)
        assert np.all(basis.bounds > 0)
    assert set(tokenizer.card) == {"licence", "data", "psnr"}


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="pca-4x8x8, pca-8x16x16, pca-8x8x8"):
        load("pca-9x9x9")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        load(str(tmp_path / "none.safetensors"))
