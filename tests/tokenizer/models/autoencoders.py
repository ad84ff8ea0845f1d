"""Tiny autoencoders of diffusers, one of each class that is taken, and what they record."""

from pathlib import Path
from types import ModuleType

import pytest
import torch

from curation.torchvision_ops import declare_missing_ops

WAN = {
    "base_dim": 4,
    "z_dim": 4,
    "dim_mult": [1, 1, 1, 1],
    "num_res_blocks": 1,
    "latents_mean": [0.0, -1.0, 0.5, 2.0],
    "latents_std": [1.0, 2.0, 3.0, 0.5],
}
CLASSES = {
    "wan-4x8x8": ("AutoencoderKLWan", WAN),
    "wan-4x16x16": (
        "AutoencoderKLWan",
        {
            **WAN,
            "decoder_base_dim": 8,
            "is_residual": True,
            "in_channels": 12,
            "out_channels": 12,
            "patch_size": 2,
            "scale_factor_spatial": 16,
        },
    ),
    "cosmos-vae-8x8x8": (
        "AutoencoderKLCosmos",
        {
            "latent_channels": 4,
            "encoder_block_out_channels": (8, 8, 8, 8),
            "decode_block_out_channels": (8, 8, 8, 8),
            "attention_resolutions": (8,),
            "resolution": 64,
            "num_layers": 1,
            "latents_mean": [0.0, 2.0, 1.0, 1.0, 3.0, 3.0, 0.0, 0.0],
            "latents_std": [1.0, 1.0, 2.0, 2.0, 3.0, 4.0, 1.0, 1.0],
        },
    ),
    "hunyuanvideo15-4x16x16": (
        "AutoencoderKLHunyuanVideo15",
        {
            "latent_channels": 4,
            "block_out_channels": (8, 8, 8, 8, 8),
            "layers_per_block": 1,
            "scaling_factor": 0.5,
        },
    ),
    "ltx-8x32x32": (
        "AutoencoderKLLTXVideo",
        {
            "latent_channels": 4,
            "block_out_channels": (8, 8, 8, 8),
            "decoder_block_out_channels": (8, 8, 8, 8),
            "layers_per_block": (1, 1, 1, 1, 1),
            "decoder_layers_per_block": (1, 1, 1, 1, 1),
            "scaling_factor": 4.0,
        },
    ),
    "easyanimate-4x8x8": (
        "AutoencoderKLMagvit",
        {
            "latent_channels": 4,
            "block_out_channels": (8, 8, 8, 8),
            "layers_per_block": 1,
            "norm_num_groups": 4,
        },
    ),
    "mochi-6x8x8": (
        "AutoencoderKLMochi",
        {
            "latent_channels": 4,
            "encoder_block_out_channels": (32, 32, 32, 32),
            "decoder_block_out_channels": (32, 32, 32, 32),
            "layers_per_block": (1, 1, 1, 1, 1),
            "latents_mean": (0.0, -1.0, 0.5, 2.0),
            "latents_std": (1.0, 2.0, 3.0, 0.5),
            "scaling_factor": 2.0,
        },
    ),
}
STATISTICS = {
    "wan-4x8x8": ((0.0, -1.0, 0.5, 2.0), (1.0, 2.0, 3.0, 0.5)),
    "wan-4x16x16": ((0.0, -1.0, 0.5, 2.0), (1.0, 2.0, 3.0, 0.5)),
    "cosmos-vae-8x8x8": ((1.0, 1.0, 3.0, 0.0), (2**0.5, 2.0, 12.5**0.5, 1.0)),
    "hunyuanvideo15-4x16x16": ((0.0,) * 4, (2.0,) * 4),
    "ltx-8x32x32": ((5.0,) * 4, (0.5,) * 4),
    "easyanimate-4x8x8": ((0.0,) * 4, (1 / 0.7125,) * 4),
    "mochi-6x8x8": ((0.0, -1.0, 0.5, 2.0), (0.5, 1.0, 1.5, 0.25)),
}


def diffusers() -> ModuleType:
    """The library, imported as the product imports it: whatever was imported before."""
    declare_missing_ops()
    return pytest.importorskip("diffusers", reason="the networks are diffusers' own")


def write(folder: Path, kind: str, config: dict, **options) -> Path:
    """Saves a network with random weights, always the same."""
    library = diffusers()
    torch.manual_seed(0)
    vae = getattr(library, kind)(**config)
    if kind == "AutoencoderKLLTXVideo":
        vae.latents_mean += 5
        vae.latents_std += 1
    vae.save_pretrained(folder, **options)
    return folder
