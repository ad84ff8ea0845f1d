"""Initialises training with what a trained network of this rate or another one has learned.

From the same rate all tensors are copied. From another rate it is those of the same shape that lie
inside the network: at 4x8x8 and 8x8x8 the blocks and the map from patches, so that one grows from
the other. What reads and writes latents and pixels stays as `pca_init` set it, so that the first
step still decodes exactly as well as the principal components of the new rate.
"""

from __future__ import annotations

import torch

from tokenizer.models.causal.network import Network

_ENDS = (
    "encoder.heads.", "encoder.linear.", "decoder.entry.", "decoder.linear.", "decoder.pixels.",
)  # fmt: skip
"""Prefixes of what depends on the meaning of latents, or adds to pixels."""


@torch.no_grad()
def copy_weights(trained: Network, network: Network) -> None:
    """Copies the tensors of a trained network that fit into another one."""
    is_same_rate = trained.config.rate == network.config.rate
    own = network.state_dict()
    for name, tensor in trained.state_dict().items():
        fits = name in own and own[name].shape == tensor.shape
        if fits and (is_same_rate or not name.startswith(_ENDS)):
            own[name].copy_(tensor)
