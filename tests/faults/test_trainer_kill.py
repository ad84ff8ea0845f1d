"""A training killed mid-epoch and resumed on 1, 2 and 3 ranks ends as an undisturbed one."""

import itertools
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.trainer import BATCH, CHECKPOINT, EPOCHS, SAVED_EVERY
from tests.outputs import ROOT, environment
from tests.tokenizer.feed.tables import add_simple_shards

pytestmark = pytest.mark.faults
CLIPS = 125
WINDOWS = 2 * CLIPS
STEPS = EPOCHS * -(-WINDOWS // BATCH)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("tokens")
    add_simple_shards(place, clips=CLIPS)
    return place


def train(tokens: Path, folder: Path, world: int, rank: int = -1, step: int = -1) -> int:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.faults.trainer", tokens, folder, world, rank, step]
    done = subprocess.run(
        [*map(str, command)], env=environment(), cwd=ROOT, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == (step >= 0), done.stderr
    return json.loads((folder / CHECKPOINT).read_text())["step"]


def steps(folder: Path, world: int, start: int, end: int) -> list[list]:
    """What the ranks of a run trained on together, by step and position."""
    parts: dict[int, list] = {step: [] for step in range(start, end)}
    for rank in range(world):
        for line in (folder / f"trained-{rank}").read_text().splitlines():
            entry = json.loads(line)
            if entry["world"] == world and entry["step"] in parts:
                parts[entry["step"]] += entry["samples"]
    return [sorted(parts[step]) for step in range(start, end)]


@pytest.fixture(scope="module")
def undisturbed(tokens, tmp_path_factory) -> tuple[list[list], list[int]]:
    """Every step of a training that nothing disturbs, and its model."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert train(tokens, folder, world=1) == STEPS
    return steps(folder, 1, 0, STEPS), json.loads((folder / CHECKPOINT).read_text())["model"]


def test_the_undisturbed_training_sees_each_window_once_an_epoch(undisturbed):
    samples = [*itertools.chain.from_iterable(undisturbed[0])]
    windows = [(epoch, clip, window) for epoch, _, clip, window, _ in samples]
    assert len(set(windows)) == len(windows) == EPOCHS * WINDOWS
    assert [sample[:2] for sample in samples] == [
        [epoch, position] for epoch in range(EPOCHS) for position in range(WINDOWS)
    ]


def test_a_killed_training_resumes_on_other_ranks(
    fault_seed, tokens, undisturbed, tmp_path, record_fault
):
    moment = random.Random(f"trainer {fault_seed}")
    deaths = sorted(moment.sample(range(SAVED_EVERY, STEPS), 2))
    resumed = [0]
    for world, death in zip((1, 2), deaths, strict=True):
        resumed.append(train(tokens, tmp_path, world, moment.randrange(world), death))
        assert death - SAVED_EVERY <= resumed[-1] <= death
    assert train(tokens, tmp_path, world=3) == STEPS
    stretches = zip((1, 2, 3), itertools.pairwise([*resumed, STEPS]), strict=True)
    continued = [step for world, span in stretches for step in steps(tmp_path, world, *span)]
    assert continued == undisturbed[0], f"killed at steps {deaths}"
    assert json.loads((tmp_path / CHECKPOINT).read_text())["model"] == undisturbed[1]
    record_fault("trainer killed mid-epoch", faults=len(deaths))
