"""What a tokenizer costs, beside the device's own speed and the same network run naively.

    python benchmarks/tokens.py [PLACE] [--tokenizer NAME] [--device cuda] [--json FILE] ...

PLACE is an output folder with rendered clips; without it clips are made. Prints, all from this one
run:

- frames/s of encoding and of decoding from each head, for windows in memory;
- the share of the device's matrix-product rate that this is: floating-point operations of the
  network's convolutions and products, counted by torch, per second, over what one large product of
  the same type reaches here;
- frames/s from video file to tokens as the tokenize stage works, with readers ahead of the network;
  the time that one reader alone would take to decode the video, as a ratio to that; and the share
  of it that is spent waiting for decoded video;
- the gain over the same network run naively: one window at a time, fp32, not compiled, pixels sent
  as float32 in NCDHW, nothing read ahead.

Run on an otherwise idle machine; trust the ratios. PCA has no network: it has frames/s alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from curation.dataset import Dataset
from curation.media.sandbox import Limits
from curation.render.rendered_clip import RenderedClip
from curation.sample import write_numbered_video
from curation.storage import file_sha256
from tokenizer.evaluate.clip_sampling import rendered_clips, sample_evenly
from tokenizer.models.causal.tokenizer import CausalTokenizer
from tokenizer.models.external import ExternalTokenizer
from tokenizer.models.inference import DeviceConfig
from tokenizer.models.interface import Tokenizer, Video
from tokenizer.models.load import load, shipped
from tokenizer.tokenize.clip_windows import ClipWindow, read_windows
from tokenizer.tokenize.encode import WindowEncoder
from tokenizer.tokenize.prefetch import ItemSource, prefetch
from tokenizer.tokenize.windows import fit_size, split_windows

SECONDS = 3.0
"""At least so long is each thing measured by default, after one turn to warm up."""
Slow = Callable[[Video], object]
MADE, FRAMES, SIZE = 4, 98, (640, 360)
"""Files that are made and used again: of two whole windows, so that all windows have one shape."""


def clips_of(place: str | None, folder: str, count: int) -> list[RenderedClip]:
    if place is not None:
        return sample_evenly(rendered_clips(Dataset(place)), count)
    paths = [f"{folder}/{number}.mp4" for number in range(MADE)]
    for number, path in enumerate(paths):
        write_numbered_video(Path(path), FRAMES, size=SIZE, first=number * FRAMES)
    made = [(str(n), paths[n % MADE]) for n in range(count)]
    return [
        RenderedClip(
            name, name, path, FRAMES, *SIZE, 24.0, 0, 0.0,
            sha256=file_sha256(path), size_bytes=os.path.getsize(path),
        )
        for name, path in made
    ]  # fmt: skip


def sources_of(
    clips: Sequence[RenderedClip], tokenizer: Tokenizer, short_side: int, max_frames: int
) -> list[ItemSource[ClipWindow]]:
    def source(clip: RenderedClip) -> ItemSource[ClipWindow]:
        windows = split_windows(clip.frames, tokenizer.rate.time, max_frames)
        picture = fit_size(clip.width, clip.height, short_side, tokenizer.rate)
        return lambda: read_windows(clip, windows, picture, Limits())

    return [source(clip) for clip in clips]


def seconds_each(
    works: dict[str, Callable[[], object]], least: float = SECONDS
) -> dict[str, float]:
    """Median seconds of one turn of each; they take turns, so that all meet the same weather."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    while any(sum(turns) < least or len(turns) < 3 for turns in taken.values()):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(turns) for name, turns in taken.items()}


def matrix_product(device: str, precision: str) -> tuple[Callable[[], object], float]:
    """One large product, and its floating-point operations."""
    size = 8192 if device.startswith("cuda") else 2048
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    # Convolutions may use TF32 by default, products may not: compare like with like.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    return lambda: (left @ right).sum().item(), 2.0 * size**3


def naive(tokenizer: Tokenizer, device: str) -> Slow | None:
    """Encodes one window as a first script would; None without a network."""

    def sent(video: Video) -> Tensor:
        pixels = video.transpose(3, 0, 1, 2)[None].astype(np.float32) / 127.5 - 1
        return torch.from_numpy(pixels).to(device)

    if isinstance(tokenizer, CausalTokenizer):
        encoder = tokenizer.codec.network.encoder.to(memory_format=torch.contiguous_format)
        encode: Callable[[Tensor], Tensor] = lambda x: encoder(x.movedim(1, -1), True, None)  # noqa: E731
    elif isinstance(tokenizer, ExternalTokenizer):
        encode = tokenizer.encode_pixels
    else:
        return None

    @torch.inference_mode()
    def run(video: Video) -> object:
        return encode(sent(video)).cpu()

    return run


def coding(
    tokenizer: Tokenizer, windows: list[Video]
) -> dict[str, Callable[[Tokenizer, int], object]]:
    """Encoding, and decoding from each head, by any tokenizer of the first n windows."""
    tokens = tokenizer.encode(windows)
    works: dict[str, Callable[[Tokenizer, int], object]] = {
        "encode": lambda t, n: t.encode(windows[:n])
    }
    if tokenizer.levels:
        codes = [window.codes for window in tokens if window.codes is not None]
        works["decode codes"] = lambda t, n: t.decode_codes(codes[:n])
    if tokenizer.channels:
        latents = [window.latents for window in tokens if window.latents is not None]
        works["decode latents"] = lambda t, n: t.decode_latents(latents[:n])
    return works


def in_memory(
    asked: argparse.Namespace, tokenizer: Tokenizer, slow: Slow | None, windows: list[Video]
) -> dict[str, Any]:
    """Encoding and decoding of windows of one shape, beside a matrix product and `slow`."""
    plain = load(asked.tokenizer, DeviceConfig(asked.device, asked.precision, asked.batch))
    works = coding(tokenizer, windows)
    turns: dict[str, Callable[[], object]] = {
        name: lambda work=work: work(tokenizer, len(windows)) for name, work in works.items()
    }
    if slow is not None:
        turns["matrix product"], product = matrix_product(asked.device, asked.precision)
        turns["naive"] = lambda: slow(windows[0])
    seconds = seconds_each(turns, asked.seconds)
    frames = len(windows) * len(windows[0])
    pixels = windows[0][..., 0].size
    found: dict[str, Any] = {}
    for name, work in works.items():
        found[f"{name}, frames/s"] = round(frames / seconds[name], 1)
        if slow is not None:
            with FlopCounterMode(display=False) as counter:
                work(plain, asked.batch)
            flop = counter.get_total_flops() / asked.batch
            share = flop * len(windows) / seconds[name] / (product / seconds["matrix product"])
            found[f"{name}, kFLOP/pixel"] = round(flop / pixels / 1e3, 2)
            found[f"{name}, share of rate"] = round(share, 3)
    if slow is not None:
        found["matrix product, TFLOP/s"] = round(product / seconds["matrix product"] / 1e12, 3)
        found["encode naively, frames/s"] = round(len(windows[0]) / seconds["naive"], 1)
        found["gain"] = round(seconds["naive"] * len(windows) / seconds["encode"], 2)
    return found


def as_a_stage(
    tokenizer: Tokenizer, sources: list[ItemSource[ClipWindow]], batch: int, readers: int
) -> tuple[float, float]:
    """Seconds from files to rows of tokens, and those spent waiting for video."""
    encoder = WindowEncoder(tokenizer, batch, quality="none")
    start = last = time.perf_counter()
    waited = 0.0
    with contextlib.closing(prefetch(sources, readers)) as read:
        for found in read:
            for piece in found:
                waited += time.perf_counter() - last
                encoder.add(piece)
                last = time.perf_counter()
    encoder.finish()
    if encoder.errors:
        raise SystemExit(f"clips failed: {encoder.errors}")
    return time.perf_counter() - start, waited


def one_by_one(sources: list[ItemSource[ClipWindow]], work: Callable[[Video], object]) -> float:
    """Seconds from files through the work, window by window."""
    start = time.perf_counter()
    for source in sources:
        for piece in source():
            work(piece.pixels)
    return time.perf_counter() - start


def from_files(
    asked: argparse.Namespace,
    tokenizer: Tokenizer,
    slow: Slow | None,
    sources: list[ItemSource[ClipWindow]],
) -> dict[str, Any]:
    """From video files to tokens, as the stage works and naively."""
    frames = 0

    def count(video: Video) -> None:
        nonlocal frames
        frames += len(video)

    reading = one_by_one(sources, count)
    as_a_stage(tokenizer, sources, asked.batch, asked.readers)
    wall, waited = as_a_stage(tokenizer, sources, asked.batch, asked.readers)
    found = {
        "frames/s": round(frames / wall, 1),
        "video decoding alone, frames/s": round(frames / reading, 1),
        "decoding alone, ratio to that": round(reading / wall, 3),
        "share waiting for video": round(waited / wall, 3),
    }
    if slow is not None:
        found["gain"] = round(one_by_one(sources, slow) / wall, 2)
    return found


def measure(asked: argparse.Namespace, clips: list[RenderedClip]) -> dict[str, Any]:
    placement = DeviceConfig(asked.device, asked.precision, asked.batch, asked.compile)
    placement.check()
    tokenizer = load(asked.tokenizer, placement)
    slow = naive(load(asked.tokenizer, DeviceConfig(asked.device)), asked.device)
    sources = sources_of(clips, tokenizer, asked.short_side, asked.max_frames)
    windows = windows_of_one_shape(sources, 4 * asked.batch)
    on_cuda = asked.device.startswith("cuda")
    return {
        "tokenizer": tokenizer.name,
        "device": torch.cuda.get_device_name(asked.device) if on_cuda else "CPU",
        "computed in": asked.precision if slow else "fp64 on the CPU",
        "batch, compiled": f"{asked.batch}, {asked.compile}",
        "threads, readers": f"{torch.get_num_threads()}, {asked.readers}",
        "window": " × ".join(map(str, windows[0].shape[:3])),
        "clips": len(clips),
        "in memory": in_memory(asked, tokenizer, slow, windows),
        "from file to tokens": from_files(asked, tokenizer, slow, sources),
    }


def windows_of_one_shape(sources: list[ItemSource[ClipWindow]], count: int) -> list[Video]:
    """The first whole window's like, repeated if there are too few."""
    windows: list[Video] = []
    for source in sources:
        for piece in source():
            if not windows or piece.pixels.shape == windows[0].shape:
                windows.append(piece.pixels)
            if len(windows) == count:
                return windows
    return [windows[place % len(windows)] for place in range(count)]


def show(figures: dict[str, Any]) -> None:
    for name, value in figures.items():
        if isinstance(value, dict):
            print(name)
            for key, figure in value.items():
                print(f"    {key:<32}{figure:>12,}")
        else:
            print(f"{name:<28}{value:>20}")


def chosen() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    first = next((name for name in shipped() if name.startswith("causal")), "pca-8x8x8")
    parser.add_argument("place", nargs="?")
    parser.add_argument("--tokenizer", default=first)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), help="bf16 on CUDA, else fp32")
    parser.add_argument("--batch", type=int, help="8 on CUDA, else 1")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, help="on CUDA")
    parser.add_argument("--readers", type=int, default=1)
    parser.add_argument("--short-side", type=int, default=256)
    parser.add_argument("--max-frames", type=int, default=49)
    parser.add_argument("--clips", type=int, help="200 on CUDA, else 4")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each measurement")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cuda = arguments.device.startswith("cuda")
    arguments.precision = arguments.precision or ("bf16" if cuda else "fp32")
    arguments.batch = arguments.batch or (8 if cuda else 1)
    arguments.clips = arguments.clips or (200 if cuda else 4)
    arguments.compile = cuda if arguments.compile is None else arguments.compile
    return arguments


if __name__ == "__main__":
    asked = chosen()
    with tempfile.TemporaryDirectory(prefix="reelmill-benchmark-") as made:
        try:
            figures = measure(asked, clips_of(asked.place, made, asked.clips))
        except ValueError as error:
            raise SystemExit(str(error)) from error
    show(figures)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1))
