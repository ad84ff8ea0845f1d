"""From stored tokens back to pictures: what a model would see, for people to look at."""

from __future__ import annotations

from typing import Literal

import pyarrow.compute as pc

from curation import records
from curation.dataset import Dataset
from tokenizer.interface import Video
from tokenizer.load import load
from tokenizer.shards import TokenWindow
from tokenizer.tokenize import decode_clip


class TokensNotFoundError(ValueError):
    """There are no such tokens; the message says what there is."""


def decode_stored(
    dataset: Dataset,
    clip: str,
    head: Literal["codes", "latents"],
    *,
    table: str | None = None,
    weights: str | None = None,
) -> tuple[Video, float]:
    """The clip whose id starts with `clip`, uint8 [n, H, W, 3], and its frames a second.

    `table` names the tokens if there are several; `weights` the tokenizer if it is not shipped.
    Raises `TokensNotFoundError`, also for tokens of another tokenizer.
    """
    name = _table(dataset, table)
    where = pc.starts_with(pc.field("clip_id"), clip)
    found = dataset.catalog.read(name, TokenWindow, where=where)
    ids = sorted(set(found["clip_id"].to_pylist()))
    if len(ids) != 1:
        words = f"is the start of {len(ids)} clips" if ids else "has no tokens"
        raise TokensNotFoundError(f"{clip!r} {words} in {name}{_examples(dataset, name)}")
    rows: list[TokenWindow] = records.records(TokenWindow, found.sort_by("window"))
    try:
        return decode_clip(rows, load(weights or rows[0].tokenizer), head=head), rows[0].fps
    except (ValueError, FileNotFoundError) as error:
        raise TokensNotFoundError(f"{error}; give the right ones with --weights") from error


def _table(dataset: Dataset, wanted: str | None) -> str:
    names = dataset.catalog.names("tokens")
    fitting = [n for n in names if wanted is None or n in (wanted, f"tokens/{wanted}")]
    if len(fitting) != 1:
        there = ", ".join(names) or "none; run `reelmill tokenize` first"
        raise TokensNotFoundError(f"name one table of tokens; there are {there}")
    return fitting[0]


def _examples(dataset: Dataset, name: str) -> str:
    ids = sorted(dataset.catalog.values(name, TokenWindow, "clip_id"))[:3]
    return f"; there are {', '.join(i[:8] for i in ids)} and others" if ids else ""
