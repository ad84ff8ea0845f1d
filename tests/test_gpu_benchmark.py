"""The stages for a GPU, all of them, in tiny sizes on the CPU."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu.__main__ import LIMITS_S
from benchmarks.gpu.kit import Kit, KitClip
from curation.sample import write_numbered_video

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def kit(tmp_path_factory) -> Path:
    """Two clips to train on and one held out."""
    folder = tmp_path_factory.mktemp("kit")
    (folder / "clips").mkdir()
    clips = []
    for number, part in enumerate(("train", "train", "validation")):
        path = folder / f"clips/{number}.mp4"
        write_numbered_video(path, 24, size=(192, 128), first=24 * number)
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        clips.append(
            KitClip(f"clips/{number}.mp4", digest, len(data), 24, 192, 128, 24.0, str(number), part,
                    "CC0")
        )  # fmt: skip
    Kit(folder, clips).write()
    return folder


def run(kit: Path, results: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.gpu", str(kit), str(results), "--device", "cpu",
               "--quick", "--work", str(results / "work"), *options]  # fmt: skip
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_stage_runs_quickly_on_a_cpu_and_is_not_repeated(kit, tmp_path):
    done = run(kit, tmp_path / "results")
    log = (tmp_path / "results" / "log.txt").read_text()
    assert done.returncode == 0, done.stdout + log[-5000:]
    found = json.loads((tmp_path / "results" / "results.json").read_text())
    assert {name: stage["outcome"] for name, stage in found["stages"].items()} == dict.fromkeys(
        LIMITS_S, "done"
    )
    figures = {name: stage["figures"] for name, stage in found["stages"].items()}
    assert figures["train"]["8x16x16"]["steps"] == 3
    assert figures["train"]["8x16x16"]["PCA"].keys() == {"codes, dB", "latents, dB"}
    assert figures["tokens"]["agreement"]["among others: equal codes"] == 1
    assert figures["dedup"]["same pairs and similarities as on the CPU"] is True
    assert figures["dedup"]["all pairs"] >= 600
    assert figures["shots"]["fp32"]["largest difference of a probability from the CPU"] == 0
    assert figures["embed"]["fp32"]["least cosine to the CPU's"] > 0.9999
    assert figures["caption"]["batch 4"]["first caption as alone"] is True
    assert (tmp_path / "results" / "causal-8x16x16.safetensors").stat().st_size < 16 * 2**20
    assert "| train | 8x16x16: steps | 3 |" in (tmp_path / "results" / "table.md").read_text()
    again = run(kit, tmp_path / "results", "--stages", "train,dedup")
    assert again.stdout.startswith("train: done before\ndedup: done before\n")


def test_a_stage_that_fails_costs_only_itself(kit, tmp_path):
    damaged = tmp_path / "kit"
    damaged.mkdir()
    (damaged / "clips.json").write_text("[]")
    done = run(damaged, tmp_path / "results", "--stages", "train,dedup")
    assert done.returncode == 1
    found = json.loads((tmp_path / "results" / "results.json").read_text())["stages"]
    assert found["train"]["outcome"] == "failed (1)"
    assert found["dedup"]["outcome"] == "done"
    assert "the kit has no clip for train" in (tmp_path / "results" / "log.txt").read_text()
