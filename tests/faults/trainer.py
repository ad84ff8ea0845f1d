"""A training on some ranks that may be killed: `trainer.py OUTPUT FOLDER WORLD RANK STEP`.

Each rank reads its part of every batch. The model is a vector of integers, so that its sum over the
ranks is exact whatever their number; with a checkpoint every few steps goes the state of the feed.
The rank RANK kills itself with SIGKILL when it has read its part of step STEP (-1: of none), and
the others are killed like it. Each rank logs what it trained on.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed

from tokenizer.feed import Consumer, Shuffle, TokenFeed, TokenTable

BATCH, EPOCHS, SAVED_EVERY = 12, 2, 5
CHECKPOINT = "checkpoint.json"


def make_feed(output: str, consumer: Consumer) -> TokenFeed:
    """The feed of every run."""
    table = TokenTable(output, columns=["codes", "clip_id", "window"])
    return TokenFeed(
        table, batch_size=BATCH, epochs=EPOCHS, seed=3, shuffle=Shuffle(4), consumer=consumer
    )


def samples(batch: Any) -> list[list[Any]]:
    """Epoch, position, clip, window and digest of the codes of each sample."""
    return [
        [int(epoch), int(position), clip, int(window),
         hashlib.sha256(codes.numpy().tobytes()).hexdigest()]
        for epoch, position, clip, window, codes in zip(
            batch["epoch"], batch["position"], batch["clip_id"], batch["window"], batch["codes"],
            strict=True,
        )
    ]  # fmt: skip


def train(output: str, folder: Path, rank: int, world: int, last_step: int) -> None:
    """One rank, from the checkpoint to the end or to its death."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous-{os.getppid()}", rank=rank,
        world_size=world,
    )  # fmt: skip
    feed = make_feed(output, Consumer(rank, world))
    step, model = 0, torch.zeros(8, dtype=torch.int64)
    if (folder / CHECKPOINT).exists():
        saved = json.loads((folder / CHECKPOINT).read_text())
        step, model = saved["step"], torch.tensor(saved["model"])
        feed.load_state(saved["feed"])
    with open(folder / f"trained-{rank}", "a", buffering=1) as log:
        for batch in feed:
            log.write(json.dumps({"step": step, "world": world, "samples": samples(batch)}) + "\n")
            if step == last_step:
                os.kill(os.getpid(), signal.SIGKILL)
            gradient = torch.zeros_like(model)
            for codes in batch["codes"]:
                gradient += codes.reshape(-1)[:8] * (1 + step)
            torch.distributed.all_reduce(gradient)
            model, step = model * 31 % 1_000_003 + gradient, step + 1
            if rank == 0 and step % SAVED_EVERY == 0:
                save(folder, step, model, feed.state(batch))
    if rank == 0:
        save(folder, step, model, None)
    torch.distributed.destroy_process_group()


def save(folder: Path, step: int, model: torch.Tensor, state: Any) -> None:
    """Replaces the checkpoint atomically."""
    partial = folder / f".{CHECKPOINT}"
    partial.write_text(json.dumps({"step": step, "model": model.tolist(), "feed": state}))
    os.replace(partial, folder / CHECKPOINT)


def main(output: str, folder: str, world: int, deadly_rank: int, last_step: int) -> int:
    """Forks the ranks; when one is killed, kills the others."""
    pids = []
    for rank in range(world):
        if (pid := os.fork()) == 0:
            train(output, Path(folder), rank, world, last_step if rank == deadly_rank else -1)
            os._exit(0)
        pids.append(pid)
    code = 0
    while pids:
        pid, status = os.wait()
        pids.remove(pid)
        if status and not code:
            code = 1
            for other in pids:
                os.kill(other, signal.SIGKILL)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
