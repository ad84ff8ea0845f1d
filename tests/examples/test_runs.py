"""Both examples as people start them: alone, killed and started again, and as two processes."""

import re
import shutil
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import av
import pytest

from tests.examples.conftest import CLIPS, SMALL, ended, logged, started

pytestmark = pytest.mark.train

TRAINED = 4 * (CLIPS - 1)
"""Samples to train on."""


@dataclass(frozen=True)
class Ran:
    """A run to the end."""

    script: str
    run: Path
    said: str


@pytest.fixture(scope="module", params=["train_ar.py", "train_flow.py"])
def ran(request, tokens, tmp_path_factory) -> Ran:
    run = tmp_path_factory.mktemp("run")
    script = f"examples/{request.param}"
    return Ran(script, run, ended(started(script, tokens, run, *SMALL)))


def test_the_loss_falls_and_the_margin_is_told(ran):
    losses = [row["loss"] for row in logged(ran.run)]
    assert len(losses) == 12
    assert sum(losses[8:]) < 0.9 * sum(losses[:4])
    line = next(line for line in ran.said.splitlines() if line.startswith("held out:"))
    model, baseline, margin = map(float, re.findall(r"-?\d+\.\d+", line))
    assert baseline - model == pytest.approx(margin, abs=0.011)
    assert 0 < model < 2 * baseline


def test_every_sample_is_taken_once_an_epoch(ran):
    taken = [name for row in logged(ran.run) for name in row["samples"]]
    epochs = [taken[at : at + TRAINED] for at in range(0, len(taken), TRAINED)]
    assert [len(set(epoch)) for epoch in epochs] == [TRAINED] * 3
    assert set(epochs[0]) == set(epochs[1]) == set(epochs[2])


def test_the_dream_goes_on_from_a_held_out_clip(ran):
    with av.open(str(ran.run / "dream.mp4")) as film:
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(pictures) == 1 + 8 * 2
    assert pictures[0].shape == (64, 96, 3)
    assert f"dream: {ran.run / 'dream.mp4'}, 17 frames" in ran.said


@pytest.fixture(scope="module")
def killed(ran, tokens, tmp_path_factory) -> Path:
    """The same run, killed after its first checkpoint."""
    run = tmp_path_factory.mktemp("killed")
    process = started(ran.script, tokens, run, *SMALL)
    assert process.stdout is not None
    assert any(line.startswith("step      4") for line in process.stdout)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (run / "dream.mp4").exists()
    return run


def held_out(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("held out:")]


def test_a_killed_run_goes_on_to_the_same_losses(ran, killed, tokens, tmp_path):
    run = shutil.copytree(killed, tmp_path / "run")
    said = ended(started(ran.script, tokens, run, *SMALL))
    assert re.search(r"resumes from step (4|8) of", said)
    assert logged(run) == logged(ran.run)
    assert held_out(said) == held_out(ran.said)


def test_two_processes_go_on_with_the_same_steps(ran, killed, tokens, tmp_path):
    """The last batch of an epoch has one sample, so that one of them has none."""
    run = shutil.copytree(killed, tmp_path / "run")
    said = ended(started(ran.script, tokens, run, *SMALL, processes=2))
    for alone, both in zip(logged(ran.run), logged(run), strict=True):
        assert Counter(both["samples"]) == Counter(alone["samples"])
        assert both["loss"] == pytest.approx(alone["loss"], rel=1e-3)
    assert len(held_out(said)) == said.count("dream:") == 1
