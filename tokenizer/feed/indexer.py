"""Making the index: one pass over the small columns of a table's files.

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
import pyarrow.parquet as pq

from curation.errors import ReelmillError
from curation.storage import Storage, plain
from tokenizer.feed.clip_index import ClipIndex, Side
from tokenizer.feed.permutation import Ints
from tokenizer.feed.sample_index import Bucket, Index, Kept
from tokenizer.feed.sequence_window import Cut, Rows, unpacked

_FACTS = ("tokenizer_digest", "rate", "levels", "latent_mean", "latent_std")
"""What the schemas of all shards of a table have to agree on."""
_THREADS = 8
_AT_ONCE = 256
SHAPE_COLUMNS = ("latent_frames", "latent_height", "latent_width", "causal_first")
"""Columns that decide a row's samples."""


class BadShardError(ReelmillError):
    """A file of tokens, or a row group of one, that cannot be read."""


@dataclass(frozen=True)
class FileRows:
    """What the small columns of one file say."""

    group_rows: Ints
    """Rows of each row group."""
    rows: Rows
    """Their shapes."""
    clip_ids: Any
    """Arrow text, one a row; None if they are not needed."""
    facts: Mapping[str, str]
    """What the schema says of the tokenizer."""


def survey(
    storage: Storage, table: str, files: Sequence[tuple[str, int]], count: Count
) -> dict[str, str]:
    """Counts a table's files, given by name and bytes, and returns what they say of the tokenizer.

    Raises `BadShardError` for a file that cannot be read or is of another tokenizer.
    """
    facts: dict[str, str] = {}
    names = iter([name for name, _ in files])
    with ThreadPoolExecutor(_THREADS) as pool:
        while some := list(itertools.islice(names, _AT_ONCE)):
            found = pool.map(lambda name: read(storage, table, name, count.by_clip), some)
            for name, rows in zip(some, found, strict=True):
                count.add(rows)
                _agree(facts, rows.facts, f"{table}/{name}")
    return facts


def read(storage: Storage, table: str, name: str, by_clip: bool) -> FileRows:
    """The small columns of one file, with its clips' ids if they are needed."""
    path = storage.path(f"{table}/{name}")
    try:
        with storage.filesystem.open_input_file(path) as source:
            file = pq.ParquetFile(source)
            wanted = ["channels", *SHAPE_COLUMNS, *(["clip_id"] if by_clip else [])]
            columns = file.read(wanted, use_threads=False)
            groups = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
    except FileNotFoundError as error:
        raise BadShardError(
            f"{path} is gone, which the table names: was an old version vacuumed?"
        ) from error
    except (OSError, pa.ArrowException, KeyError) as error:
        raise BadShardError(f"{path}: {plain(error)}") from error
    found = file.schema_arrow.metadata or {}
    facts = {name: found[name.encode()].decode() for name in _FACTS if name.encode() in found}
    facts["channels"] = " ".join(map(str, pc.unique(columns["channels"]).to_pylist()))
    ids = columns["clip_id"] if by_clip else None
    return FileRows(np.array(groups, np.int64), shapes(columns), ids, facts)


def shapes(columns: pa.Table) -> Rows:
    """The columns that decide samples."""
    return Rows(*(columns[name].to_numpy() for name in SHAPE_COLUMNS))


def _agree(facts: dict[str, str], others: Mapping[str, str], name: str) -> None:
    for key, value in others.items():
        if facts.setdefault(key, value) != value:
            raise BadShardError(f"{name} says {key} {value[:80]}, other shards {facts[key][:80]}")


@dataclass
class _Tally:
    """Counts of one shape."""

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
        return Bucket(unpacked(shape), files, first, counts, int(counts.sum(dtype=np.int64)))


class Count:
    """Counts samples file by file."""

    def __init__(
        self, cut: Cut, among: Sequence[ClipIndex] = (), sides: Sequence[Side] = ()
    ) -> None:
        """Rows take part whose clip is in all of `among`; of those, `sides` should know each."""
        self._cut = cut
        self._among = among
        self._sides = sides
        self.by_clip = bool(among or sides)
        """Whether it has to know whose each row is."""
        self.lacking = dict.fromkeys((side.name for side in sides), 0)
        """Rows that take part whose clip a side does not know."""
        self._tallies: dict[int, _Tally] = {}
        self._files = 0
        self._first_byte = array("q")
        self._bits = bytearray()
        self._rows = self._left_out = self._too_short = 0

    def add(self, file: FileRows) -> None:
        """Counts the next file."""
        kept = np.ones(len(file.rows), bool)
        for clips in self._among:
            kept &= clips.find(file.clip_ids) >= 0
        for side in self._sides:
            self.lacking[side.name] += int((kept & (side.index.find(file.clip_ids) < 0)).sum())
        if self._among:
            self._first_byte.append(len(self._bits))
            self._bits += np.packbits(kept).tobytes()
        samples = self._cut.samples(file.rows)
        chosen = kept[samples.row]
        row, shape = samples.row[chosen], samples.shape[chosen]
        self._rows += len(kept)
        self._left_out += int((~kept).sum())
        self._too_short += int(kept.sum()) - len(np.unique(row))
        group = np.repeat(np.arange(len(file.group_rows)), file.group_rows)[row]
        self._tally(len(file.group_rows), group, shape)
        self._files += 1

    def _tally(self, groups: int, group: Ints, shape: Ints) -> None:
        found, of = np.unique(shape, return_inverse=True)
        counts = np.bincount(of * groups + group, minlength=len(found) * groups)
        for code, per_group in zip(found.tolist(), counts.reshape(-1, groups), strict=True):
            self._tallies.setdefault(code, _Tally()).add(self._files, per_group)

    def index(self, files: Sequence[tuple[str, int]]) -> Index:
        """The index of the files that were added."""
        kept = None
        if self._left_out:
            first = np.frombuffer(self._first_byte, np.int64)
            kept = Kept(first, np.frombuffer(self._bits, np.uint8))
        return Index(
            paths=pa.array([name for name, _ in files], pa.string()),
            sizes=np.array([size for _, size in files], np.int64),
            buckets=tuple(self._tallies[code].bucket(code) for code in sorted(self._tallies)),
            kept=kept,
            rows=self._rows,
            left_out=self._left_out,
            too_short=self._too_short,
        )
