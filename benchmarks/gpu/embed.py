"""Stage: an embedder of open_clip on the device, with random weights: ViT-B-32, or a tiny one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from benchmarks.gpu.stage import Stage
from curation.embed.open_clip import ClipModel, find_checkpoint, import_open_clip

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def measure(stage: Stage) -> None:
    open_clip = import_open_clip()
    size = TINY if stage.quick else open_clip.get_model_config("ViT-B-32")
    folder = written(stage.work / f"clip-{'tiny' if stage.quick else 'ViT-B-32'}", size)
    checkpoint = find_checkpoint(str(folder))
    [window] = stage.kit.windows("train", 64 if stage.quick else 256, 9, 1)
    exact = ClipModel(checkpoint, "cpu", "fp32")
    pictures = [exact.preprocess(frame) for frame in window]
    expected = exact.encode_images(pictures)
    for precision in ("fp32", "bf16") if stage.on_gpu else ("fp32",):
        model = ClipModel(checkpoint, stage.device, precision)  # type: ignore[arg-type]
        cosine = (model.encode_images(pictures) * expected).sum(1)
        figures: dict[str, Any] = {"least cosine to the CPU's": round(float(cosine.min()), 6)}
        for batch in (8,) if stage.quick else (32, 256):
            group = [pictures[index % len(pictures)] for index in range(batch)]
            seconds = stage.seconds_of(lambda run=model, some=group: run.encode_images(some))
            figures[f"pictures/s, batch {batch}"] = round(batch / seconds, 1)
        stage.report(**{precision: figures})
    seconds = stage.seconds_of(lambda: [exact.preprocess(frame) for frame in window])
    stage.report(**{"one core preprocesses, pictures/s": round(len(window) / seconds, 1)})
    assert np.isfinite(expected).all()


def written(folder: Path, size: dict[str, Any]) -> Path:
    """A model of this size in open_clip's own form."""
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = {"mean": [0.5] * 3, "std": [0.3] * 3, "resize_mode": "squash"}
    config = {"model_cfg": size, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    network = import_open_clip().create_model(f"local-dir:{folder}")
    save_file(network.state_dict(), folder / "open_clip_model.safetensors")
    return folder
