"""A model of open_clip of its own kind and tiny, saved and read back as a user's is."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from captioned_clips import Subject, Variation, clip_frames
from curation.embed.open_clip import Checkpoint, ClipModel, find_checkpoint, import_open_clip

CONFIG = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16,
        },
        "text_cfg": {
            "context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1,
        },
    },
    "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.3] * 3, "resize_mode": "squash"},
}  # fmt: skip


def saved(folder: Path, seed: int = 0) -> Path:
    """Random weights in open_clip's own form."""
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG))
    torch.manual_seed(seed)
    network = import_open_clip().create_model(f"local-dir:{folder}")
    save_file(network.state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return saved(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def checkpoint(folder) -> Checkpoint:
    return find_checkpoint(str(folder))


@pytest.fixture(scope="session")
def model(checkpoint) -> ClipModel:
    return ClipModel(checkpoint, "cpu", "fp32")


@pytest.fixture(scope="session")
def pictures() -> list[np.ndarray]:
    """Two seconds of a red disc at four frames a second."""
    thing = Subject("red", "disc", "sideways", "grass", "day")
    return list(clip_frames(thing, Variation.random(np.random.default_rng(3)), 8, 4))
