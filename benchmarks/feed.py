"""How fast the training feed is, beside other loaders on the same rows, batch and shuffle.

    python benchmarks/feed.py [--environments DIR] [--only NAME …] [--json FILE]
    python benchmarks/feed.py --s3

The first makes random windows of codes, writes them in the form of each loader, and reads two
shuffled epochs in one process with each: into int64 batches, the first to warm up and to check that
every row is there once, the second timed. Other loaders are installed into environments of their
own below DIR. Rounds over all loaders are repeated; printed are medians, those of the
ratios to the feed within a round, and `np.memmap` read row by row, as training scripts without a
loader do.

The second reads from a local S3 server that answers every request 20 ms late, for a consumer that
takes 10,000 samples a second, and prints the share of its time spent waiting.

Run on an otherwise idle machine; trust the ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import multiprocessing
import os
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from curation import records
from curation.dataset import Dataset
from curation.records import TokenizedClip
from tokenizer.feed import ReadOptions, TokenFeed, TokenTable
from tokenizer.tokenize.shards import TokenWindow, write_shard

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "benchmarks" / "peers" / "feed.py"
TABLE, DONE = "tokens/random", "tokenized/random"
LATE_S = 0.02
WANTED_PER_S = 10_000


def store(place: str, codes: np.ndarray[Any, Any], rows_a_file: int) -> None:
    """Writes windows of codes, uint16 [n, T, H, W], as the tokenize step does."""
    dataset = Dataset(place)
    shards = []
    for start in range(0, len(codes), rows_a_file):
        some = codes[start : start + rows_a_file]
        rows = [window(start + at, row) for at, row in enumerate(some)]
        facts = {"rate": "8x8x8", "levels": "[8, 8, 8, 5, 5, 5]"}
        shards.append(write_shard(rows, dataset.catalog.storage, TABLE, facts))
    with dataset.catalog.writer("tokenize", {TABLE: TokenWindow, DONE: TokenizedClip}) as writer:
        writer.add_files(TABLE, shards)
        clips = [TokenizedClip(clip_id(at), "s", "tokenized") for at in range(len(codes))]
        writer.append(DONE, records.to_table(TokenizedClip, clips))


def clip_id(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15 % 2**128:032x}"


def window(number: int, codes: np.ndarray[Any, Any]) -> TokenWindow:
    """A row of these codes, without latents."""
    frames, height, width = codes.shape
    said = {
        "clip_id": clip_id(number), "causal_first": True, "fps": 24.0, "codes": codes.tobytes(),
        "latent_frames": frames, "latent_height": height, "latent_width": width, "channels": 0,
    }  # fmt: skip
    hints = typing.get_type_hints(TokenWindow)
    row: dict[str, Any] = {}
    for field in dataclasses.fields(TokenWindow):
        hint = hints[field.name]
        empty = None if isinstance(hint, types.UnionType) else hint()
        row[field.name] = said.get(field.name, empty)
    return TokenWindow(**row)


def measure_ours(folder: Path, batch: int) -> None:
    """Reads two epochs as `peers/feed.py` has others do, and prints the same."""
    codes = np.load(folder / "codes.npy", mmap_mode="r")
    torch.set_num_threads(1)
    tokens = TokenTable(folder / "ours", read_options=ReadOptions(threads=2))

    def epoch(number: int) -> Iterator[torch.Tensor]:
        for found in TokenFeed(tokens, batch_size=batch, seed=number):
            yield found["codes"]

    measured = runpy.run_path(str(PEERS))["measured"]
    total = int(codes.sum(dtype=np.int64))
    found = measured(epoch, codes.shape[1:], len(codes), total)
    print("RESULT " + json.dumps(found))


def environment(folder: Path, packages: list[str]) -> Path:
    """The interpreter of an environment with torch and these packages, made if need be."""
    if not packages:
        return Path(sys.executable)
    place = folder / packages[0].split("=")[0]
    ready = place / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        command = [place / "bin" / "python", "-m", "pip", "install", "--quiet"]
        torch_version = torch.__version__.split("+")[0]
        subprocess.run([*command, f"torch=={torch_version}", *packages], check=True)
        ready.touch()
    return place / "bin" / "python"


def run(command: list[str]) -> dict[str, Any]:
    """What a reader printed."""
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=settings, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            found: dict[str, Any] = json.loads(line[7:])
            return found
    raise SystemExit(f"{' '.join(command)}\n{done.stdout[-500:]}\n{done.stderr[-2000:]}")


def compare(arguments: argparse.Namespace, folder: Path) -> dict[str, dict[str, Any]]:
    """Medians over some rounds of all readers in turn."""
    shape = tuple(map(int, arguments.shape.split("x")))
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 64000, (arguments.samples, *shape), dtype=np.uint16)
    np.save(folder / "codes.npy", codes)
    store(str(folder / "ours"), codes, rows_a_file=8192)
    packages = runpy.run_path(str(PEERS))["PACKAGES"]
    names = ["ours", *(n for n in packages if not arguments.only or n in arguments.only)]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    commands = {"ours": [sys.executable, __file__, "--read", str(folder)]}
    for name in names[1:]:
        interpreter = environment(arguments.environments, packages[name])
        commands[name] = [str(interpreter), str(PEERS), name, str(folder), str(arguments.batch)]
    for turn in range(arguments.rounds):
        for name, command in commands.items():
            found[name].append(run(command))
            speed = found[name][-1]["samples_per_s"]
            print(f"round {turn + 1}  {name:<16}{speed:>12,.0f} samples/s", file=sys.stderr)
    return {
        name: {
            "samples_per_s": statistics.median(r["samples_per_s"] for r in results),
            "of_ours": statistics.median(
                r["samples_per_s"] / ours["samples_per_s"]
                for r, ours in zip(results, found["ours"], strict=True)
            ),
            "cpu_us_per_sample": statistics.median(r["cpu_us_per_sample"] for r in results),
            "every_row_once": all(r["whole"] for r in results),
        }
        for name, results in found.items()
    }


def show(found: dict[str, dict[str, Any]]) -> None:
    print(f"{'':<16}{'samples/s':>12}{'of the feed':>13}{'CPU µs':>9}   every row once")
    for name, one in sorted(found.items(), key=lambda item: -item[1]["samples_per_s"]):
        speed, cpu = one["samples_per_s"], one["cpu_us_per_sample"]
        once = "yes" if one["every_row_once"] else "no"
        print(f"{name:<16}{speed:>12,.0f}{one['of_ours']:>13.2f}{cpu:>9.1f}   {once}")


def serve(address: Any) -> None:
    """An S3 server that answers late."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    app = DomainDispatcherApplication(create_backend_app)

    def late(environ: Any, start_response: Any) -> Any:
        time.sleep(LATE_S)
        return app(environ, start_response)

    server = make_server("127.0.0.1", 0, late, threaded=True)
    address.send(f"http://127.0.0.1:{server.port}")
    server.serve_forever()


@contextlib.contextmanager
def late_storage() -> Iterator[str]:
    """An `s3://` address of an empty bucket on such a server."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    os.environ |= {
        "AWS_ENDPOINT_URL": here.recv(), "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    import boto3

    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="late")
    try:
        yield "s3://late/out"
    finally:
        server.terminate()


def stalls(feed: TokenFeed, samples: int) -> dict[str, float]:
    """What a consumer waits that is busy with each sample for its time."""
    asked = time.perf_counter()
    batches = iter(feed)
    batch = next(batches)
    start = time.perf_counter()
    taken, waited = 0, 0.0
    while taken < samples and batch is not None:
        taken += len(batch["codes"])
        busy_until = start + waited + taken / WANTED_PER_S
        time.sleep(max(0.0, busy_until - time.perf_counter()))
        idle = time.perf_counter()
        batch = next(batches, None)
        waited += time.perf_counter() - idle
    seconds = time.perf_counter() - start
    return {
        "first_batch_s": start - asked,
        "samples_per_s": taken / seconds,
        "stalled": waited / seconds,
    }


def from_storage(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Stalls without a cache, while one fills, and with a full one."""
    shape = tuple(map(int, arguments.shape.split("x")))
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 64000, (arguments.samples, *shape), dtype=np.uint16)
    found = {}
    with late_storage() as place, tempfile.TemporaryDirectory(prefix="reelmill-") as cache:
        store(place, codes, rows_a_file=8192)
        for name, folder in (("no cache", None), ("cache fills", cache), ("cache full", cache)):
            start = time.perf_counter()
            tokens = TokenTable(place, read_options=ReadOptions(threads=16, cache_dir=folder))
            opened = time.perf_counter() - start
            feed = TokenFeed(tokens, batch_size=arguments.batch)
            found[name] = {"open_s": opened, **stalls(feed, arguments.samples)}
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", default="5x16x16", help="latent frames x height x width")
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--environments", type=Path, default=ROOT / ".peers")
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        measure_ours(given.read, given.batch)
        raise SystemExit
    if given.s3:
        results: Any = from_storage(given)
        print(f"{'':<14}{'open s':>8}{'first s':>9}{'samples/s':>11}{'stalled':>9}")
        for name, one in results.items():
            figures = f"{one['open_s']:>8.2f}{one['first_batch_s']:>9.2f}"
            print(f"{name:<14}{figures}{one['samples_per_s']:>11,.0f}{one['stalled']:>9.1%}")
    else:
        with tempfile.TemporaryDirectory(prefix="reelmill-") as scratch:
            results = compare(given, Path(scratch))
        show(results)
    if given.json:
        given.json.write_text(json.dumps(results, indent=1))
