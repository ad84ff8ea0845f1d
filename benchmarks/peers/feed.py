"""How other loaders read the rows of `benchmarks/feed.py`, each in an environment of its own.

    python benchmarks/peers/feed.py LOADER FOLDER BATCH

FOLDER holds `codes.npy`, uint16 [n, T, H, W]. The loader's own format is written beside it the
first time. Two epochs of shuffled batches, int64 [BATCH, T, H, W], are read in one process; the
first warms up and is checked to hold every row, the second is timed. Prints JSON.
"""

from __future__ import annotations

import functools
import json
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

Epoch = Callable[[int], Iterable[torch.Tensor]]
"""The batches of one epoch, given its number."""

PACKAGES = {
    "memmap": [],
    "memmap-gather": [],
    "litdata": ["litdata==0.2.76"],
    "litdata-tokens": ["litdata==0.2.76"],
    "lance": ["lancedb==0.40.0", "pylance==14.0.2"],
    "lance-clumps": ["lancedb==0.40.0", "pylance==14.0.2"],
    "mosaic": ["mosaicml-streaming==0.13.0"],
    "hf": ["datasets==5.2.0"],
}
"""What the environment of each holds beside torch."""


def read_memmap(folder: Path, batch: int) -> Epoch:
    """One row at a time, as training scripts without a loader do."""
    rows = np.load(folder / "codes.npy", mmap_mode="r")

    def epoch(number: int) -> Iterator[torch.Tensor]:
        order = np.random.default_rng(number).permutation(len(rows))
        for start in range(0, len(rows), batch):
            some = order[start : start + batch]
            yield torch.stack([torch.from_numpy(rows[at].astype(np.int64)) for at in some])

    return epoch


def read_memmap_gather(folder: Path, batch: int) -> Epoch:
    """One gather a batch."""
    rows = np.load(folder / "codes.npy", mmap_mode="r")

    def epoch(number: int) -> Iterator[torch.Tensor]:
        order = np.random.default_rng(number).permutation(len(rows))
        for start in range(0, len(rows), batch):
            yield torch.from_numpy(rows[order[start : start + batch]].astype(np.int64))

    return epoch


def _row(at: int, path: str) -> dict[str, Any]:
    return {"codes": np.load(path, mmap_mode="r")[at].copy()}


def read_litdata(folder: Path, batch: int) -> Epoch:
    from litdata import StreamingDataLoader, StreamingDataset, optimize

    place = folder / "litdata"
    if not place.exists():
        path = str(folder / "codes.npy")
        count = len(np.load(path, mmap_mode="r"))
        optimize(
            functools.partial(_row, path=path), inputs=list(range(count)), output_dir=str(place),
            chunk_bytes="64MB", num_workers=1,
        )  # fmt: skip

    def stacked(rows: list[dict[str, Any]]) -> torch.Tensor:
        return torch.from_numpy(np.stack([row["codes"] for row in rows]).astype(np.int64))

    data = StreamingDataset(str(place), shuffle=True, drop_last=False)
    loader = StreamingDataLoader(data, batch_size=batch, num_workers=0, collate_fn=stacked)
    return lambda _: loader


def _flat(at: int, path: str) -> torch.Tensor:
    return torch.from_numpy(np.load(path, mmap_mode="r")[at].astype(np.int32).ravel())


def read_litdata_tokens(folder: Path, batch: int) -> Epoch:
    """LitData's form for language models: one long run of numbers, cut into blocks."""
    from litdata import StreamingDataLoader, StreamingDataset, TokensLoader, optimize

    place, path = folder / "litdata-tokens", str(folder / "codes.npy")
    shape = np.load(path, mmap_mode="r").shape
    block = int(np.prod(shape[1:]))
    if not place.exists():
        optimize(
            functools.partial(_flat, path=path), inputs=list(range(shape[0])),
            output_dir=str(place), chunk_size=block * 8192, num_workers=1,
            item_loader=TokensLoader(),
        )  # fmt: skip

    def stacked(rows: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack(rows).to(torch.int64).reshape(-1, *shape[1:])

    data = StreamingDataset(
        str(place), item_loader=TokensLoader(block_size=block), shuffle=True, drop_last=False
    )
    loader = StreamingDataLoader(data, batch_size=batch, num_workers=0, collate_fn=stacked)
    return lambda _: loader


def read_lance(folder: Path, batch: int, clump: int | None = None) -> Epoch:
    import lancedb
    import pyarrow as pa
    from lancedb.streaming import StreamingDataset

    rows = np.load(folder / "codes.npy", mmap_mode="r")
    written = (folder / "lance" / "codes.lance").exists()
    database = lancedb.connect(str(folder / "lance"))
    width = int(np.prod(rows.shape[1:]))
    if not written:
        kind = pa.list_(pa.uint16(), width)
        for start in range(0, len(rows), 8192):
            some = pa.FixedSizeListArray.from_arrays(rows[start : start + 8192].ravel(), type=kind)
            table = pa.table({"codes": some})
            if start:
                database.open_table("codes").add(table)
            else:
                database.create_table("codes", table)

    def arrays(found: pa.RecordBatch) -> list[np.ndarray[Any, Any]]:
        return list(found["codes"].flatten().to_numpy().reshape(-1, *rows.shape[1:]))

    def stacked(some: list[np.ndarray[Any, Any]]) -> torch.Tensor:
        return torch.from_numpy(np.stack(some).astype(np.int64))

    def epoch(number: int) -> Iterable[torch.Tensor]:
        data = StreamingDataset(
            database.open_table("codes"), epoch=number, transform=arrays, read_batch_size=256,
            shuffle_clump_size=clump,
        )  # fmt: skip
        return torch.utils.data.DataLoader(data, batch_size=batch, collate_fn=stacked)

    return epoch


def read_lance_clumps(folder: Path, batch: int) -> Epoch:
    """Rows are shuffled in runs of 64, which read together."""
    return read_lance(folder, batch, clump=64)


def read_mosaic(folder: Path, batch: int) -> Epoch:
    # It imports torchvision, whose build for CUDA fails beside a torch for CPUs without these.
    vision = torch.library.Library("torchvision", "FRAGMENT")
    vision.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    vision.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from streaming import MDSWriter, StreamingDataset

    place = folder / "mosaic"
    rows = np.load(folder / "codes.npy", mmap_mode="r")
    shape = ",".join(map(str, rows.shape[1:]))
    if not place.exists():
        with MDSWriter(out=str(place), columns={"codes": f"ndarray:uint16:{shape}"}) as writer:
            for row in rows:
                writer.write({"codes": row})

    def stacked(some: list[dict[str, Any]]) -> torch.Tensor:
        return torch.from_numpy(np.stack([row["codes"] for row in some]).astype(np.int64))

    data = StreamingDataset(local=str(place), shuffle=True, batch_size=batch)
    loader = torch.utils.data.DataLoader(data, batch_size=batch, collate_fn=stacked)
    return lambda _: loader


def read_hf(folder: Path, batch: int) -> Epoch:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import load_dataset

    place = folder / "hf"
    rows = np.load(folder / "codes.npy", mmap_mode="r")
    if not place.exists():
        place.mkdir()
        for at, start in enumerate(range(0, len(rows), 8192)):
            some = pa.array([row.tobytes() for row in rows[start : start + 8192]], pa.binary())
            pq.write_table(pa.table({"codes": some}), place / f"{at}.parquet", row_group_size=1024)

    def stacked(some: list[dict[str, Any]]) -> torch.Tensor:
        arrays = [np.frombuffer(row["codes"], np.uint16) for row in some]
        return torch.from_numpy(np.stack(arrays).astype(np.int64)).reshape(-1, *rows.shape[1:])

    files = sorted(map(str, place.glob("*.parquet")))
    data = load_dataset("parquet", data_files=files, split="train", streaming=True)

    def epoch(number: int) -> Iterable[torch.Tensor]:
        shuffled = data.shuffle(seed=number, buffer_size=10_000)
        return torch.utils.data.DataLoader(shuffled, batch_size=batch, collate_fn=stacked)

    return epoch


READERS: dict[str, Callable[[Path, int], Epoch]] = {
    "memmap": read_memmap,
    "memmap-gather": read_memmap_gather,
    "litdata": read_litdata,
    "litdata-tokens": read_litdata_tokens,
    "lance": read_lance,
    "lance-clumps": read_lance_clumps,
    "mosaic": read_mosaic,
    "hf": read_hf,
}


def measured(epoch: Epoch, shape: tuple[int, ...], rows: int, total: int) -> dict[str, Any]:
    """Samples per second of the second epoch, after a look at the first."""
    found = checksum = 0
    for batch in epoch(0):
        if batch.dtype != torch.int64 or tuple(batch.shape[1:]) != shape:
            raise SystemExit(f"got {batch.dtype} {list(batch.shape)}")
        found, checksum = found + len(batch), checksum + int(batch.sum())
    start, cpu, samples = time.perf_counter(), time.process_time(), 0
    for batch in epoch(1):
        samples += len(batch)
    seconds = time.perf_counter() - start
    return {
        "samples_per_s": samples / seconds,
        "cpu_us_per_sample": (time.process_time() - cpu) / samples * 1e6,
        "rows": found,
        "whole": (found, checksum) == (rows, total),
    }


def main() -> None:
    name, folder, batch = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    random.seed(0)
    codes = np.load(folder / "codes.npy", mmap_mode="r")
    total = int(codes.sum(dtype=np.int64))
    found = measured(READERS[name](folder, batch), codes.shape[1:], len(codes), total)
    print("RESULT " + json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
