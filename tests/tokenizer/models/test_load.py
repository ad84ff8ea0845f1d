import numpy as np
import pytest

from tokenizer.models import fsq
from tokenizer.models.load import _WEIGHTS, load, shipped
from tokenizer.tokenize.psnr import psnr_db

DIGESTS = {
    "causal-4x8x8": "fe1dee8e",
    "causal-8x16x16": "dade6e84",
    "causal-8x8x8": "0573312b",
    "pca-4x8x8": "0efab2a6",
    "pca-8x16x16": "6055ea34",
    "pca-8x8x8": "4ffaa6fd",
}


def test_the_shipped_weights_are_these():
    assert {name: load(name).digest[: len(DIGESTS[name])] for name in shipped()} == DIGESTS


def test_shipped_weights_stay_small():
    assert sum(path.stat().st_size for path in _WEIGHTS.glob("*.safetensors")) <= 20_000_000


@pytest.mark.parametrize("rate", ["4x8x8", "8x8x8", "8x16x16"])
def test_the_learned_tokenizer_beats_the_baseline_on_what_neither_has_seen(rate, pattern):
    video = pattern(17, 96, 96)
    learned, baseline = (load(f"{family}-{rate}") for family in ("causal", "pca"))
    for head in ("codes", "latents"):
        mine, its = (_kept_db(tokenizer, head, video) for tokenizer in (learned, baseline))
        assert mine > its + 0.3, head


def _kept_db(tokenizer, head, video) -> float:
    [tokens] = tokenizer.encode([video])
    return psnr_db(video, getattr(tokenizer, f"decode_{head}")([getattr(tokens, head)])[0])


@pytest.mark.parametrize("name", [name for name in DIGESTS if name.startswith("pca")])
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
    with pytest.raises(ValueError, match="causal-8x8x8, pca-4x8x8, pca-8x16x16, pca-8x8x8"):
        load("pca-9x9x9")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        load(str(tmp_path / "none.safetensors"))
