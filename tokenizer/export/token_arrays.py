"""The tokens of a clip as two arrays, whatever windows and shards they lie in.

Only the small columns are read to find them; codes and latents come row group by row group, and the
last few row groups stay in memory. Clips asked for in the order of the table cost one reading.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.dataset import Dataset
from curation.storage import Storage, storage_faults
from tokenizer.feed.clip_index import announced

WINDOW = (
    "window", "start_frame", "start_s", "frames", "pad_frames", "causal_first", "context_latents",
    "latent_frames",
)  # fmt: skip
"""Columns that differ between the windows of a clip."""
_CLIP = ("latent_height", "latent_width", "channels", "pixel_height", "pixel_width", "pad_bottom",
         "pad_right", "tokenizer", "tokenizer_digest")  # fmt: skip
"""Columns that all windows of a clip share."""
_ORIGIN = ("fps", "render_sha256")
"""Columns that say which render was read."""
_GROUPS_KEPT = 4
_WINDOW_BYTES = 512

Arrays = dict[str, npt.NDArray[Any]]


class TokenIndex:
    """Finds the windows of every clip whose tokens were announced as complete."""

    def __init__(self, dataset: Dataset, table: str) -> None:
        self._storage: Storage = dataset.catalog.storage
        self.table = table
        """Name of the table."""
        self._files = [name for name, _ in dataset.catalog.files(table)]
        self._groups: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self.made: dict[str, Any] = {}
        """How all of them were made: rate, levels, precision, statistics of the latents."""
        found = pa.concat_tables([self._read(at) for at in range(len(self._files))])
        among = announced(dataset, table)
        if among is not None:
            found = found.filter(pc.is_in(found["clip_id"], pc.unique(among)))
        rows = found.sort_by([("clip_id", "ascending"), ("window", "ascending")])
        self._rows = rows.combine_chunks()
        ids, first = np.unique(rows["clip_id"].to_numpy(), return_index=True)
        self.clip_ids = pa.array(ids, pa.string())
        """Every clip that has tokens, sorted."""
        self._ends = np.append(first, len(rows)).astype(np.int32)

    def _read(self, at: int) -> pa.Table:
        """The small columns of one file, and in which row group each row lies."""
        path = self._storage.path(f"{self.table}/{self._files[at]}")
        with storage_faults(), self._storage.filesystem.open_input_file(path) as source:
            file = pq.ParquetFile(source)
            rows = file.read(["clip_id", *WINDOW, *_CLIP, *_ORIGIN])
            if "render_sha256" not in rows.column_names:
                unknown = pa.nulls(rows.num_rows, pa.string())
                rows = rows.append_column("render_sha256", unknown)
            sizes = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
        if not self.made:
            self.made = _made(file.schema_arrow.metadata or {})
        places = {
            "file": np.full(len(rows), at, np.int32),
            "group": np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
            "row": np.concatenate([np.arange(size, dtype=np.int32) for size in sizes]),
        }
        for name, values in places.items():
            rows = rows.append_column(name, pa.array(values))
        return rows

    @property
    def heads(self) -> tuple[str, ...]:
        """Which of `codes` and `latents` there are."""
        channels = self._rows["channels"][0].as_py() if len(self._rows) else 0
        return ("codes",) * bool(self.made["levels"]) + ("latents",) * bool(channels)

    def columns(self, places: pa.Array) -> dict[str, Any]:
        """What is told of some clips, by their places in `clip_ids`, as Arrow columns."""
        first = self._rows.take(pa.array(self._ends[:-1]).take(places))
        structs = pa.StructArray.from_arrays(
            [self._rows[name].combine_chunks() for name in WINDOW], WINDOW
        )
        windows = pa.ListArray.from_arrays(pa.array(self._ends), structs).take(places)
        told = {name: first[name].combine_chunks() for name in _CLIP}
        for name, value in self.made.items():
            told[name] = pa.array([value] * len(places), _kind(value))
        return {**told, "windows": windows}

    def made_from(self, places: pa.Array) -> pa.Table:
        """Of some clips, by their places, which render was read, in columns of `Made`."""
        first = self._rows.take(pa.array(self._ends[:-1]).take(places))
        frames = np.add.reduceat(self._rows["frames"].to_numpy(), self._ends[:-1])
        told = {
            "clip_id": first["clip_id"],
            "render_sha256": first["render_sha256"],
            "render_frames": pa.array(frames).take(places),
            "render_fps": first["fps"],
        }
        return pa.table(told)

    def sizes(self, places: pa.Array) -> npt.NDArray[np.int64]:
        """About how many bytes the tokens of some clips take, and what is told of their windows."""
        frames, height, width, channels = (
            self._rows[name].to_numpy()
            for name in ("latent_frames", "latent_height", "latent_width", "channels")
        )
        each = 2 * frames * height * width * (channels + ("codes" in self.heads)) + _WINDOW_BYTES
        sizes: npt.NDArray[np.int64] = np.add.reduceat(each, self._ends[:-1])[places.to_numpy()]
        return sizes

    def arrays(self, clip_id: str) -> Arrays:
        """All windows of a clip after one another in time.

        `codes` is uint16 [T, H, W], `latents` float16 [channels, T, H, W], as they are stored.
        """
        place = pc.index_in(pa.scalar(clip_id), self.clip_ids).as_py()
        rows = self._rows.slice(self._ends[place], self._ends[place + 1] - self._ends[place])
        found: dict[str, list[npt.NDArray[Any]]] = {head: [] for head in self.heads}
        for row in rows.to_pylist():
            group = self._group(row["file"], row["group"])
            shape = (row["latent_frames"], row["latent_height"], row["latent_width"])
            for head, windows in found.items():
                stored = group[head][row["row"]].as_buffer()
                dtype = "<u2" if head == "codes" else "<f2"
                windows.append(np.frombuffer(stored, dtype).reshape(-1, *shape))
        arrays = {head: np.concatenate(windows, 1) for head, windows in found.items()}
        return {head: each[0] if head == "codes" else each for head, each in arrays.items()}

    def _group(self, file: int, group: int) -> Any:
        key = file, group
        if key not in self._groups:
            path = self._storage.path(f"{self.table}/{self._files[file]}")
            with storage_faults(), self._storage.filesystem.open_input_file(path) as source:
                self._groups[key] = pq.ParquetFile(source).read_row_group(group, list(self.heads))
            if len(self._groups) > _GROUPS_KEPT:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key]


def _made(metadata: dict[bytes, bytes]) -> dict[str, Any]:
    """What a shard says of its tokenizer, but for its name and digest, which rows say."""
    said = {key.decode(): value.decode() for key, value in metadata.items()}
    lists = {
        name: json.loads(said.get(name, "[]")) for name in ("levels", "latent_mean", "latent_std")
    }
    texts = {
        "rate": said.get("rate"),
        "precision": said.get("precision"),
        "window_kind": said.get("windows"),
    }
    return {**texts, **lists}


def _kind(value: Any) -> pa.DataType:
    if isinstance(value, list):
        return pa.list_(pa.int64() if value and isinstance(value[0], int) else pa.float64())
    return pa.string()
