import pytest
import torch

from tests.tokenizer.conftest import moving_pattern
from tests.tokenizer.models.causal.conftest import SMALL
from tokenizer.models.causal.network import Network
from tokenizer.models.causal.tokenizer import CausalTokenizer
from tokenizer.tokenize.psnr import psnr_db
from tokenizer.train.crops import read_crops
from tokenizer.train.pca_fit import fit_pca
from tokenizer.train.pca_init import init_from_pca


def test_the_first_step_is_as_good_as_the_baseline(packed, rate):
    crops, _ = read_crops(packed, "train")
    network = Network(SMALL[rate])
    init_from_pca(network, crops)
    learned = CausalTokenizer.of(network, [0.0] * 16, [1.0] * 16)
    baseline = fit_pca([crop.numpy() for crop in crops], learned.rate)
    video = moving_pattern(17, 48, 48, speed=1.1)
    [mine], [its] = learned.encode([video]), baseline.encode([video])
    for head in ("codes", "latents"):
        found, wanted = (
            psnr_db(video, getattr(tokenizer, f"decode_{head}")([getattr(tokens, head)])[0])
            for tokenizer, tokens in ((learned, mine), (baseline, its))
        )
        assert found == pytest.approx(wanted, abs=0.3)


def test_latents_begin_with_unit_variance(packed):
    crops, _ = read_crops(packed, "train")
    network = Network(SMALL["8x8x8"])
    init_from_pca(network, crops)
    with torch.no_grad():
        heads = network.encoder(crops.float() / 127.5 - 1, True, None)
    spread = heads[:, 1:, ..., :16].flatten(0, 3).std(0)
    assert torch.allclose(spread, torch.ones(16), atol=0.25)
