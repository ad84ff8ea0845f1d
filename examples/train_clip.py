"""A tiny model of open_clip, trained on captioned renders: a search by words without a download.

The renders are shapes of some colour that move in some way over some ground by day or night
(`captioned_clips`). Six pairs of colour and shape are never trained on; the test is to
find, for the caption of each of 100 combinations with such a pair, its clip among those 100.

A clip's vector is the mean of its frames' unit vectors, as the embedder pools them. The loss is
CLIP's (Radford et al., 2021) with one change: a caption names only some of what is seen, so that it
may be true of several clips of a batch; its weight is shared among them.

The folder that it writes is open_clip's own form, and is read back as a user's model is:

    scan:
      embedders: [FrameDct, OpenClip: {model: FOLDER}]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import save_file
from torch import Tensor

from captioned_clips import FIELDS, Subject, Variation, all_subjects, clip_frames, describe
from curation.embed.clip_embedder import mean_pool
from curation.embed.open_clip import ClipModel, find_checkpoint, import_open_clip

CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 128,
        # Four layers in a list make open_clip's convolutional tower.
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64},
        "text_cfg": {
            "context_length": 24, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2,
        },
    },
    "preprocess_cfg": {
        "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bicubic",
        "resize_mode": "shortest",
    },
}  # fmt: skip
FPS = 2
"""Frames a second that a clip is seen at, as by the embedder."""
FRAMES = 4
GALLERY, GALLERIES = 100, 6


def split(seed: int = 0) -> tuple[list[Subject], list[Subject]]:
    """What is trained on, and what is held out: every subject of six pairs of colour and shape."""
    every = all_subjects()
    rng = np.random.default_rng(seed)
    colours = sorted({subject.colour for subject in every})
    shapes = [str(shape) for shape in rng.permutation(sorted({subject.shape for subject in every}))]
    pairs = set(zip(colours, shapes, strict=True))
    held = [subject for subject in every if (subject.colour, subject.shape) in pairs]
    return [subject for subject in every if subject not in held], held


@dataclass(frozen=True)
class Renders:
    """Clips to train on."""

    subjects: list[Subject]
    frames: Tensor
    """float16 [clips, frames, 3, side, side], prepared as the model takes them."""


def rendered(subjects: list[Subject], model: ClipModel, rng: np.random.Generator) -> Renders:
    """One clip of each subject."""
    clips = []
    for subject in subjects:
        pictures = clip_frames(subject, Variation.random(rng), FRAMES, FPS)
        clips.append(torch.stack([model.preprocess(picture).half() for picture in pictures]))
    return Renders(subjects, torch.stack(clips))


def train(folder: Path, *, steps: int, batch: int, variants: int, seed: int) -> None:
    """Writes configuration and weights into the folder; prints the loss as it falls."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=1) + "\n")
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network, _, _ = import_open_clip().create_model_and_transforms(f"local-dir:{folder}")
    _save(network, folder)
    known, _ = split()
    renders = rendered(
        known * variants, ClipModel(find_checkpoint(str(folder)), "cpu", "fp32"), rng
    )
    print(f"{len(renders.subjects)} clips of {len(known)} subjects", flush=True)
    tokenizer = import_open_clip().get_tokenizer(f"local-dir:{folder}")
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps, pct_start=0.1)
    began = time.monotonic()
    for step in range(1, steps + 1):
        loss = _loss(network, tokenizer, renders, rng.choice(len(renders.subjects), batch), rng)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == steps:
            took = time.monotonic() - began
            print(f"step {step:5d}  loss {loss.item():.3f}  {took:.0f} s", flush=True)
    _save(network, folder)


def _save(network: Any, folder: Path) -> None:
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")


def _loss(
    network: Any, tokenizer: Any, renders: Renders, chosen: Any, rng: np.random.Generator
) -> Tensor:
    """Of one batch of clips, each with a caption that names some of what is seen."""
    seen = [renders.subjects[index] for index in chosen]
    named = [_named(rng) for _ in seen]
    captions = [describe(subject, fields, rng) for subject, fields in zip(seen, named, strict=True)]
    true = torch.tensor(
        [[all(getattr(subject, f) == getattr(other, f) for f in fields) for other in seen]
         for subject, fields in zip(seen, named, strict=True)], dtype=torch.float32
    )  # fmt: skip
    picked = np.stack([np.sort(rng.choice(FRAMES, 3, replace=False)) for _ in seen])
    frames = renders.frames[torch.from_numpy(chosen)[:, None], torch.from_numpy(picked)].float()
    pictures = frames.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    vectors = network.encode_image(pictures, normalize=True)
    clips = F.normalize(vectors.unflatten(0, frames.shape[:2]).mean(1), dim=-1)
    texts = network.encode_text(tokenizer(captions), normalize=True)
    scores = network.logit_scale.exp().clamp(max=100) * texts @ clips.T
    by_text = F.cross_entropy(scores, true / true.sum(1, keepdim=True))
    by_clip = F.cross_entropy(scores.T, true.T / true.T.sum(1, keepdim=True))
    return (by_text + by_clip) / 2


def _named(rng: np.random.Generator) -> list[str]:
    """The whole caption half the time, else at least two of the five fields."""
    if rng.random() < 0.5:
        return list(FIELDS)
    return [str(name) for name in rng.choice(FIELDS, int(rng.integers(2, 5)), replace=False)]


def recall(model: ClipModel, seed: int = 1) -> float:
    """Share of 100 held-out captions whose clip is the nearest of those 100 clips."""
    rng = np.random.default_rng(seed)
    _, held = split()
    asked = [held[index] for index in rng.choice(len(held), GALLERY, replace=False)]
    gallery = []
    for subject in asked:
        pictures = clip_frames(subject, Variation.random(rng), FRAMES, FPS)
        gallery.append(
            mean_pool(model.encode_images([model.preprocess(each) for each in pictures]))
        )
    captions = model.encode_texts([subject.caption for subject in asked])
    nearest = (captions @ np.stack(gallery).T).argmax(1)
    return float((nearest == np.arange(GALLERY)).mean())


def main() -> None:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("folder", type=Path, help="folder for the model")
    parser.add_argument("--steps", type=int, default=400, help="optimiser steps (%(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="clips to a step (%(default)s)")
    parser.add_argument("--variants", type=int, default=3, help="clips a subject (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and draws (%(default)s)")
    options = parser.parse_args()
    train(options.folder, steps=options.steps, batch=options.batch,
          variants=options.variants, seed=options.seed)  # fmt: skip
    model = ClipModel(find_checkpoint(str(options.folder)), "cpu", "fp32")
    found = [recall(model, seed) for seed in range(1, 1 + GALLERIES)]
    print(f"text to clip, {GALLERIES} galleries of {GALLERY} held-out combinations: recall@1 "
          f"{np.mean(found):.2f} on average, {min(found):.2f} to {max(found):.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
