"""The two models: what they see, and that their parts fit together."""

from argparse import Namespace

import pytest
import torch

from tests.examples.test_trainer import batch_of
from tokenizer.models import fsq
from train_ar import CodeModel, Digits
from train_flow import FlowModel

OPTIONS = Namespace(context=1, side=4, seed=0, actions=["motion"], temperature=0.8, euler=3)


@pytest.fixture(scope="module")
def codes() -> CodeModel:
    torch.manual_seed(0)
    return CodeModel(fsq.LEVELS, OPTIONS, width=32)


@pytest.fixture(scope="module")
def flow() -> FlowModel:
    torch.manual_seed(0)
    return FlowModel(3, OPTIONS, width=16)


def batch(samples: int = 2) -> dict:
    known = {name: value[:samples] for name, value in batch_of().items()}
    random = torch.Generator().manual_seed(0)
    tokens = torch.randint(fsq.SIZE, (samples, 2, 5, 6), generator=random)
    return {**known, "codes": tokens, "latents": torch.randn(samples, 3, 2, 5, 6, generator=random)}


def test_digits_are_those_of_the_codebook():
    every = torch.arange(fsq.SIZE)
    digits = Digits(fsq.LEVELS)
    apart = digits.of(every)
    assert torch.equal(digits.codes(apart), every)
    offsets = torch.tensor([0, 8, 16, 24, 29, 34])
    steps = torch.tensor(fsq.LEVELS) - 1
    vectors = ((apart - offsets) / steps * 2 - 1).numpy()
    assert (fsq.quantise(vectors) == every.numpy()).all()


def test_a_code_depends_on_earlier_codes_alone(codes):
    digits = codes.digits.of(batch()["codes"][:, :, :4, :4])
    known = torch.zeros(2, 2)
    before = codes.bits(digits, digits, known)
    other = digits.clone()
    other.flatten(1, 3)[:, 20:] = codes.digits.of(torch.tensor(777))
    after = codes.bits(other, other, known)
    assert torch.equal(before[:, :20], after[:, :20])
    assert not torch.isclose(before[:, 20:], after[:, 20:]).any()


def test_the_chances_of_all_codes_are_one(codes):
    """Two digits of two levels: the four codes of a place exhaust what can be there."""
    small = CodeModel((2, 2), OPTIONS, width=32)
    window = torch.zeros(4, 2, 4, 4, dtype=torch.int64)
    window[:, 1, 1, 1] = torch.arange(4)
    digits = small.digits.of(window)
    bits = small.bits(digits, digits, torch.zeros(4, 2))[:, 16 + 5]
    assert (-bits).exp2().sum().item() == pytest.approx(1, abs=1e-5)


def test_a_dream_keeps_what_it_goes_on_from(codes):
    prompt = batch()["codes"][0, :1]
    dreamed = codes.dream(prompt, torch.zeros(1, 2), 2)
    assert dreamed.shape == (3, 5, 6)
    assert torch.equal(dreamed[:1], prompt)
    assert int(dreamed.max()) < fsq.SIZE
    assert torch.equal(dreamed, codes.dream(prompt, torch.zeros(1, 2), 2))


def test_drawn_codes_are_as_likely_as_the_model_says():
    """At one place of a window, of four codes."""
    torch.manual_seed(1)
    model = CodeModel((2, 2), Namespace(**{**vars(OPTIONS), "temperature": 1.0}), width=32)
    window = torch.zeros(4, 2, 4, 4, dtype=torch.int64)
    window[:, 1, 0, 0] = torch.arange(4)
    digits = model.digits.of(window)
    likely = (-model.bits(digits, digits, torch.zeros(4, 2))[:, 16]).exp2()
    hidden = model._hidden(digits[:1], torch.zeros(1, 2), 17)[0, 16]
    random = torch.Generator().manual_seed(0)
    drawn = [int(model.digits.codes(model._draw(hidden, random))) for _ in range(2000)]
    shares = torch.bincount(torch.tensor(drawn), minlength=4) / 2000
    assert shares.tolist() == pytest.approx(likely.tolist(), abs=0.04)


def test_a_flow_dream_keeps_what_it_goes_on_from(flow):
    prompt = batch()["latents"][:1, :, :1]
    dreamed = flow.dream(prompt, torch.zeros(1, 2), 2)
    assert dreamed.shape == (1, 3, 3, 5, 6)
    assert torch.equal(dreamed[:, :, :1], prompt)


def test_the_loss_of_the_true_velocity_is_nothing(flow, monkeypatch):
    context, data, noise, time = flow.drawn(batch())
    assert context.shape == (2, 3, 1, 4, 4)
    assert bool(((time >= 0) & (time < 1)).all())
    monkeypatch.setattr(flow, "velocity", lambda *_: data - noise)
    assert flow(batch()).tolist() == [0, 0]


@pytest.mark.parametrize("name", ["codes", "flow"])
def test_a_process_without_samples_takes_part(name, request):
    model = request.getfixturevalue(name)
    losses = model(batch(0))
    assert losses.shape == (0,)
    losses.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())
    model.zero_grad()
