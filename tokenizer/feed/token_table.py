"""The samples of one table of tokens: which there are, and what is read of each."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch

from curation import lineage
from curation.catalog import Catalog
from curation.dataset import ALL, Dataset
from tokenizer.feed.clip_filter import Choice
from tokenizer.feed.columns import checked
from tokenizer.feed.disk import DiskCache
from tokenizer.feed.indexer import Count, survey
from tokenizer.feed.row_group_cache import Groups
from tokenizer.feed.sequence_window import Cut, Shape
from tokenizer.feed.shard_reader import Retry, Source
from tokenizer.feed.snapshot import Snapshot
from tokenizer.models.interface import Rate


@dataclass(frozen=True)
class Reading:
    """How row groups are read. Nothing here moves a sample to another place."""

    threads: int = 4
    """That read and decode; more for storage that answers slowly."""
    chunk_bytes: int = 16 << 20
    """Batches are made this much at a time."""
    ahead: int = 4
    """How many such chunks are made before they are asked for."""
    memory_bytes: int = 512 << 20
    """Row groups that stay in memory because more of their samples are to come."""
    cache: str | None = None
    """A local folder that keeps what was fetched from an object store."""
    cache_bytes: int = 64 << 30
    """What that folder may hold."""
    retry: Retry = field(default_factory=Retry)
    """How patiently storage is asked."""
    corrupt: Literal["raise", "skip"] = "raise"
    """Whether a row group that cannot be read ends the feed, or is left out and counted."""


class Tokens:
    """The samples of one table of one output, at one version of every table involved."""

    def __init__(
        self,
        place: str | os.PathLike[str],
        table: str | None = None,
        *,
        columns: Sequence[str] = ("codes",),
        cut: Cut | None = None,
        choice: Choice | None = None,
        versions: Mapping[str, int] | None = None,
        normalised: bool = True,
        reading: Reading | None = None,
    ) -> None:
        """`place` is an output folder or `s3://` address; `table` one of its tables of tokens.

        Without one it is that which was last asked for of the newest renders, and without a
        `choice` the clips are those that the newest selection keeps.
        `columns` are columns of `TokenWindow`: `codes`, `latents` and what else a batch shall hold.
        Latents are `normalised` with the stored mean and deviation of their channels, or not.
        `versions` holds tables at earlier versions, as a state's `versions` says them. Raises
        `ValueError` for what is not there or was made from other renders, and `BadShardError`.
        """
        dataset = Dataset(place)
        self.storage, now = dataset.catalog.storage, dataset.catalog
        dataset.catalog = catalog = Snapshot(self.storage, versions or {})
        self.columns = checked(columns)
        self.cut = cut or Cut()
        self.normalised = normalised
        self.reading = reading or Reading()
        self._choice = choice or Choice()
        self.selection = dataset.selected(self._choice.selection)
        """Id of the selection whose kept clips take part; None if all do."""
        self.table = _table(now, table, self.selection, versions or {})
        kept = None if self.selection is None else dataset.kept(self.selection)
        self._choice.check_renders(now, self.table, kept)
        chosen = self._choice.made(dataset, self.table, self.selection)
        self.sides = chosen.sides
        count = Count(self.cut, chosen.among, chosen.sides)
        files = catalog.files(self.table)
        facts = survey(self.storage, self.table, files, count)
        self._choice.check(count.lacking)
        self.index = count.index(files)
        """Where the samples lie."""
        self.versions = dict(catalog.versions)
        """Version of every table that was read."""
        self.rate = Rate.parse(facts.get("rate", "1x1x1"))
        """Compression of the tokenizer; 1 where the shards do not say it."""
        self.channels = int(facts.get("channels") or 0)
        """Channels of its latents."""
        self._levels = json.loads(facts.get("levels", "null"))
        self._statistics = [json.loads(facts.get(k, "[]")) for k in ("latent_mean", "latent_std")]
        self._check()

    def _check(self) -> None:
        index = self.index
        if "latents" in self.columns and not self.channels:
            raise ValueError(f"{self.table} has no latents: its tokenizer is discrete")
        if "codes" in self.columns and self._levels == []:
            raise ValueError(f"{self.table} has no codes: its tokenizer is continuous")
        if not index.samples:
            raise ValueError(
                f"{self.table} has no samples: of {index.rows} rows {index.left_out} are left out"
                f" and {index.too_short} too short for a window"
            )
        if "latents" in self.columns and self.normalised and not all(self._statistics):
            raise ValueError(
                f"the shards of {self.table} do not say the mean and deviation of their latents:"
                " choose normalised=False"
            )

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Latent frames, height and width of the samples, each shape once."""
        return tuple(bucket.shape for bucket in self.index.buckets)

    @property
    def batch_columns(self) -> tuple[str, ...]:
        """What a batch holds of each sample."""
        return (*self.columns, *(name for side in self.sides for name in side.columns))

    @cached_property
    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of each latent channel, float32 [channels]."""
        mean, std = (torch.tensor(values, dtype=torch.float32) for values in self._statistics)
        return mean, std

    def open(self) -> Groups:
        """Its row groups, for one reader: nothing is open before, and nothing is shared."""
        reading = self.reading
        cache = DiskCache(reading.cache, reading.cache_bytes) if reading.cache else None
        source = Source(self.storage, self.table, reading.retry, cache)
        wanted = {*self.columns}
        wanted |= {"clip_id"} if self.sides else set()
        wanted |= {"context_latents"} if self.cut.latents else set()
        return Groups(source, self.index, self.cut, sorted(wanted), reading.memory_bytes)

    def aspects(self) -> dict[str, str | int]:
        """What decides the samples and what a batch holds, in words short enough for a state."""
        read = {"columns": self.columns, "normalised": self.normalised, **vars(self._choice)}
        del read["selection"]
        return {
            "table": self.table,
            "selection": self.selection or ALL,
            "version": self.versions[self.table],
            "rows": self.index.digest(),
            "samples": self.index.samples,
            "windows": f"{self.cut.latents}/{self.cut.stride}/{self.cut.causal_only}",
            "columns": digest(read),
        }


def opened(source: Tokens | str | os.PathLike[str], selection: str | None = None) -> Tokens:
    """A place as the samples that a selection keeps; samples as they are."""
    if not isinstance(source, Tokens):
        return Tokens(source, choice=Choice(selection=selection))
    if selection is not None:
        raise ValueError(f"{source.table} is opened already: give the selection to its Choice")
    return source


def digest(value: object) -> str:
    """12 hex digits that stand for a value that JSON can hold."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _table(
    catalog: Catalog, wanted: str | None, selection_id: str | None, versions: Mapping[str, int]
) -> str:
    """The table that is named, or of which a version is, or else the one that counts."""
    if wanted is not None:
        return lineage.named(catalog, "tokens", wanted)
    held = [name for name in versions if name.startswith("tokens/")]
    return held[0] if len(held) == 1 else lineage.default(catalog, "tokens", selection_id)
