"""What both examples share: tokens in, steps on any number of processes, checkpoints, a film.

A model here is a module that takes a batch and returns the loss of each sample, [n]. What a step
does follows from its samples alone: the feed gives them in one order, and everything random about
a sample is drawn from its name. So a run that was killed, or resumes with another number of
processes, takes the steps that it would have taken anyway.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
import torch.distributed as group
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import default_collate

from curation.media.video_writer import write_video
from samples import Batch, names
from tokenizer.feed import ClipQuery, SequenceWindow, TokenDataset, TokenFeed, TokenTable
from tokenizer.feed.state import State
from tokenizer.models.interface import Head, Video
from tokenizer.models.load import load
from tokenizer.tokenize.windows import pad_video

_WARM_UP = 0.05
_MEASURED = 100
"""Batches that a measurement takes at most."""
_OPTIONS = (
    ("--held-out", "clip_id < '4'", "held-out clips, to measure and to continue, as SQL"),
    ("--steps", 400, "optimiser steps"),
    ("--batch", 16, "samples to a step, on all processes together"),
    ("--learning-rate", 2e-3, "at its highest"),
    ("--context", 2, "latent frames before the one to predict"),
    ("--side", 8, "latents a side of the crops to train on"),
    ("--seed", 0, "of weights and draws"),
    ("--every", 50, "steps from checkpoint to checkpoint"),
    ("--prompt", 0, "which held-out window to continue"),
    ("--dream", 2, "latent frames to dream"),
)
_FREE = {"out", "run", "every", "tokenizer", "prompt", "dream", "temperature", "euler"}
"""Options that change no step, so that a run may resume with others."""


def parser(description: str, epilog: str) -> argparse.ArgumentParser:
    """The options of both examples."""
    form = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser(description=description, epilog=epilog, formatter_class=form)
    add = made.add_argument
    add("out", help="output of `reelmill curate`: a folder or s3:// address")
    add("run", type=Path, help="folder for the checkpoint, the log and the film")
    for name, default, words in _OPTIONS:
        add(name, type=type(default), default=default, help=f"{words} (%(default)s)")
    add("--tokens", help="table of tokens, if not the newest of the newest renders")
    add("--selection", help="whose kept clips, if not the newest selection's; or all")
    add("--tokenizer", help="name or file of what made them, if it is not a shipped one")
    add("--actions", nargs="+", default=[], help="numeric columns of each clip to condition on")
    return made


class Trainer:
    """One run in one folder; started again in the same folder, it resumes from its checkpoint."""

    def __init__(self, options: argparse.Namespace, head: Head) -> None:
        """Joins the other processes of `torchrun`, if any, and opens the tokens.

        Raises `ValueError` for tokens, or a checkpoint, that do not fit the options.
        """
        self.options = options
        self.head: Head = head
        self.checkpoint = self._file("checkpoint.safetensors")
        self._before = self._facts()
        cut = SequenceWindow(options.context + 1, stride=1)
        columns = (head, "clip_id", "window")
        self.train = self._tokens(f"not ({options.held_out})", columns, cut)
        self.held_out = self._tokens(options.held_out, columns, cut)
        shapes = (*self.train.shapes, *self.held_out.shapes)
        smallest = min(min(height, width) for _, height, width in shapes)
        if options.side > smallest:
            raise ValueError(f"--side {options.side}: a picture has {smallest} latents a side")
        self.prompt = self._prompt()
        """A batch of one held-out window of `context` latent frames, and what decoding it needs."""
        self.tokenizer = load(options.tokenizer or self.prompt["tokenizer"][0])
        if self.tokenizer.digest != self.prompt["tokenizer_digest"][0]:
            raise ValueError(f"--tokenizer: {self.tokenizer.name} did not make {self.train.name}")
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            group.init_process_group("gloo")
        self.world = group.get_world_size() if group.is_initialized() else 1
        self.leads = not group.is_initialized() or group.get_rank() == 0
        """Whether this is the process that writes and speaks."""
        torch.manual_seed(options.seed)
        counts = (self.train.index.samples, self.held_out.index.samples)
        self.say("{}: {} samples to train on, {} held out".format(self.train.name, *counts))

    def _tokens(self, where: str, columns: tuple[str, ...], cut: SequenceWindow) -> TokenTable:
        choice = ClipQuery(self.options.selection, where, clip_columns=tuple(self.options.actions))
        versions = json.loads(self._before["feed"])["versions"] if self._before else None
        try:
            return TokenTable(self.options.out, self.options.tokens, columns=columns, window=cut,
                          clips=choice, versions=versions)  # fmt: skip
        except ValueError as error:
            raise ValueError(f"clips where {where}: {error}") from error

    def _prompt(self) -> Batch:
        columns = (self.head, "tokenizer", "tokenizer_digest", "fps", "pixel_height", "pixel_width")
        cut = SequenceWindow(self.options.context, causal_only=True)
        windows = TokenDataset(self._tokens(self.options.held_out, columns, cut))
        if not 0 <= self.options.prompt < len(windows):
            raise ValueError(f"--prompt {self.options.prompt}: there are {len(windows)} windows")
        prompt: Batch = default_collate([windows[self.options.prompt]])
        for name in self.options.actions:
            if not isinstance(prompt[name], Tensor):
                raise ValueError(f"--actions {name}: that is text, not a number")
        return prompt

    def fit(self, model: nn.Module) -> None:
        """Trains to the last step, from the checkpoint if there is one."""
        options = self.options
        feed = TokenFeed(self.train, batch_size=options.batch, seed=options.seed, epochs=None)
        optimiser = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.01)
        done = self._resume(model, optimiser, feed)
        parallel = model if self.world == 1 else DistributedDataParallel(model)
        began = time.monotonic()
        for step, batch in zip(range(done + 1, options.steps + 1), feed, strict=False):
            samples = self._gathered(names(batch))
            for settings in optimiser.param_groups:
                settings["lr"] = options.learning_rate * _schedule(step / options.steps)
            loss = self._step(parallel, optimiser, batch, len(samples))
            self._log({"step": step, "loss": loss, "samples": samples})
            if step % options.every == 0 or step == options.steps:
                self._save(step, model, optimiser, feed.state(batch))
                pace = (step - done) / (time.monotonic() - began)
                self.say(f"step {step:>6}  loss {loss:.4f}  {pace:.2f} steps/s")
        model.eval()

    def _step(
        self, model: nn.Module, optimiser: torch.optim.Optimizer, batch: Batch, samples: int
    ) -> float:
        """Learns from this process's part of a batch of `samples`; the mean loss of all of them."""
        loss = model(batch).sum() / samples
        # Gradients are averaged over the processes, whose parts may differ in size: so every sample
        # weighs the same.
        (loss * self.world).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        return self.sum(loss.detach()).item()

    def once(self) -> Iterator[Batch]:
        """This process's part of one pass over the tokens to train on."""
        return islice(TokenFeed(self.train, batch_size=self.options.batch), _MEASURED)

    @torch.no_grad()
    def means(self, *measures: Callable[[Batch], Tensor]) -> list[float]:
        """The mean over the held-out samples of measures that give one number a sample."""
        sums = torch.zeros(1 + len(measures), dtype=torch.float64)
        for batch in islice(TokenFeed(self.held_out, batch_size=self.options.batch), _MEASURED):
            found = [measure(batch).double() for measure in measures]
            sums += torch.stack([torch.ones_like(found[0]).sum(), *(each.sum() for each in found)])
        count, *totals = self.sum(sums).tolist()
        return [total / count for total in totals]

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.world > 1:
            group.all_reduce(values)
        return values

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the other processes, whose threads must end before the interpreter does."""
        if group.is_initialized():
            group.destroy_process_group()

    def say(self, words: str) -> None:
        """Prints, once however many processes there are."""
        if self.leads:
            print(words, flush=True)

    def film(self, video: Video) -> None:
        """Writes the decoded dream, uint8 [frames, height, width, 3], without its padding."""
        height, width = int(self.prompt["pixel_height"]), int(self.prompt["pixel_width"])
        whole = pad_video(video[:, :height, :width], 0, height % 2, width % 2)
        path = self._file("dream.mp4")
        write_video(path, whole, float(self.prompt["fps"]))
        self.say(f"dream: {path}, {len(whole)} frames")

    def _file(self, name: str) -> Path:
        return Path(self.options.run) / name

    def _gathered(self, samples: list[str]) -> list[str]:
        if self.world == 1:
            return samples
        found: list[list[str]] = [[]] * self.world
        group.all_gather_object(found, samples)
        return list(chain.from_iterable(found))

    def _log(self, row: dict[str, Any]) -> None:
        if self.leads:
            with self._file("log.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")

    def _facts(self) -> dict[str, str]:
        """What the checkpoint says of itself; nothing if there is none."""
        if not self.checkpoint.exists():
            return {}
        with safe_open(str(self.checkpoint), framework="pt") as file:
            facts: dict[str, str] = file.metadata()
        before = json.loads(facts["options"])
        changed = [name for name, value in self._binding().items() if before.get(name) != value]
        if changed:
            raise ValueError(
                f"{self.checkpoint} was trained with another {', '.join(changed)}:"
                " give the same, or another folder"
            )
        return facts

    def _binding(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self.options).items() if name not in _FREE}

    def _save(
        self, step: int, model: nn.Module, optimiser: torch.optim.Optimizer, state: State
    ) -> None:
        if not self.leads:
            return
        tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
        for place, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{place}.{name}": value for name, value in moments.items()}
        facts = {"step": str(step), "feed": json.dumps(state),
                 "options": json.dumps(self._binding())}  # fmt: skip
        fresh = self.checkpoint.with_suffix(".new")
        save_file({name: value.contiguous() for name, value in tensors.items()}, fresh, facts)
        os.replace(fresh, self.checkpoint)

    def _resume(self, model: nn.Module, optimiser: torch.optim.Optimizer, feed: TokenFeed) -> int:
        """Puts all three where the checkpoint left them, and returns its step; 0 without one."""
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        if not self._before:
            self._keep_log(0)
            return 0
        with safe_open(str(self.checkpoint), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model.load_state_dict(_under("model.", tensors))
        state = optimiser.state_dict()
        for name, value in _under("optimiser.", tensors).items():
            place, moment = name.split(".")
            state["state"].setdefault(int(place), {})[moment] = value
        optimiser.load_state_dict(state)
        feed.load_state(json.loads(self._before["feed"]))
        step = int(self._before["step"])
        self._keep_log(step)
        self.say(f"resumes from step {step} of {self.checkpoint}")
        return step

    def _keep_log(self, steps: int) -> None:
        """Drops what was logged after the checkpoint: those steps are taken again."""
        if self.leads:
            log = self._file("log.jsonl")
            rows = log.read_text().splitlines(keepends=True) if log.exists() else []
            log.write_text("".join(rows[:steps]))


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _schedule(done: float) -> float:
    """A short rise and a cosine to zero, for `done` from 0 to 1."""
    return min(1.0, done / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * done))


def opened(form: argparse.ArgumentParser, head: Head) -> Trainer:
    """The run that the command line asks for; ends the program with what is wrong with it."""
    try:
        return Trainer(form.parse_args(), head)
    except (ValueError, FileNotFoundError) as error:
        form.error(str(error))
