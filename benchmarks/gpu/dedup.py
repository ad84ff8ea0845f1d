"""Stage: the exact search for similar pairs on the device: a million vectors of 512 numbers."""

from __future__ import annotations

import time

import numpy as np
import torch

from benchmarks.gpu.stage import Stage
from curation.dedup.pairs import Pairs, concat_sorted, exact_pairs, torch_search, with_similarity

FLOOR = 0.8


def measure(stage: Stage) -> None:
    count, dim, sample = (6000, 64, 500) if stage.quick else (1_000_000, 512, 2000)
    vectors = made(count, dim, stage.device)
    some = np.zeros(count, bool)
    some[np.random.default_rng(1).permutation(count)[:sample]] = True

    def search(new: np.ndarray, on_device: bool) -> tuple[Pairs, float]:
        start = time.perf_counter()
        block = torch_search(vectors, FLOOR, stage.device) if on_device else None
        pairs = concat_sorted(
            with_similarity(exact_pairs(vectors, FLOOR, new, block), vectors, FLOOR)
        )
        return pairs, time.perf_counter() - start

    expected, cpu_s = search(some, False)
    pairs, device_s = search(some, True)
    equal = all(
        np.array_equal(getattr(pairs, name), getattr(expected, name))
        for name in ("first", "second", "similarity")
    )
    comparisons = f"{sample:,} against {count:,}"
    stage.report(
        pairs=len(pairs),
        **{
            "same pairs and similarities as on the CPU": equal,
            f"{comparisons}, CPU, s": round(cpu_s, 2),
            f"{comparisons}, device, s": round(device_s, 2),
        },
    )
    everything, all_s = search(np.ones(count, bool), True)
    stage.report(**{f"all pairs of {count:,}, s": round(all_s, 1), "all pairs": len(everything)})


def made(count: int, dim: int, device: str) -> np.ndarray:
    """Random unit vectors, a tenth of them copies of others with some noise."""
    random = torch.Generator(device).manual_seed(0)
    vectors = torch.randn(count, dim, generator=random, device=device)
    copies = count // 10
    noise = torch.randn(copies, dim, generator=random, device=device)
    vectors[:copies] = vectors[copies : 2 * copies] + 0.3 * noise
    return np.ascontiguousarray(torch.nn.functional.normalize(vectors).cpu().numpy())
