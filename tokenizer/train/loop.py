"""The training loop: crops in, weights out, on one GPU or a CPU.

Each step draws crops, decodes them from both heads through one decoder, and takes the mean absolute
error for the first part of the run and the mean squared error for the rest, which is what PSNR
measures. AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019) with a short
warm-up and a cosine to zero; the result is an exponential moving average (EMA) of the weights.
Rounding passes gradients straight through (Bengio, Léonard and Courville, 2013); digits beyond ±1
are pulled back by a small penalty. Convolutions compute in bf16 where configured, rounding always
in fp32.

A checkpoint holds weights, EMA, optimiser and random state, and is replaced atomically: a run that
was stopped resumes to the same result. Only torch, numpy and safetensors are needed.

    python -m tokenizer.train crops.safetensors run --rate 8x8x8 --steps 20000 --device cuda
"""

from __future__ import annotations

import csv
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from curation.errors import ReelmillError
from tokenizer.models.causal.network import (
    CHANNELS,
    CONFIGS,
    Block,
    Network,
    NetworkConfig,
    round_digits,
)
from tokenizer.models.causal.tokenizer import CausalTokenizer
from tokenizer.models.inference import DeviceConfig
from tokenizer.train.augment import Augment
from tokenizer.train.crops import CropSet
from tokenizer.train.pca_init import init_from_pca
from tokenizer.train.weights_init import copy_weights

LOG = "log.csv"
CHECKPOINT = "checkpoint.safetensors"
_VALIDATION = 64
"""Crops to measure on."""
_STATISTICS_CROPS = 256
"""Crops for the statistics of latents."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings of a training run."""

    rate: str = "8x8x8"
    """Compression, time × height × width; one of `CONFIGS`."""
    steps: int = 20_000
    """Optimiser steps in all."""
    batch: int = 4
    """Crops of full length and side per step; more of shorter ones."""
    side: int = 64
    """Height and width of cuts from the stored crops."""
    learning_rate: float = 1e-3
    """Maximum, after `warm_up` steps."""
    linear_pace: float = 0.02
    """The linear path's learning rate as a share of the network's; it is initialised by PCA."""
    warm_up: int = 200
    """Steps over which the learning rate rises."""
    weight_decay: float = 1e-4
    """AdamW's."""
    absolute: float = 0.1
    """Share of the steps that minimise the absolute error; the rest minimise the squared."""
    average: float = 0.999
    """Decay of the moving average of the weights."""
    seed: int = 0
    """Of the weights and of every draw."""
    precision: str = "bf16"
    """fp32, or bf16 for the convolutions and products."""
    device: str = "cpu"
    """cpu or cuda."""
    every: int = 500
    """Steps between measurements on the validation crops, each followed by a checkpoint."""
    start: str = ""
    """Weights of a trained network, of this rate or another, to start from; else from PCA alone."""
    compile: bool = False
    """Whether `torch.compile` fuses each block: pays on a GPU after some hundred steps."""


class TrainingError(ReelmillError, ValueError):
    """A recipe that cannot be trained, or that a folder's checkpoint does not have."""


class Trainer:
    """One run in one folder; in a folder with a checkpoint it resumes from there.

    Raises `TrainingError` for an unknown rate or a checkpoint of another recipe, and as
    `CausalTokenizer.load` does for weights to start from.
    """

    def __init__(self, crops: CropSet, folder: Path, recipe: Recipe) -> None:
        if recipe.rate not in CONFIGS:
            raise TrainingError(f"rate {recipe.rate!r} is none of {', '.join(CONFIGS)}")
        self.recipe, self.folder = recipe, folder
        self.config: NetworkConfig = CONFIGS[recipe.rate]
        self.step, self.seconds = 0, 0.0
        folder.mkdir(parents=True, exist_ok=True)
        self.metadata = crops.metadata
        self.train = crops.train.to(recipe.device)
        self.validation = crops.validation[:_VALIDATION].to(recipe.device)
        torch.manual_seed(recipe.seed)
        self.network = Network(self.config)
        self.random = torch.Generator().manual_seed(recipe.seed)
        self.augment = Augment(self.config.rate, recipe.side, recipe.batch)
        resumed = (folder / CHECKPOINT).exists()
        if not resumed:
            self._initialise()
        self.network.to(recipe.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if recipe.compile:
            # Of all sizes at once: lengths and batches share what is compiled. What remains apart,
            # widths, single frames and measuring, exceeds torch's limit in a run of three rates.
            torch._dynamo.config.recompile_limit = 64
            for block in self.network.modules():
                if isinstance(block, Block):
                    block.compile(dynamic=True)
        self.ema = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        parameters = list(self.network.named_parameters())
        groups = [
            {"params": [p for n, p in parameters if (".linear." in n) == linear], "scale": scale}
            for linear, scale in ((True, recipe.linear_pace), (False, 1.0))
        ]
        self.optimiser = torch.optim.AdamW(
            groups, recipe.learning_rate, betas=(0.9, 0.95), weight_decay=recipe.weight_decay
        )
        if resumed:
            self._resume()

    def _initialise(self) -> None:
        """From trained weights of this rate, or from PCA and what another rate's weights share."""
        start = self.recipe.start
        trained = CausalTokenizer.load(start) if start else None
        if trained is None or trained.rate != self.config.rate:
            init_from_pca(self.network, self.train, self.recipe.seed)
        if trained is not None:
            copy_weights(trained.codec.network, self.network)

    def run(self, on_row: Callable[[dict[str, float]], None], last_step: int | None = None) -> None:
        """Trains to the end, or to step `last_step`; `on_row` receives each row of the log."""
        last_step = min(self.recipe.steps, last_step or self.recipe.steps)
        if self.step == 0:
            self._record(on_row, self._validate())
        start = time.monotonic()
        total_loss: Tensor | float = 0.0
        start_step = self.step
        while self.step < last_step:
            total_loss += self._train_step()
            if self.step % self.recipe.every == 0 or self.step == last_step:
                self.seconds += time.monotonic() - start
                loss = float(total_loss) / (self.step - start_step)
                self._record(on_row, {"loss": loss, **self._validate()})
                self._save()
                start = time.monotonic()
                total_loss, start_step = 0.0, self.step

    def _train_step(self) -> Tensor:
        recipe = self.recipe
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.learning_rate * group["scale"] * self._schedule()
        video = self.augment(self.train, self.random)
        loss = self._loss(video)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        weight = 1 - min(recipe.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.ema[name].lerp_(value, weight)
        return loss.detach()

    def _schedule(self) -> float:
        warm_up = min(1.0, (self.step + 1) / self.recipe.warm_up)
        return warm_up * 0.5 * (1 + math.cos(math.pi * self.step / self.recipe.steps))

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            torch.device(self.recipe.device).type,
            dtype=torch.bfloat16,
            enabled=self.recipe.precision == "bf16",
        )

    def _loss(self, video: Tensor) -> Tensor:
        with self._autocast():
            heads = self.network.encoder(video, True, None).float()
            latents, digits = heads[..., :CHANNELS], heads[..., CHANNELS:]
            rounded = digits + (round_digits(digits) - digits).detach()
            decoder = self.network.decoder
            from_latents = decoder(latents, "latents", True, None).float()
            from_codes = decoder(rounded, "codes", True, None).float()
        out_of_range = (digits.abs() - 1).clamp(min=0).square().mean()
        if self.step < self.recipe.absolute * self.recipe.steps:
            error = (from_latents - video).abs().mean() + (from_codes - video).abs().mean()
        else:
            # On the scale of the absolute error, so that the learning rate suits both.
            error = 4 * (
                (from_latents - video).square().mean() + (from_codes - video).square().mean()
            )
        loss: Tensor = error + out_of_range
        return loss

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """PSNR in dB of the EMA weights over the validation crops, from the pooled error."""
        weights = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.network.load_state_dict(self.ema)
        squares, count = torch.zeros(2, dtype=torch.float64), 0
        frames = 1 + (self.validation.shape[1] - 1) // self.config.time * self.config.time
        side = self.validation.shape[2] // self.config.space * self.config.space
        for chunk in torch.split(self.validation[:, :frames, :side, :side], self.recipe.batch):
            video = chunk.float() / 127.5 - 1
            with self._autocast():
                heads = self.network.encoder(video, True, None).float()
                codes = round_digits(heads[..., CHANNELS:])
                decoded = (
                    self.network.decoder(codes, "codes", True, None).float(),
                    self.network.decoder(heads[..., :CHANNELS], "latents", True, None).float(),
                )
            for index, output in enumerate(decoded):
                error = (output.clamp(-1, 1) - video).double()
                squares[index] += error.square().sum().cpu()
            count += video.numel()
        self.network.load_state_dict(weights)
        codes_db, latents_db = (10 * torch.log10(4 * count / squares)).tolist()
        return {"psnr_codes_db": codes_db, "psnr_latents_db": latents_db}

    def _record(self, say: Callable[[dict[str, float]], None], values: dict[str, float]) -> None:
        row = {"step": self.step, "seconds": round(self.seconds, 1), "loss": math.nan, **values}
        path = self.folder / LOG
        is_new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if is_new:
                writer.writeheader()
            writer.writerow({k: f"{v:.5g}" for k, v in row.items()})
        say(row)

    def _save(self) -> None:
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.ema.items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{k}": v for k, v in moments.items()}
        tensors["random"] = self.random.get_state()
        metadata = {
            "recipe": json.dumps(asdict(self.recipe)),
            "step": str(self.step),
            "seconds": str(self.seconds),
        }
        tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        temporary = self.folder / f"{CHECKPOINT}.new"
        save_file(tensors, str(temporary), metadata=metadata)
        os.replace(temporary, self.folder / CHECKPOINT)

    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        with safe_open(str(path), framework="pt", device=self.recipe.device) as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        stored = Recipe(**json.loads(metadata["recipe"]))
        if stored != self.recipe:
            changed = [k for k, v in asdict(stored).items() if v != getattr(self.recipe, k)]
            raise TrainingError(
                f"{path} was trained with another {', '.join(changed)}:"
                " give the same, or a new folder"
            )
        self.step, self.seconds = int(metadata["step"]), float(metadata["seconds"])
        self.network.load_state_dict(_with_prefix("network.", tensors))
        self.ema = _with_prefix("average.", tensors)
        self.random.set_state(tensors["random"].cpu())
        state = self.optimiser.state_dict()
        for name, value in _with_prefix("optimiser.", tensors).items():
            index, key = name.split(".")
            state["state"].setdefault(int(index), {})[key] = value
        self.optimiser.load_state_dict(state)


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def export_tokenizer(trainer: Trainer, path: Path) -> CausalTokenizer:
    """Writes the EMA weights of a run as a tokenizer, with the statistics of its latents."""
    network = Network(trainer.config)
    network.load_state_dict(trainer.ema)
    tokenizer = CausalTokenizer.of(network, (), (), DeviceConfig())
    time = trainer.config.time
    frames = 1 + (trainer.train.shape[1] - 1) // time * time
    side = trainer.train.shape[2] // trainer.config.space * trainer.config.space
    stride = max(1, len(trainer.train) // _STATISTICS_CROPS)
    windows = trainer.train[::stride, :frames, :side, :side].cpu().numpy()
    latents = [tokens.latents for tokens in tokenizer.encode(list(windows))]
    stacked = torch.stack([torch.from_numpy(x) for x in latents if x is not None])
    values = stacked.double().movedim(1, -1).reshape(-1, CHANNELS)
    mean, std = (tuple(stat.tolist()) for stat in (values.mean(0), values.std(0)))
    recipe = replace(trainer.recipe, start=Path(trainer.recipe.start).name)
    card = {
        "recipe": json.dumps(asdict(recipe)),
        "steps": str(trainer.step),
        "seconds": f"{trainer.seconds:.0f}",
        "licences": json.dumps(dict(trainer.metadata.licences)),
    }
    tokenizer = CausalTokenizer.of(network, mean, std, DeviceConfig(), card)
    tokenizer.save(path)
    return tokenizer
