"""Builds the sample index: one pass over the small columns of a table's files.

Codes and latents are not read. Files are read by a few threads and counted in the order of their
names. Memory while counting is that of the index.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.data_file import open_parquet
from curation.storage import Storage, one_line
from tokenizer.feed.clip_query import ClipIndex, SideTable
from tokenizer.feed.errors import BadShardError
from tokenizer.feed.sample_index import Bucket, RowMask, SampleIndex
from tokenizer.feed.sequence_window import Ints, RowShapes, SequenceWindow, unpack_shape

_METADATA = ("tokenizer_digest", "rate", "levels", "latent_mean", "latent_std")
"""Keys of the schemas that all shards of a table have to agree on."""
_THREADS = 8
_FILES_AT_ONCE = 256
ACTION_NAMES = "action_names"
"""The column with the names of a row's signals."""
SHAPE_COLUMNS = ("latent_frames", "latent_height", "latent_width", "causal_first")
"""Columns that determine a row's samples."""


@dataclass(frozen=True)
class FileSummary:
    """The small columns of one file."""

    group_rows: Ints
    """Rows of each row group."""
    rows: RowShapes
    clip_ids: Any
    """Arrow text, one a row; None if they are not needed."""
    metadata: Mapping[str, str]
    """The tokenizer, from the schema."""
    action_names: frozenset[str] = frozenset()
    """The lists of names of signals that its rows have, as JSON."""


def count_samples(
    storage: Storage, table: str, files: Sequence[tuple[str, int]], counter: SampleCounter
) -> dict[str, str]:
    """Counts a table's files, given by name and size, and returns their tokenizer metadata.

    Raises `BadShardError` for a file that cannot be read or is of another tokenizer.
    """
    metadata: dict[str, str] = {}
    names = iter([name for name, _ in files])
    with ThreadPoolExecutor(_THREADS) as pool:
        while batch := list(itertools.islice(names, _FILES_AT_ONCE)):
            summaries = pool.map(
                lambda name: summarize_file(storage, table, name, counter.needs_clip_ids), batch
            )
            for name, summary in zip(batch, summaries, strict=True):
                counter.add(summary)
                for key, value in summary.metadata.items():
                    if metadata.setdefault(key, value) != value:
                        raise BadShardError(
                            f"{table}/{name} has {key} {value[:80]}, other shards have"
                            f" {metadata[key][:80]}"
                        )
    return metadata


def summarize_file(storage: Storage, table: str, name: str, clip_ids: bool) -> FileSummary:
    """The small columns of one file, with its clip ids on request."""
    path = storage.path(f"{table}/{name}")
    try:
        with storage.filesystem.open_input_file(path) as source:
            file = open_parquet(source, path)
            names = ["channels", *SHAPE_COLUMNS, *(["clip_id"] if clip_ids else [])]
            if ACTION_NAMES in file.schema_arrow.names:
                names.append(ACTION_NAMES)
            columns = file.read(names, use_threads=False)
            groups = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
    except FileNotFoundError as error:
        raise BadShardError.missing(path) from error
    except (OSError, pa.ArrowException, KeyError) as error:
        raise BadShardError(f"{path}: {one_line(error)}") from error
    schema = file.schema_arrow.metadata or {}
    metadata = {key: schema[key.encode()].decode() for key in _METADATA if key.encode() in schema}
    metadata["channels"] = " ".join(map(str, pc.unique(columns["channels"]).to_pylist()))
    ids = columns["clip_id"] if clip_ids else None
    found = columns[ACTION_NAMES] if ACTION_NAMES in columns.column_names else pa.array([])
    lists = frozenset(pc.unique(found).drop_null().to_pylist())
    return FileSummary(np.array(groups, np.int64), row_shapes(columns), ids, metadata, lists)


def row_shapes(columns: pa.Table) -> RowShapes:
    """The columns that determine samples, as arrays."""
    return RowShapes(*(columns[name].to_numpy() for name in SHAPE_COLUMNS))


@dataclass
class _BucketCounts:
    """Counts of one shape while files are added."""

    files: array[int] = field(default_factory=lambda: array("I"))
    groups: array[int] = field(default_factory=lambda: array("I"))
    counts: array[int] = field(default_factory=lambda: array("B"))

    def add(self, file: int, counts: Ints) -> None:
        dtype = np.min_scalar_type(int(counts.max(initial=0)))
        code = max(self.counts.typecode, {1: "B", 2: "H"}.get(dtype.itemsize, "I"), key="BHI".index)
        if code != self.counts.typecode:
            self.counts = array(code, self.counts)
        self.files.append(file)
        self.groups.append(len(counts))
        self.counts.frombytes(counts.astype(f"u{self.counts.itemsize}").tobytes())

    def bucket(self, shape: int) -> Bucket:
        counts = np.frombuffer(self.counts, f"u{self.counts.itemsize}")
        first = np.append(0, np.cumsum(np.frombuffer(self.groups, np.uint32))).astype(np.uint32)
        files = np.frombuffer(self.files, np.uint32)
        return Bucket(unpack_shape(shape), files, first, counts, int(counts.sum(dtype=np.int64)))


class SampleCounter:
    """Counts samples file by file."""

    def __init__(
        self,
        window: SequenceWindow,
        filters: Sequence[ClipIndex] = (),
        side_tables: Sequence[SideTable] = (),
    ) -> None:
        """Rows pass whose clip is in all `filters`; `side_tables` should have each of these."""
        self._window = window
        self._filters = filters
        self._side_tables = side_tables
        self.needs_clip_ids = bool(filters or side_tables)
        self.missing = dict.fromkeys((side.name for side in side_tables), 0)
        """By side table, rows that pass whose clip it does not have."""
        self.action_names: set[str] = set()
        """The lists of names of signals that rows have, as JSON."""
        self._buckets: dict[int, _BucketCounts] = {}
        self._files = 0
        self._first_byte = array("q")
        self._bits = bytearray()
        self._rows = self._excluded = self._short = 0

    def add(self, file: FileSummary) -> None:
        """Counts the next file."""
        mask = np.ones(len(file.rows), bool)
        for clips in self._filters:
            mask &= clips.find(file.clip_ids) >= 0
        for side in self._side_tables:
            self.missing[side.name] += int((mask & (side.index.find(file.clip_ids) < 0)).sum())
        if self._filters:
            self._first_byte.append(len(self._bits))
            self._bits += np.packbits(mask).tobytes()
        samples = self._window.samples(file.rows)
        samples = samples[mask[samples.row]]
        self._rows += len(mask)
        self._excluded += int((~mask).sum())
        self._short += int(mask.sum()) - len(np.unique(samples.row))
        groups = len(file.group_rows)
        group = np.repeat(np.arange(groups), file.group_rows)[samples.row]
        shapes, shape = np.unique(samples.shape, return_inverse=True)
        counts = np.bincount(shape * groups + group, minlength=len(shapes) * groups)
        for code, per_group in zip(shapes.tolist(), counts.reshape(-1, groups), strict=True):
            self._buckets.setdefault(code, _BucketCounts()).add(self._files, per_group)
        self._files += 1
        self.action_names |= file.action_names

    def index(self, files: Sequence[tuple[str, int]]) -> SampleIndex:
        """The index of the files that were added."""
        row_mask = None
        if self._excluded:
            first = np.frombuffer(self._first_byte, np.int64)
            row_mask = RowMask(first, np.frombuffer(self._bits, np.uint8))
        return SampleIndex(
            paths=pa.array([name for name, _ in files], pa.string()),
            sizes=np.array([size for _, size in files], np.int64),
            buckets=tuple(self._buckets[code].bucket(code) for code in sorted(self._buckets)),
            row_mask=row_mask,
            rows=self._rows,
            excluded_rows=self._excluded,
            short_rows=self._short,
        )
