"""The tokens of a clip as two arrays, however they are divided into windows and shards.

Only the small columns are read to find them; codes and latents are read row group by row group, and
the last few row groups are cached. Reading clips in the order of the table reads each once.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curation.data_file import open_parquet
from curation.dataset import Dataset
from curation.records import arrow_schema
from curation.storage import storage_faults
from tokenizer.feed.clip_query import committed_clips
from tokenizer.tokenize.shards import BadTokensError, TokenWindow, clip_frames

WINDOW_COLUMNS = (
    "window", "start_frame", "start_s", "frames", "pad_frames", "causal_first", "context_latents",
    "latent_frames", "overlap_frames", "dropped_frames",
)  # fmt: skip
"""Columns that differ between the windows of a clip."""
_CLIP_COLUMNS = ("latent_height", "latent_width", "channels", "pixel_height", "pixel_width",
                 "pad_bottom", "pad_right", "crop_left", "crop_top", "scaled_width",
                 "scaled_height", "tokenizer", "tokenizer_digest")  # fmt: skip
"""Columns that all windows of a clip share."""
_SCHEMA = arrow_schema(TokenWindow)
_CACHED_GROUPS = 4
_WINDOW_BYTES = 512

Arrays = dict[str, npt.NDArray[Any]]


class TokenIndex:
    """Finds the windows of every clip whose tokens were committed as complete."""

    def __init__(self, dataset: Dataset, table: str) -> None:
        self._storage = dataset.catalog.storage
        self.table = table
        """Name of the table."""
        self._files = [name for name, _ in dataset.catalog.files(table)]
        self._groups: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self.tokenizer_facts: dict[str, Any] = {}
        """How all of them were made: rate, levels, precision, statistics of the latents."""
        rows = pa.concat_tables([self._read(file) for file in range(len(self._files))])
        committed = committed_clips(dataset, table)
        if committed is not None:
            rows = rows.filter(pc.is_in(rows["clip_id"], pc.unique(committed)))
        rows = rows.sort_by([("clip_id", "ascending"), ("window", "ascending")])
        self._rows = rows.combine_chunks()
        ids, first = np.unique(rows["clip_id"].to_numpy(), return_index=True)
        self.clip_ids = pa.array(ids, pa.string())
        """Every clip that has tokens, sorted."""
        self._bounds = np.append(first, len(rows)).astype(np.int32)

    def _read(self, file_index: int) -> pa.Table:
        """The small columns of one file, and the row group of each row."""
        path = self._storage.path(f"{self.table}/{self._files[file_index]}")
        with storage_faults(path), self._storage.filesystem.open_input_file(path) as source:
            file = open_parquet(source, path)
            names = ["clip_id", *WINDOW_COLUMNS, *_CLIP_COLUMNS, "fps", "render_sha256"]
            rows = file.read(names)
            for name in names:  # that earlier versions did not write
                if name not in rows.column_names:
                    kind = _SCHEMA.field(name).type
                    rows = rows.append_column(name, pa.nulls(rows.num_rows, kind))
            rows = rows.select(names)
            sizes = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
        if not self.tokenizer_facts:
            self.tokenizer_facts = _tokenizer_facts(file.schema_arrow.metadata or {})
        location = {
            "file": np.full(len(rows), file_index, np.int32),
            "group": np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
            "row": np.concatenate([np.arange(size, dtype=np.int32) for size in sizes]),
        }
        for name, values in location.items():
            rows = rows.append_column(name, pa.array(values))
        return rows

    @property
    def heads(self) -> tuple[str, ...]:
        """`codes`, `latents`, or both."""
        channels = self._rows["channels"][0].as_py() if len(self._rows) else 0
        has_codes = bool(self.tokenizer_facts["levels"])
        return ("codes",) * has_codes + ("latents",) * bool(channels)

    def columns(self, indices: pa.Array) -> dict[str, Any]:
        """The Arrow columns of some clips, by indices into `clip_ids`."""
        first = self._rows.take(pa.array(self._bounds[:-1]).take(indices))
        structs = pa.StructArray.from_arrays(
            [self._rows[name].combine_chunks() for name in WINDOW_COLUMNS], WINDOW_COLUMNS
        )
        windows = pa.ListArray.from_arrays(pa.array(self._bounds), structs).take(indices)
        columns = {name: first[name].combine_chunks() for name in _CLIP_COLUMNS}
        for name, value in self.tokenizer_facts.items():
            columns[name] = pa.array([value] * len(indices), _arrow_type(value))
        return {**columns, "windows": windows}

    def render_origins(self, indices: pa.Array) -> pa.Table:
        """The renders that some clips' tokens were made from, by indices, as `lineage` compares."""
        first = self._rows.take(pa.array(self._bounds[:-1]).take(indices))
        frames = np.add.reduceat(clip_frames(self._rows).to_numpy(), self._bounds[:-1])
        return pa.table(
            {
                "clip_id": first["clip_id"],
                "render_sha256": first["render_sha256"],
                "render_frames": pa.array(frames).take(indices),
                "render_fps": first["fps"],
            }
        )

    def sizes(self, indices: pa.Array) -> npt.NDArray[np.int64]:
        """Approximate bytes of the tokens and window columns of some clips."""
        frames, height, width, channels = (
            self._rows[name].to_numpy()
            for name in ("latent_frames", "latent_height", "latent_width", "channels")
        )
        numbers = frames * height * width * (channels + ("codes" in self.heads))
        totals = np.add.reduceat(2 * numbers + _WINDOW_BYTES, self._bounds[:-1])
        sizes: npt.NDArray[np.int64] = totals[indices.to_numpy()]
        return sizes

    def arrays(self, clip_id: str) -> Arrays:
        """All windows of a clip, concatenated in time.

        `codes` is uint16 [T, H, W], `latents` float16 [channels, T, H, W], as stored.
        """
        index = pc.index_in(pa.scalar(clip_id), self.clip_ids).as_py()
        start, stop = self._bounds[index], self._bounds[index + 1]
        windows: dict[str, list[npt.NDArray[Any]]] = {head: [] for head in self.heads}
        for row in self._rows.slice(start, stop - start).to_pylist():
            group = self._group(row["file"], row["group"])
            shape = (row["latent_frames"], row["latent_height"], row["latent_width"])
            for head, parts in windows.items():
                stored = group[head][row["row"]].as_buffer()
                try:
                    parts.append(self._array(head, stored, shape, row["channels"]))
                except ValueError as error:
                    raise BadTokensError(
                        f"{self.table}: clip {clip_id}, window {row['window']}: {error}"
                    ) from error
        arrays = {head: np.concatenate(parts, 1) for head, parts in windows.items()}
        return {head: array[0] if head == "codes" else array for head, array in arrays.items()}

    def _array(
        self, head: str, stored: Any, shape: tuple[int, int, int], channels: int
    ) -> npt.NDArray[Any]:
        """The numbers of a window [channels or 1, T, H, W]; `ValueError` for damaged ones."""
        expected = 2 * math.prod(shape) * (1 if head == "codes" else channels)
        if stored is None or min(shape) < 1 or stored.size != expected:
            actual = 0 if stored is None else stored.size
            raise ValueError(f"{actual} bytes of {head}, where its shape has {expected}")
        array = np.frombuffer(stored, "<u2" if head == "codes" else "<f2")
        size = math.prod(self.tokenizer_facts["levels"])
        if head == "codes" and int(array.max()) >= size:
            raise ValueError(f"code {array.max()} is beyond the codebook's {size} entries")
        if head == "latents" and not np.isfinite(array).all():
            raise ValueError("latents are NaN or infinite")
        return array.reshape(-1, *shape)

    def _group(self, file: int, group: int) -> Any:
        key = file, group
        if key not in self._groups:
            path = self._storage.path(f"{self.table}/{self._files[file]}")
            with storage_faults(path), self._storage.filesystem.open_input_file(path) as source:
                self._groups[key] = open_parquet(source, path).read_row_group(
                    group, list(self.heads)
                )
            if len(self._groups) > _CACHED_GROUPS:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key]


def _tokenizer_facts(metadata: dict[bytes, bytes]) -> dict[str, Any]:
    """A shard's metadata of its tokenizer, without name and digest, which are columns."""
    values = {key.decode(): value.decode() for key, value in metadata.items()}
    return {
        "rate": values.get("rate"),
        "precision": values.get("precision"),
        "window_kind": values.get("windows"),
        **{n: json.loads(values.get(n, "[]")) for n in ("levels", "latent_mean", "latent_std")},
    }


def _arrow_type(value: Any) -> pa.DataType:
    if isinstance(value, list):
        return pa.list_(pa.int64() if value and isinstance(value[0], int) else pa.float64())
    return pa.string()
