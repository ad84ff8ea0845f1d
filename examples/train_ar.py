"""A small world model on discrete tokens: a causal transformer over the codes of short windows.

A code has six digits (finite scalar quantisation), and a softmax over the levels of a digit does
where one over 64,000 codes would be too much for two cores. The transformer reads a window of
latent frames in raster order: each place gets the codes one frame before, above and left of it, and
attends to all places so far; the digits of a code then follow one after the other, each given those
before it. A continuation slides the window over the picture, place by place (as in Esser et al.,
"Taming Transformers", 2021).

The loss is in bits a code. What it has to beat: each digit by its frequency in the training tokens.
"""

from __future__ import annotations

import argparse
import itertools
import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from samples import Batch, conditions, crops, draws
from trainer import Trainer, opened, parser

EXAMPLES = """\
examples:
  python examples/train_ar.py demo/out runs/ar
  python examples/train_ar.py demo/out runs/steered --actions motion brightness
  torchrun --nproc-per-node 2 examples/train_ar.py demo/out runs/two
"""

_SPOILT = 0.1
"""Share of the codes in a training window that the model is shown wrongly."""


class Digits:
    """Codes taken apart, the lowest digit first; levels are numbered on from digit to digit."""

    def __init__(self, levels: tuple[int, ...]) -> None:
        self.levels = torch.tensor(levels)
        self.count = sum(levels)
        owner = torch.arange(len(levels)).repeat_interleave(self.levels)
        self.foreign = torch.arange(len(levels))[:, None] != owner
        """For each digit, which levels are another's: bool [digits, count]."""
        self._places = self.levels.cumprod(0) // self.levels
        self._offsets = self.levels.cumsum(0) - self.levels

    def of(self, codes: Tensor) -> Tensor:
        """[...] to [..., digits]."""
        return codes[..., None] // self._places % self.levels + self._offsets

    def codes(self, digits: Tensor) -> Tensor:
        """[..., digits] to [...]."""
        return ((digits - self._offsets) * self._places).sum(-1)


class CodeModel(nn.Module):
    """The bits that codes take, and codes drawn from what it knows."""

    mask: Tensor

    def __init__(
        self, levels: tuple[int, ...], options: argparse.Namespace, width: int = 128
    ) -> None:
        super().__init__()
        self.options = options
        self.digits = Digits(levels)
        frames, side, count = options.context + 1, options.side, self.digits.count
        mask = nn.Transformer.generate_square_subsequent_mask(frames * side * side)
        self.register_buffer("mask", mask, persistent=False)
        self.neighbours = nn.ModuleList(nn.Embedding(count + 1, width) for _ in range(3))
        shapes = ((frames, 1, 1, width), (side, 1, width), (side, width))
        self.places = nn.ParameterList(0.02 * torch.randn(shape) for shape in shapes)
        self.known = nn.Linear(1 + len(options.actions), width)
        layer = nn.TransformerEncoderLayer(
            width, width // 32, 4 * width, 0.0, F.gelu, batch_first=True, norm_first=True
        )
        self.trunk = nn.TransformerEncoder(layer, 4, nn.LayerNorm(width), False)
        self.before = nn.Embedding(count, width)
        self.turns = nn.Parameter(torch.zeros(len(levels), width))
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, count))

    def window(self, batch: Batch, random: list[torch.Generator]) -> Tensor:
        """Digits of a crop of each sample, [n, frames, side, side, digits]."""
        return self.digits.of(crops(batch["codes"], self.options.side, random))

    def forward(self, batch: Batch) -> Tensor:
        """Bits a code, [n]."""
        random = draws(batch, self.options.seed)
        digits = self.window(batch, random)
        seen = _spoilt(digits, random) if self.training else digits
        return self.bits(digits, seen, conditions(batch, self.options.actions)).mean(1)

    def bits(self, digits: Tensor, seen: Tensor, known: Tensor) -> Tensor:
        """Bits that each code of a window takes, [n, places], after `seen` codes before it."""
        hidden = self._hidden(seen, known)
        digits = digits.flatten(1, 3)
        before = F.pad(self.before(digits), (0, 0, 1, 0))[..., :-1, :].cumsum(-2)
        logits = self.head(hidden[..., None, :] + before + self.turns)
        logits = logits.masked_fill(self.digits.foreign, -math.inf)
        nats = F.cross_entropy(logits.movedim(-1, 1), digits, reduction="none")
        return nats.sum(-1) / math.log(2)

    def _hidden(self, digits: Tensor, known: Tensor, places: int | None = None) -> Tensor:
        """What is known at each place of a window before its code, [n, places, width]."""
        found = sum(self.places) + self.known(known)[:, None, None, None]
        none = self.digits.count
        for axis, embedding in enumerate(self.neighbours, 1):
            neighbour = digits.roll(1, axis).index_fill(axis, torch.tensor(0), none)
            found = found + embedding(neighbour).sum(-2)
        found = found.flatten(1, 3)[:, :places]
        size = found.shape[1]
        hidden: Tensor = self.trunk(found, self.mask[:size, :size], is_causal=True)
        return hidden

    @torch.no_grad()
    def dream(self, codes: Tensor, known: Tensor, more: int) -> Tensor:
        """`more` latent frames after those of `codes` [T, H, W]; all of them together."""
        random = torch.Generator().manual_seed(self.options.seed)
        side, context = self.options.side, self.options.context
        digits = F.pad(self.digits.of(codes), (0, 0, 0, 0, 0, 0, 0, more))
        frames, height, width, _ = digits.shape
        for t in range(len(codes), frames):
            known[:, 0] = t == context
            for y, x in itertools.product(range(height), range(width)):
                top = min(max(y - side // 2, 0), height - side)
                left = min(max(x - side // 2, 0), width - side)
                window = digits[None, t - context : t + 1, top : top + side, left : left + side]
                place = (context * side + y - top) * side + x - left
                hidden = self._hidden(window, known, place + 1)[0, place]
                digits[t, y, x] = self._draw(hidden, random)
        return self.digits.codes(digits)

    def _draw(self, hidden: Tensor, random: torch.Generator) -> Tensor:
        """The digits of one code."""
        drawn: list[Tensor] = []
        for turn, foreign in zip(self.turns, self.digits.foreign, strict=True):
            logits = self.head(hidden + turn).masked_fill(foreign, -math.inf)
            chances = (logits / self.options.temperature).softmax(-1)
            drawn.append(torch.multinomial(chances, 1, generator=random))
            hidden = hidden + self.before(drawn[-1])[0]
        return torch.cat(drawn)


def _spoilt(digits: Tensor, random: list[torch.Generator]) -> Tensor:
    """The window with some codes taken from elsewhere in it.

    A model that has seen none but true neighbours trusts its own slips, and a dream comes apart.
    """
    spoilt = digits.clone()
    for sample, generator in zip(spoilt.flatten(1, 3), random, strict=True):
        places = len(sample)
        wrong = torch.rand(places, generator=generator) < _SPOILT
        sample[wrong] = sample[torch.randint(places, (places,), generator=generator)][wrong]
    return spoilt


class Unigram:
    """The bits that codes take if each digit is drawn by how often it comes in training."""

    def __init__(self, model: CodeModel, trainer: Trainer) -> None:
        self.window, self.seed = model.window, trainer.options.seed
        counts = torch.zeros(model.digits.count)
        for batch in trainer.once():
            counts += model.digits.of(batch["codes"]).flatten().bincount(minlength=len(counts))
        each = torch.split(trainer.sum(counts) + 1, model.digits.levels.tolist())
        self.bits = torch.cat([-(count / count.sum()).log2() for count in each])

    def __call__(self, batch: Batch) -> Tensor:
        """Bits a code, [n]."""
        window = self.window(batch, draws(batch, self.seed))
        return self.bits[window].sum(-1).flatten(1).mean(1)


def main() -> None:
    """Trains, measures, and dreams."""
    form = parser(__doc__.partition("\n")[0], EXAMPLES)
    form.add_argument(
        "--temperature", type=float, default=0.8, help="of what is dreamed (default: %(default)s)"
    )
    with opened(form, "codes") as trainer:
        model = CodeModel(trainer.tokenizer.levels, trainer.options)
        trainer.fit(model)
        bits, unigram = trainer.means(model, Unigram(model, trainer))
        trainer.say(
            f"held out: {bits:.2f} bits a code, {unigram:.2f} by the frequency of each digit:"
            f" {unigram - bits:.2f} bits ({1 - bits / unigram:.0%}) fewer"
        )
        if trainer.leads:
            known = conditions(trainer.prompt, trainer.options.actions)
            codes = model.dream(trainer.prompt["codes"][0], known, trainer.options.dream)
            trainer.film(trainer.tokenizer.decode_codes([codes.numpy().astype("uint16")])[0])


if __name__ == "__main__":
    main()
