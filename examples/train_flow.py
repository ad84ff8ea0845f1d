"""A small world model on continuous latents: flow matching for the next latent frame.

Along the straight path x_t = (1 - t) noise + t data from noise to data, the velocity is data -
noise; a network learns its mean given x_t, t and the latent frames before (Lipman et al., "Flow
Matching for Generative Modeling", 2023; Liu et al., "Rectified Flow", 2023). A dream follows that
velocity from fresh noise, frame after frame. The network is convolutional, so that it learns from
crops and dreams whole pictures.

Latents are normalised with the mean and deviation that the tokens store. The loss is the squared
error of the velocity, averaged over channels. What it has to beat: the mean velocity in training.
"""

from __future__ import annotations

import argparse
import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from samples import Batch, conditions, crops, draws
from trainer import Trainer, opened, parser

EXAMPLES = """\
examples:
  python examples/train_flow.py demo/out runs/flow
  python examples/train_flow.py demo/out runs/steered --actions motion brightness
  torchrun --nproc-per-node 2 examples/train_flow.py demo/out runs/two
"""

_WAVES = 16


class Residual(nn.Module):
    """Two convolutions, the first after a norm that time and conditions scale and shift."""

    def __init__(self, width: int, known: int) -> None:
        super().__init__()
        self.film = nn.Linear(known, 2 * width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, found: Tensor, known: Tensor) -> Tensor:
        """[n, width, H, W], and the same."""
        scale, shift = self.film(known)[..., None, None].chunk(2, 1)
        change = self.first(F.silu(_norm(found) * (1 + scale) + shift))
        changed: Tensor = found + self.second(F.silu(change))
        return changed


def _norm(found: Tensor) -> Tensor:
    """Root mean square norm of each place, so that the size of the picture is of no account."""
    return found * (found.square().mean(1, keepdim=True) + 1e-6).rsqrt()


class FlowModel(nn.Module):
    """The velocity of the last latent frame of a window, given those before it."""

    def __init__(self, channels: int, options: argparse.Namespace, width: int = 96) -> None:
        super().__init__()
        self.options = options
        known = 4 * width
        self.known = nn.Sequential(
            nn.Linear(2 * _WAVES + 1 + len(options.actions), known), nn.SiLU()
        )
        self.enter = nn.Conv2d(channels * (options.context + 1), width, 3, padding=1)
        self.blocks = nn.ModuleList(Residual(width, known) for _ in range(4))
        self.leave = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, batch: Batch) -> Tensor:
        """Mean squared error of the velocity, [n]."""
        context, data, noise, time = self.drawn(batch)
        along = time[:, None, None, None]
        path = (1 - along) * noise + along * data
        velocity = self.velocity(path, time, context, conditions(batch, self.options.actions))
        return (velocity - (data - noise)).square().flatten(1).mean(1)

    def drawn(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of each sample a crop, as context [n, C, frames, side, side] and data, noise and time."""
        random = draws(batch, self.options.seed)
        latents = crops(batch["latents"], self.options.side, random)
        context, data = latents[:, :, :-1], latents[:, :, -1]
        noise, times = torch.empty_like(data), torch.empty(len(data))
        for picture, time, generator in zip(noise, times, random, strict=True):
            picture.normal_(generator=generator)
            time.uniform_(generator=generator)
        return context, data, noise, times

    def velocity(self, path: Tensor, time: Tensor, context: Tensor, known: Tensor) -> Tensor:
        """The velocity [n, C, H, W] at places `path` on the way, for times [n] from 0 to 1."""
        angles = time[:, None] * math.pi * torch.arange(1, _WAVES + 1)
        told = self.known(torch.cat([angles.sin(), angles.cos(), known], 1))
        found = self.enter(torch.cat([context.flatten(1, 2), path], 1))
        for block in self.blocks:
            found = block(found, told)
        velocity: Tensor = self.leave(_norm(found))
        return velocity

    @torch.no_grad()
    def dream(self, latents: Tensor, known: Tensor, more: int) -> Tensor:
        """`more` latent frames after those of `latents` [1, C, T, H, W]; all of them together."""
        random = torch.Generator().manual_seed(self.options.seed)
        for _ in range(more):
            known[:, 0] = latents.shape[2] == self.options.context
            context = latents[:, :, -self.options.context :]
            path = torch.randn(context[:, :, 0].shape, generator=random)
            for step in range(self.options.euler):
                time = torch.full((1,), step / self.options.euler)
                path = path + self.velocity(path, time, context, known) / self.options.euler
            latents = torch.cat([latents, path[:, :, None]], 2)
        return latents


class MeanVelocity:
    """What predicting the mean velocity of the training tokens costs: noise has the mean 0."""

    def __init__(self, model: FlowModel, trainer: Trainer) -> None:
        self.drawn = model.drawn
        sums = torch.zeros(trainer.train.channels, dtype=torch.float64)
        count = torch.zeros(())
        for batch in trainer.once():
            data = batch["latents"][:, :, -1]
            sums += data.sum((0, 2, 3))
            count += data[:, 0].numel()
        self.mean: Tensor = (trainer.sum(sums) / trainer.sum(count)).float()[:, None, None]

    def __call__(self, batch: Batch) -> Tensor:
        """Mean squared error of the velocity, [n]."""
        _, data, noise, _ = self.drawn(batch)
        return (self.mean - (data - noise)).square().flatten(1).mean(1)


def main() -> None:
    """Trains, measures, and dreams."""
    form = parser(__doc__.partition("\n")[0], EXAMPLES)
    form.add_argument(
        "--euler", type=int, default=30, help="steps from noise to a frame (default: %(default)s)"
    )
    form.set_defaults(side=16, steps=1200)
    with opened(form, "latents") as trainer:
        model = FlowModel(trainer.train.channels, trainer.options)
        trainer.fit(model)
        error, mean = trainer.means(model, MeanVelocity(model, trainer))
        trainer.say(
            f"held out: squared error {error:.3f}, {mean:.3f} by the mean velocity:"
            f" {mean - error:.3f} ({1 - error / mean:.0%}) less"
        )
        if trainer.leads:
            known = conditions(trainer.prompt, trainer.options.actions)
            latents = model.dream(trainer.prompt["latents"], known, trainer.options.dream)[0]
            mean_of, deviation = (each[:, None, None, None] for each in trainer.train.statistics)
            whole = (latents * deviation + mean_of).numpy().astype("float16")
            trainer.film(trainer.tokenizer.decode_latents([whole])[0])


if __name__ == "__main__":
    main()
