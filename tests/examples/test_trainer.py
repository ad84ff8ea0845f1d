"""What a run refuses, and what becomes of each sample."""

import sys

import pytest
import torch

from samples import conditions, crops, draws, names
from tests.examples.conftest import SMALL
from trainer import Trainer, opened, parser


@pytest.fixture
def start(tokens, tmp_path, monkeypatch):
    """Opens a run from words of the command line."""

    def start(*words: object, head="codes") -> Trainer:
        arguments = ["train", tokens, tmp_path / "run", *SMALL, *words]
        monkeypatch.setattr(sys, "argv", [str(each) for each in arguments])
        return opened(parser("", ""), head)

    return start


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--side", 9), "--side 9: a picture has 8 latents a side"),
        (("--prompt", 1), "--prompt 1: there are 1 windows"),
        (("--actions", "uri"), "--actions uri: that is text, not a number"),
        (("--actions", "speed"), "clips have no column speed"),
        (("--held-out", "motion > 9"), "clips where motion > 9: tokens/pca-8x8x8-1 has no samples"),
        (("--held-out", "motions > 9"), "there is no column 'motions'; did you mean 'motion'"),
        (("--context", 6), "has no samples: of 5 rows"),
        (("--tokenizer", "pca-4x8x8"), "pca-4x8x8 did not make tokens/pca-8x8x8-1"),
    ],
)
def test_what_cannot_be_is_said(start, capsys, words, said):
    with pytest.raises(SystemExit) as ended:
        start(*words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.train
def test_a_checkpoint_of_other_options_is_refused(start, capsys):
    trainer = start("--steps", 1)
    trainer.fit(Constant())
    with pytest.raises(SystemExit):
        start("--steps", 1, "--seed", 1)
    assert "was trained with another seed: give the same, or another f" in capsys.readouterr().err
    assert start("--steps", 1, "--dream", 7).options.dream == 7


class Constant(torch.nn.Module):
    """One number as the loss of each sample."""

    def __init__(self) -> None:
        super().__init__()
        self.number = torch.nn.Parameter(torch.ones(()))

    def forward(self, batch):
        return self.number.expand(len(batch["codes"]))


def batch_of(epoch=0):
    return {
        "clip_id": ["a", "b"],
        "window": torch.tensor([0, 3]),
        "first_latent": torch.tensor([0, 2]),
        "epoch": torch.tensor([epoch, epoch]),
        "is_causal_first": torch.tensor([True, False]),
        "motion": torch.tensor([0.5, torch.nan], dtype=torch.float64),
    }


def test_a_sample_has_its_own_randomness_in_each_epoch():
    assert names(batch_of()) == ["a/0+0", "b/3+2"]
    drawn = [[int(torch.randint(10**9, (), generator=g)) for g in draws(batch_of(epoch), seed)]
             for epoch, seed in ((0, 0), (0, 0), (1, 0), (0, 1))]  # fmt: skip
    assert drawn[0] == drawn[1]
    assert len({number for each in drawn[1:] for number in each}) == 6


def test_a_crop_is_a_square_of_its_sample():
    pictures = torch.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7)
    squares = crops(pictures, 4, draws(batch_of(), 0))
    assert squares.shape == (2, 3, 4, 4)
    for picture, square in zip(pictures, squares, strict=True):
        top, left = divmod(int(square[0, 0, 0] - picture[0, 0, 0]), 7)
        assert torch.equal(square, picture[:, top : top + 4, left : left + 4])
    assert crops(pictures[:0], 4, []).shape == (0, 3, 4, 4)


def test_a_clip_without_a_value_is_told_nothing():
    assert conditions(batch_of(), ["motion"]).tolist() == [[1.0, 0.5], [0.0, 0.0]]
