"""From a training run to weights: the averages, with the statistics of their latents."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch

from tokenizer.models.causal.network import CHANNELS, Network
from tokenizer.models.causal.tokenizer import CausalTokenizer
from tokenizer.models.inference import Placement
from tokenizer.train.loop import Trainer

_CROPS = 256


def export(trainer: Trainer, path: Path) -> CausalTokenizer:
    """Writes the averaged weights of a run as a tokenizer and returns it."""
    network = Network(trainer.config)
    network.load_state_dict(trainer.average)
    made = CausalTokenizer.of(network, (), (), Placement())
    time = trainer.config.time
    frames = 1 + (trainer.train.shape[1] - 1) // time * time
    side = trainer.train.shape[2] // trainer.config.space * trainer.config.space
    stride = max(1, len(trainer.train) // _CROPS)
    windows = trainer.train[::stride, :frames, :side, :side].cpu().numpy()
    latents = [tokens.latents for tokens in made.encode(list(windows))]
    flat = torch.from_numpy(
        torch.stack([torch.from_numpy(x) for x in latents if x is not None]).numpy()
    )
    values = flat.double().movedim(1, -1).reshape(-1, CHANNELS)
    mean, std = (tuple(stat.tolist()) for stat in (values.mean(0), values.std(0)))
    card = {
        "recipe": json.dumps(asdict(trainer.recipe)),
        "steps": str(trainer.step),
        "seconds": f"{trainer.seconds:.0f}",
        "licences": json.dumps(dict(trainer.facts.licences)),
    }
    tokenizer = CausalTokenizer.of(network, mean, std, Placement(), card)
    tokenizer.save(path)
    return tokenizer
