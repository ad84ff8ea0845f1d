"""The samples of one table of tokens: which there are, and what is read of each."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch

from curation import lineage
from curation.catalog import Catalog
from curation.dataset import ALL, Dataset
from curation.pins import RENEWAL_S, write_pin
from tokenizer.feed.clip_query import ClipQuery
from tokenizer.feed.disk_cache import DiskCache
from tokenizer.feed.errors import BadShardError, FeedError
from tokenizer.feed.indexer import ACTION_NAMES, SampleCounter, count_samples
from tokenizer.feed.row_group import ACTIONS, RowGroupCache, parse_names, validate_columns
from tokenizer.feed.sequence_window import SequenceWindow, Shape
from tokenizer.feed.shard_reader import Retry, ShardReader
from tokenizer.feed.snapshot import ABSENT, Snapshot
from tokenizer.models.interface import Compression


@dataclass(frozen=True)
class ReadOptions:
    """How row groups are read. None of it changes the order."""

    threads: int = 4
    """That read and decode; more for slow storage."""
    chunk_bytes: int = 16 << 20
    """Batches are made in chunks of this size."""
    prefetch_chunks: int = 4
    """Chunks that are made ahead of the trainer."""
    memory_bytes: int = 512 << 20
    """Row groups that stay in memory because more of their samples follow."""
    cache_dir: str | None = None
    """A local folder that caches what was fetched from an object store."""
    cache_bytes: int = 64 << 30
    """Limit of that folder."""
    retry: Retry = field(default_factory=Retry)
    corrupt: Literal["raise", "skip"] = "raise"
    """Whether a row group that cannot be read ends the feed, or is skipped and counted."""


class TokenTable:
    """The samples of one table of an output, at one version of every table involved."""

    def __init__(
        self,
        output: str | os.PathLike[str],
        name: str | None = None,
        *,
        columns: Sequence[str] | None = None,
        window: SequenceWindow | None = None,
        clips: ClipQuery | None = None,
        versions: Mapping[str, int] | None = None,
        normalised: bool = True,
        read_options: ReadOptions | None = None,
    ) -> None:
        """`output` is an output folder or address in a store; `name` one of its tables of tokens.

        The default is the table that was last requested of the newest renders, and the clips that
        the newest selection keeps.
        `columns` are columns of `TokenWindow` to have in a batch, such as `codes`, `latents` and
        `actions`; by default codes, and actions where there are any.
        Latents are `normalised` with the stored mean and deviation of their channels, or not.
        `versions` pins tables to earlier versions, as in a state's `versions`. Raises `FeedError`
        or `LineageError` for what is missing or was made from other renders, and `BadShardError`.
        """
        dataset = Dataset(output)
        self.storage, current = dataset.catalog.storage, dataset.catalog
        dataset.catalog = catalog = Snapshot(self.storage, versions or {})
        self.columns = validate_columns(("codes",) if columns is None else columns)
        self.window = window or SequenceWindow()
        self.normalised = normalised
        self.read_options = read_options or ReadOptions()
        self._clips = clips or ClipQuery()
        self.selection = dataset.resolve_selection(self._clips.selection)
        """Id of the selection whose kept clips are read; None for all clips."""
        self.name = _resolve_name(current, name, self.selection, versions or {})
        clip_ids = None if self.selection is None else dataset.kept_clip_ids(self.selection)
        self._clips.check_renders(current, self.name, clip_ids)
        resolved = self._clips.resolve(dataset, self.name, self.selection)
        self.side_tables = resolved.side_tables
        counter = SampleCounter(self.window, resolved.filters, resolved.side_tables)
        files = catalog.files(self.name)
        metadata = count_samples(self.storage, self.name, files, counter)
        self._clips.check_missing(counter.missing)
        self.index = counter.index(files)
        self.action_names = _merged_names(counter.action_names)
        """What each number of `actions` is, such as `action.gripper`; empty without any."""
        if columns is None and self.action_names:
            self.columns = (*self.columns, ACTIONS)
        self.versions = dict(catalog.versions)
        """Version of every table that was read."""
        self._pinned_at = -math.inf
        self.keep_versions()
        stated = _read_metadata(self.name, metadata)
        self.rate = stated.rate
        """Compression of the tokenizer; 1 if the shards do not state it."""
        self.channels = stated.channels
        """Channels of the latents."""
        self._levels, self._statistics = stated.levels, stated.statistics
        self._check()

    def _check(self) -> None:
        index = self.index
        if "latents" in self.columns and not self.channels:
            raise FeedError(f"{self.name} has no latents: its tokenizer is discrete")
        if "codes" in self.columns and self._levels == []:
            raise FeedError(f"{self.name} has no codes: its tokenizer is continuous")
        if ACTIONS in self.columns and not self.action_names:
            raise FeedError(
                f"{self.name} has no actions: its clips have no signals, or `tokenize.signals`"
                " chose none of them"
            )
        if not index.samples:
            raise FeedError(
                f"{self.name} has no samples: of {index.rows} rows {index.excluded_rows} are left"
                f" out and {index.short_rows} too short for a window"
            )
        if "latents" in self.columns and self.normalised and not all(self._statistics):
            raise FeedError(
                f"the shards of {self.name} do not state the mean and deviation of their latents:"
                " choose normalised=False"
            )

    def __getstate__(self) -> dict[str, object]:
        """Without when the versions were pinned: another process has another clock."""
        return {**self.__dict__, "_pinned_at": -math.inf}

    def keep_versions(self) -> None:
        """Pins the versions for `reelmill gc`, once an hour."""
        if time.monotonic() - self._pinned_at >= RENEWAL_S:
            self._pinned_at = time.monotonic()
            versions = {name: v for name, v in self.versions.items() if v != ABSENT}
            write_pin(self.storage, versions)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Latent frames, height and width of the samples, each shape once."""
        return tuple(bucket.shape for bucket in self.index.buckets)

    @property
    def batch_columns(self) -> tuple[str, ...]:
        """What a batch has of each sample."""
        return (*self.columns, *(name for side in self.side_tables for name in side.columns))

    @cached_property
    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of each latent channel, float32 [channels]."""
        mean, std = (torch.tensor(values, dtype=torch.float32) for values in self._statistics)
        return mean, std

    def open(self) -> RowGroupCache:
        """Its row groups for one process; shares nothing with other calls."""
        options = self.read_options
        disk = DiskCache(options.cache_dir, options.cache_bytes) if options.cache_dir else None
        reader = ShardReader(self.storage, self.name, options.retry, disk)
        columns = {*self.columns}
        columns |= {"clip_id"} if self.side_tables else set()
        columns |= {ACTION_NAMES} if ACTIONS in self.columns else set()
        columns |= {"context_latents"} if self.window.latent_frames else set()
        return RowGroupCache(
            reader, self.index, self.window, sorted(columns), options.memory_bytes,
            math.prod(self._levels) if self._levels else None,
        )  # fmt: skip

    def fingerprint(self) -> dict[str, str | int]:
        """What determines the samples and the content of a batch, short enough for a state.

        Saved states contain it: names and values must stay the same.
        """
        content = {
            "columns": self.columns,
            "normalised": self.normalised,
            "where": self._clips.where,
            "captions": self._clips.captions,
            "embeddings": self._clips.embeddings,
            "facts": self._clips.clip_columns,
            "missing": self._clips.missing,
        }
        window = self.window
        return {
            "table": self.name,
            "selection": self.selection or ALL,
            "version": self.versions[self.name],
            "rows": self.index.digest(),
            "samples": self.index.samples,
            "windows": f"{window.latent_frames}/{window.stride}/{window.causal_only}",
            "columns": short_digest(content),
        }


@dataclass(frozen=True)
class _TokenizerMetadata:
    """What the shards of a table state of their tokenizer."""

    rate: Compression
    channels: int
    levels: list[int] | None
    """None where it is not stated; empty without codes."""
    statistics: list[list[float]]
    """Mean and deviation of each channel; empty where they are not stated."""


def _read_metadata(table: str, metadata: Mapping[str, str]) -> _TokenizerMetadata:
    """Raises `BadShardError` for values that no tokenizer has."""
    try:
        channels = int(metadata.get("channels") or 0)
        levels = json.loads(metadata.get("levels", "null"))
        if levels is not None and not all(isinstance(n, int) and n > 1 for n in levels):
            raise ValueError(f"levels {levels}")
        statistics = [json.loads(metadata.get(key, "[]")) for key in ("latent_mean", "latent_std")]
        for values in filter(None, statistics if channels else []):
            if len(values) != channels or not all(math.isfinite(value) for value in values):
                raise ValueError(f"mean or deviation of {channels} channels: {values}")
        rate = Compression.parse(metadata.get("rate", "1x1x1"))
    except (ValueError, TypeError) as error:
        raise BadShardError(
            f"{table}: the metadata of its shards is damaged: {str(error)[:200]}"
        ) from error
    return _TokenizerMetadata(rate, channels, levels, statistics)


def open_table(
    source: TokenTable | str | os.PathLike[str], selection: str | None = None
) -> TokenTable:
    """The table of an output, for the clips that a selection keeps; a table as it is."""
    if not isinstance(source, TokenTable):
        return TokenTable(source, clips=ClipQuery(selection=selection))
    if selection is not None:
        raise FeedError(f"{source.name} is open already: give the selection to its ClipQuery")
    return source


def _merged_names(lists: Iterable[str]) -> tuple[str, ...]:
    """All names once, each list in its order, the longest first."""
    ordered = sorted(map(parse_names, lists), key=lambda names: (-len(names), names))
    return tuple(dict.fromkeys(name for names in ordered for name in names))


def short_digest(value: object) -> str:
    """12 hex digits of a hash of a JSON value."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _resolve_name(
    catalog: Catalog, name: str | None, selection_id: str | None, versions: Mapping[str, int]
) -> str:
    """The table by name, or the only one in `versions`, or the default."""
    pinned = [table for table in versions if table.startswith("tokens/")]
    if name is None and len(pinned) == 1:
        return pinned[0]
    return lineage.resolve_table(catalog, "tokens", name, selection_id)
