"""What runs on a GPU computes what the CPU computes. Skipped without one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from curation.dedup.pairs import concat_sorted, exact_pairs, torch_search, with_similarity
from tests.tokenizer.models.causal.conftest import SMALL
from tokenizer.models.inference import DeviceConfig
from tokenizer.models.interface import Video
from tokenizer.models.load import load
from tokenizer.train import loop
from tokenizer.train.crops import CropSet, CropsMetadata
from tokenizer.train.loop import Recipe, Trainer, export_tokenizer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
NAMES = ("causal-4x8x8", "causal-8x8x8", "causal-8x16x16")


def windows(count: int) -> list[Video]:
    """Smooth moving pictures, [17, 64, 96, 3]."""
    t, y, x = np.meshgrid(np.arange(17), np.arange(64), np.arange(96), indexing="ij")
    phases = [
        np.stack([np.sin((x + k * t + 7 * c) / 9) + np.cos(y / (5 + k)) for c in range(3)], -1)
        for k in range(count)
    ]
    return [((phase + 2) / 4 * 255).astype(np.uint8) for phase in phases]


@pytest.mark.parametrize("name", NAMES)
def test_tokens_are_those_of_the_cpu(name):
    [on_gpu] = load(name, DeviceConfig("cuda")).encode(windows(1))
    [on_cpu] = load(name).encode(windows(1))
    difference = on_gpu.latents.astype(np.float32) - on_cpu.latents.astype(np.float32)
    # Convolutions may compute in TF32, with ten bits after the point.
    assert np.sqrt(np.square(difference).mean()) < 0.01 * on_cpu.latents.astype(np.float32).std()
    assert (on_gpu.codes == on_cpu.codes).mean() > 0.97


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("compiled", [False, True])
def test_tokens_are_independent_of_the_windows_beside_them(precision, compiled):
    tokenizer = load("causal-8x8x8", DeviceConfig("cuda", precision, 4, compiled))
    alone = [tokenizer.encode([window])[0] for window in windows(5)]
    for together, single in zip(tokenizer.encode(windows(5)), alone, strict=True):
        assert np.array_equal(together.codes, single.codes)
        assert np.array_equal(together.latents, single.latents)


def test_a_video_decodes_as_on_the_cpu():
    [tokens] = load("causal-8x8x8").encode(windows(1))
    for method, stored in (("decode_codes", tokens.codes), ("decode_latents", tokens.latents)):
        [on_gpu] = getattr(load("causal-8x8x8", DeviceConfig("cuda")), method)([stored])
        [on_cpu] = getattr(load("causal-8x8x8"), method)([stored])
        assert np.abs(on_gpu.astype(int) - on_cpu).mean() < 0.5


def test_similar_pairs_are_those_of_the_cpu():
    random = np.random.default_rng(0)
    vectors = random.standard_normal((9000, 64), dtype=np.float32)
    vectors[:900] = vectors[900:1800] + 0.3 * random.standard_normal((900, 64), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    new = np.ones(len(vectors), bool)
    on_gpu, on_cpu = (
        concat_sorted(with_similarity(exact_pairs(vectors, 0.8, new, block), vectors, 0.8))
        for block in (torch_search(vectors, 0.8, "cuda"), None)
    )
    assert len(on_cpu) > 500
    for name in ("first", "second", "similarity"):
        assert np.array_equal(getattr(on_gpu, name), getattr(on_cpu, name))


@pytest.mark.parametrize("compiled", [False, True])
def test_training_improves_resumes_and_exports(compiled, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(loop, "CONFIGS", SMALL)
    stored = torch.from_numpy(np.stack([window[:, :48, :48] for window in windows(8)]))
    crops = CropSet(stored[:6], stored[6:], CropsMetadata(17, 48, {}, {"CC0": 6}))
    recipe = Recipe(
        steps=60, batch=4, side=32, every=30, warm_up=5, average=0.9, device="cuda",
        compile=compiled,
    )  # fmt: skip
    rows: list[dict[str, float]] = []
    Trainer(crops, tmp_path, recipe).run(rows.append, 30)
    trainer = Trainer(crops, tmp_path, recipe)
    trainer.run(rows.append)
    assert [row["step"] for row in rows] == [0, 30, 60]
    assert rows[-1]["psnr_latents_db"] > rows[0]["psnr_latents_db"]
    assert export_tokenizer(trainer, tmp_path / "w.safetensors").card["steps"] == "60"
