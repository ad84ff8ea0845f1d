"""Heads in both forms that LAION published."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from curation.embed.open_clip import ModelError
from curation.label.aesthetic import AestheticHead


def five_layers(dim):
    """As `sac+logos+ava1-l14-linearMSE` is made: dropout between linear layers, under `layers`."""
    head = nn.Module()
    head.layers = nn.Sequential(
        nn.Linear(dim, 32), nn.Dropout(0.2), nn.Linear(32, 16), nn.Dropout(0.2),
        nn.Linear(16, 8), nn.Dropout(0.1), nn.Linear(8, 4), nn.Linear(4, 1),
    )  # fmt: skip
    return head.eval()


def vectors(dim):
    values = np.random.default_rng(0).normal(size=(6, dim)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("form", ["linear", "five"])
def test_scores_are_what_torch_computes(tmp_path, form, suffix):
    torch.manual_seed(0)
    network = nn.Linear(16, 1) if form == "linear" else five_layers(16)
    path = tmp_path / f"head{suffix}"
    save = save_file if suffix == ".safetensors" else torch.save
    save(network.state_dict(), path)
    head = AestheticHead.load(str(path))
    run = network if form == "linear" else network.layers
    expected = run(torch.from_numpy(vectors(16))).detach().numpy()[:, 0]
    np.testing.assert_allclose(head.score(vectors(16)), expected, atol=1e-5)
    with pytest.raises(ModelError, match="takes vectors of 16 numbers, and the model gives 8"):
        head.score(vectors(8))


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "head.pth"
    with pytest.raises(ModelError, match="there is no aesthetic head at"):
        AestheticHead.load(str(path))
    path.write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be read as weights"):
        AestheticHead.load(str(path))
    torch.save({"run": print}, path)  # a pickle that names code
    with pytest.raises(ModelError, match="cannot be read as weights"):
        AestheticHead.load(str(path))
    torch.save(nn.Linear(16, 2).state_dict(), path)
    with pytest.raises(ModelError, match="ends in one number"):
        AestheticHead.load(str(path))
    torch.save(nn.Sequential(nn.Linear(16, 8), nn.Linear(4, 1)).state_dict(), path)
    with pytest.raises(ModelError, match="no linear layer that fits"):
        AestheticHead.load(str(path))
    torch.save(nn.Sequential(nn.Conv1d(16, 1, 1)).state_dict(), path)
    with pytest.raises(ModelError, match="no linear layer"):
        AestheticHead.load(str(path))
