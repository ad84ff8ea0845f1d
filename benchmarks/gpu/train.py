"""Stage: training each rate on the device, from the shipped weights on, and what it gained.

Crops are cut here from the kit's clips, many times as many as a packed file of the same size would
hold. Each rate gets the same share of the time; how many steps that is, is measured and kept, so
that a stopped run resumes. Held-out quality is that of the first windows of the held-out clips.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.kit import Frames, Kit, KitClip
from benchmarks.gpu.stage import Stage
from tokenizer.models.inference import DeviceConfig
from tokenizer.models.interface import Compression, Tokenizer, Video
from tokenizer.models.load import load
from tokenizer.tokenize.psnr import psnr_db
from tokenizer.tokenize.windows import fit_size, pad_video
from tokenizer.train.crops import CropSet, CropsMetadata
from tokenizer.train.loop import Recipe, Trainer, export_tokenizer

RATES = ("4x8x8", "8x8x8", "8x16x16")
SHORT_SIDES = (128, 192, 256)
STRIDES = (1, 1, 1, 2, 3)
FRAMES, SIDE = 17, 96
MEASURING_S = 10.0
"""Of the stage's time, for measuring each rate."""


def measure(stage: Stage) -> None:
    count, batch = (12, 2) if stage.quick else (9000, 32)
    start = time.monotonic()
    crops = cut_crops(stage.kit, count)
    windows = held_out_windows(stage)
    stage.report(
        crops={"train": len(crops.train), "validation": len(crops.validation)},
        cutting_s=round(time.monotonic() - start, 1),
    )
    rates = RATES[2:] if stage.quick else RATES
    for index, rate in enumerate(rates):
        reserve = MEASURING_S * (len(rates) - index)
        end = time.monotonic() + (stage.seconds_left - reserve) / (len(rates) - index)
        recipe = recipe_of(stage, crops, rate, batch, end)
        folder = stage.work / f"train-{rate}"
        trainer = Trainer(crops, folder, recipe)
        trainer.run(lambda row: print(json.dumps(row), flush=True))
        weights = stage.results / f"causal-{rate}.safetensors"
        export_tokenizer(trainer, weights)
        figures: dict[str, Any] = {
            "steps": trainer.step, "seconds": round(trainer.seconds, 1),
            "crops/s": round(trainer.step * batch / max(trainer.seconds, 1e-9), 1),
        }  # fmt: skip
        stage.report(**{rate: figures | qualities(stage, rate, weights, windows)})


def qualities(
    stage: Stage, rate: str, weights: Path, windows: list[Frames]
) -> dict[str, dict[str, float]]:
    """PSNR of the held-out windows: as trained here, as shipped, and of PCA."""
    placement = DeviceConfig(stage.device, "fp32", 1)
    named = {"trained": str(weights), "shipped": f"causal-{rate}", "PCA": f"pca-{rate}"}
    return {name: held_out(load(at, placement), windows) for name, at in named.items()}


def held_out(tokenizer: Tokenizer, windows: list[Frames]) -> dict[str, float]:
    """Mean PSNR in dB from codes and from latents, over windows that are padded to the rate."""
    padded = [padded_window(window, tokenizer.rate) for window in windows]
    tokens = tokenizer.encode(padded)
    decoded = {
        "codes": tokenizer.decode_codes([t.codes for t in tokens if t.codes is not None]),
        "latents": tokenizer.decode_latents([t.latents for t in tokens if t.latents is not None]),
    }
    return {
        f"{head}, dB": round(float(np.mean([
            psnr_db(window, video[: len(window), : window.shape[1], : window.shape[2]])
            for window, video in zip(windows, videos, strict=True)
        ])), 2)
        for head, videos in decoded.items()
    }  # fmt: skip


def padded_window(window: Frames, rate: Compression) -> Video:
    _, height, width, _ = window.shape
    size = fit_size(width, height, min(width, height), rate)
    return pad_video(window, (1 - len(window)) % rate.time, size.pad_bottom, size.pad_right)


def held_out_windows(stage: Stage) -> list[Frames]:
    """One window a clip, as the tokenize step cuts it; shorter ones in a quick run."""
    short_side, frames, count = (64, 17, 2) if stage.quick else (256, 49, 40)
    return stage.kit.windows("validation", short_side, frames, count)


def recipe_of(stage: Stage, crops: CropSet, rate: str, batch: int, end: float) -> Recipe:
    """The recipe of a rate, with as many steps as fit until `end`; the same one when resumed."""
    path = stage.work / f"train-{rate}.json"
    if path.exists():
        return Recipe(**json.loads(path.read_text()))
    shipped = Path(__file__).parents[2] / f"tokenizer/weights/causal-{rate}.safetensors"
    values: dict[str, Any] = {
        "rate": rate, "batch": batch, "device": stage.device, "start": str(shipped),
        "precision": "bf16" if stage.on_gpu else "fp32", "compile": stage.on_gpu,
        "every": 10**9, "side": 32 if stage.quick else 64,
    }  # fmt: skip
    if stage.quick:
        values["steps"] = 3
    else:
        seconds = seconds_a_step(stage, crops, Recipe(**values))
        values["steps"] = max(100, int(0.9 * (end - time.monotonic()) / seconds))
        values["every"] = max(1, values["steps"] // 8)
    path.write_text(json.dumps(values))
    return Recipe(**values)


def seconds_a_step(stage: Stage, crops: CropSet, recipe: Recipe) -> float:
    """Measured after warming up, in a folder that is left behind."""
    folder = stage.work / f"trial-{recipe.rate}-{os.getpid()}"
    trainer = Trainer(crops, folder, recipe)
    trainer.run(lambda _: None, last_step=40)
    warm = trainer.seconds
    trainer.run(lambda _: None, last_step=100)
    return (trainer.seconds - warm) / 60


def cut_crops(kit: Kit, count: int) -> CropSet:
    """About `count` crops to train on, and some held out."""
    train, validation = cut(kit, "train", count), cut(kit, "validation", min(count, 64))
    licences = Counter(clip.licence for clip in kit.part("train"))
    split = {
        part: sorted({clip.group for clip in kit.part(part)}) for part in ("train", "validation")
    }
    return CropSet(train, validation, CropsMetadata(FRAMES, SIDE, split, dict(licences)))


def cut(kit: Kit, part: str, count: int) -> torch.Tensor:
    """Crops of a part, the same number of each recording."""
    clips = [clip for clip in kit.part(part) if clip.frames >= FRAMES]
    if not clips:
        raise SystemExit(f"the kit has no clip for {part}")
    siblings = Counter(clip.group for clip in clips)
    counts = [-(-count // (len(siblings) * siblings[clip.group])) for clip in clips]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        crops = pool.map(partial(crops_of, kit), clips, counts, range(len(clips)))
        return torch.from_numpy(np.concatenate(list(crops)))


def crops_of(kit: Kit, clip: KitClip, count: int, seed: int) -> Frames:
    """Crops of one clip at random places, sizes and strides, [n, FRAMES, SIDE, SIDE, 3]."""
    random = np.random.default_rng(seed)
    sizes = random.choice(SHORT_SIDES, count)
    crops = []
    for short_side in np.unique(sizes):
        video = kit.reader(clip, int(short_side)).read(range(clip.frames))
        for _ in range(int((sizes == short_side).sum())):
            stride = min(int(random.choice(STRIDES)), (clip.frames - 1) // (FRAMES - 1))
            span = (FRAMES - 1) * stride + 1
            t, y, x = (
                int(random.integers(length - size + 1))
                for length, size in zip(video.shape, (span, SIDE, SIDE), strict=False)
            )
            crops.append(video[t : t + span : stride, y : y + SIDE, x : x + SIDE])
    return np.stack(crops)
