"""Stage: encoding and decoding on the device, ours and networks of Cosmos's and Wan's real size.

Networks other than the shipped ones have random weights, which take as long. Frames a second, the
share of the device's rate of matrix products, and the gain over the naive form are those of
`benchmarks/tokens.py`; the most telling figures come first, the compiled ones, which have to warm
up, last.
"""

from __future__ import annotations

import argparse
import importlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.stage import Stage
from benchmarks.tokens import in_memory, naive
from curation.torchvision_ops import declare_missing_ops
from tests.tokenizer.models.autoencoders import CLASSES, write
from tokenizer.models.inference import DeviceConfig
from tokenizer.models.interface import Video
from tokenizer.models.load import load

NAMES = ("causal-8x8x8", "causal-4x8x8", "causal-8x16x16")
REAL = {"Wan": "AutoencoderKLWan", "Cosmos": "AutoencoderKLCosmos"}
"""Classes whose defaults are the sizes of Wan 2.1 and of Cosmos CV8x8x8."""


def measure(stage: Stage) -> None:
    window, best = windows(stage, 256), "bf16" if stage.on_gpu else "fp32"
    stage.attempt("agreement", partial(agreement, stage, NAMES[0], window))

    def attempt(
        title: str, name: str, precision: str, batch: int, *, of: list[Video] = window,
        compiled: bool = False,
    ) -> None:  # fmt: skip
        work = partial(speed, stage, name, of, precision, batch, compiled=compiled)
        stage.attempt(title, work)

    for name in NAMES[:1] if stage.quick else NAMES:
        attempt(f"{name} at 256", name, best, 8)
    for name, kind in REAL.items():
        folder = stage.work / f"{name.lower()}-{'tiny' if stage.quick else 'real'}"
        stage.attempt(f"{name}, written", partial(written, stage, folder, kind))
        attempt(f"{name}, {'tiny' if stage.quick else 'real size'}", f"diffusers:{folder}", best, 1)
    if stage.quick:
        return
    attempt(f"{NAMES[0]} at 720", NAMES[0], best, 2, of=windows(stage, 720))
    for precision, batch in (("fp32", 8), (best, 1), (best, 32)):
        attempt(f"{NAMES[0]} at 256, {precision}, batch {batch}", NAMES[0], precision, batch)
    attempt(f"{NAMES[0]} at 256, compiled", NAMES[0], best, 8, compiled=True)


def windows(stage: Stage, short_side: int) -> list[Video]:
    """Windows of one shape, of real video that is enlarged where it is smaller."""
    frames, count = (9, 2) if stage.quick else (49, 32)
    side = 48 if stage.quick else short_side
    found = stage.kit.windows("train", side, frames, 1)
    return [np.roll(found[0], shift, axis=2) for shift in range(count)]


def speed(
    stage: Stage,
    name: str,
    window: list[Video],
    precision: str,
    batch: int,
    *,
    compiled: bool = False,
) -> dict[str, Any]:
    batch = 1 if stage.quick else batch
    placement = DeviceConfig(stage.device, precision, batch, compiled)  # type: ignore[arg-type]
    seconds = 0.0 if stage.quick else 0.5
    asked = argparse.Namespace(
        tokenizer=name, device=stage.device, precision=precision, batch=batch, seconds=seconds
    )
    slow = naive(load(name, DeviceConfig(stage.device)), stage.device)
    if stage.on_gpu:
        torch.cuda.reset_peak_memory_stats()
    figures = in_memory(asked, load(name, placement), slow, window[: 4 * batch])
    if stage.on_gpu:
        figures["peak memory, GB"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    return figures


def written(stage: Stage, folder: Path, kind: str) -> dict[str, Any]:
    """Saves a network with random weights; raises `ImportError` without diffusers."""
    declare_missing_ops()
    importlib.import_module("diffusers")
    if not (folder / "config.json").exists():
        tiny = next(config for is_kind, config in CLASSES.values() if is_kind == kind)
        write(folder, kind, tiny if stage.quick else {})
    return {"MB": round(sum(file.stat().st_size for file in folder.iterdir()) / 1e6)}


def agreement(stage: Stage, name: str, window: list[Video]) -> dict[str, Any]:
    """Shares of equal codes: with other windows in the batch, in bf16, and on the CPU."""
    batch = 2 if stage.quick else 4
    one, several = window[:1], window[: batch + 1]
    at = DeviceConfig(stage.device, "fp32", batch)
    codes = {
        "alone": load(name, at).encode(one),
        "among others": load(name, at).encode(several)[:1],
        "cpu": load(name, DeviceConfig("cpu")).encode(one),
    }
    if stage.on_gpu:
        codes["bf16"] = load(name, DeviceConfig(stage.device, "bf16", batch)).encode(one)
    alone = codes.pop("alone")[0]
    found: dict[str, Any] = {}
    for other, [tokens] in codes.items():
        error = np.abs(alone.latents.astype(np.float32) - tokens.latents.astype(np.float32)).max()
        found[f"{other}: equal codes"] = round(float((alone.codes == tokens.codes).mean()), 5)
        found[f"{other}: largest difference of a latent"] = round(float(error), 5)
    return found
