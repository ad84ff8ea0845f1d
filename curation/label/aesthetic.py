"""The aesthetic score: how pleasing a picture is, from its CLIP vector, trained on ratings.

LAION's heads (Schuhmann et al., 2022) are read as they were published: `sa_0_4_vit_b_32_linear`,
one linear layer, and `sac+logos+ava1-l14-linearMSE`, five linear layers without activations. Either
is an affine function of a vector of unit length. Each was trained on the vectors of one model; take
the head of the model that you embed with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curation.embed.open_clip import Features, ModelError
from curation.storage import file_sha256


@dataclass(frozen=True)
class AestheticHead:
    """A chain of linear layers."""

    path: str
    """The file that it was read from."""
    digest: str
    """sha256 of the file."""
    layers: tuple[tuple[Features, Features], ...]
    """Weights [out, in] and biases [out]."""

    @classmethod
    def load(cls, path: str) -> AestheticHead:
        """Reads a .safetensors file or a pickled state, the latter with `weights_only`.

        Raises `ModelError` for a file that is missing, damaged, or no chain of linear layers that
        ends in one number.
        """
        if not Path(path).is_file():
            raise ModelError(f"there is no aesthetic head at {path}")
        return cls(path, file_sha256(path), _layers(path, _read_state(path)))

    def score(self, vectors: Features) -> Features:
        """Scores float32 [n] of vectors [n, dim] of unit length.

        Raises `ModelError` where the head was trained on vectors of another length.
        """
        dim = self.layers[0][0].shape[1]
        if vectors.shape[1] != dim:
            raise ModelError(
                f"{self.path} takes vectors of {dim} numbers, and the model gives "
                f"{vectors.shape[1]}; take the head that was trained on this model"
            )
        for weight, bias in self.layers:
            vectors = vectors @ weight.T + bias
        return np.asarray(vectors[:, 0], np.float32)


def _read_state(path: str) -> dict[str, Any]:
    """Arrays by name."""
    import torch
    from safetensors.torch import load_file

    try:
        if path.endswith(".safetensors"):
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = state.get("state_dict", state)
        return {name: tensor.float().numpy() for name, tensor in state.items()}
    except Exception as error:  # of a damaged archive or a foreign pickle
        message = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} cannot be read as weights: {message}") from error


def _layers(path: str, state: dict[str, Any]) -> tuple[tuple[Features, Features], ...]:
    names = [name for name in state if name.endswith("weight")]
    names.sort(key=lambda name: [int(number) for number in re.findall(r"\d+", name)])
    layers: list[tuple[Features, Features]] = []
    for name in names:
        weight, bias = state[name], state.get(name.removesuffix("weight") + "bias")
        fits = weight.ndim == 2 and bias is not None and bias.shape == weight.shape[:1]
        if not fits or (layers and layers[-1][0].shape[0] != weight.shape[1]):
            raise ModelError(f"{path}: {name} is no linear layer that fits the one before")
        layers.append((np.asarray(weight, np.float32), np.asarray(bias, np.float32)))
    if not layers or len(layers[-1][1]) != 1 or len(state) != 2 * len(layers):
        raise ModelError(f"{path} is no chain of linear layers that ends in one number")
    return tuple(layers)
