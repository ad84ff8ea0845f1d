"""Decodes stored tokens to video.

Independent windows decode alone, slices of a stream one after the other. A single slice decodes
exactly from as many latent frames before it as its row says. Padding is cropped. Only the rows and
the tokenizer are needed, neither clips nor sources.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc

from curation import lineage, records
from curation.dataset import Dataset
from curation.errors import ReelmillError
from tokenizer.models.interface import (
    Compression,
    Head,
    StreamingTokenizer,
    Tokenizer,
    Tokens,
    Video,
    decode_windows,
)
from tokenizer.models.load import load
from tokenizer.tokenize.shards import BadTokensError, TokenWindow, read_codes, read_latents


class TokensNotFoundError(ReelmillError, ValueError):
    """Missing tokens, or tokens that cannot be decoded; the message lists what exists."""


def decode_clip(rows: Sequence[TokenWindow], tokenizer: Tokenizer, *, head: Head) -> Video:
    """The clip, uint8 [n, H, W, 3], from all its rows in any order, without padding.

    Each frame is there once; frames that are in no window are not. Raises `BadTokensError` for rows
    that are missing, damaged, or by another tokenizer.
    """
    ordered = sorted(rows, key=lambda row: row.window)
    _check_complete(ordered)
    check_tokenizer(ordered, tokenizer)
    tokens_list = [_tokens(row, tokenizer, head) for row in ordered]
    if all(row.causal_first for row in ordered):
        videos = decode_windows(tokens_list, tokenizer, head)
    else:
        decoder = _streaming(tokenizer).stream_decoder(head)
        videos = [decoder.push(tokens) for tokens in tokens_list]
    pairs = zip(videos, ordered, strict=True)
    return np.concatenate([_crop(video, row)[row.overlap_frames or 0 :] for video, row in pairs])


def decode_window(
    rows: Sequence[TokenWindow], window: int, tokenizer: Tokenizer, *, head: Head
) -> Video:
    """One window, uint8 [frames, H, W, 3], from its own row and those of its context.

    Raises `BadTokensError` as `decode_clip` does; rows beyond the context may be missing.
    """
    by_window = {row.window: row for row in rows}
    if window not in by_window:
        raise BadTokensError(f"there is no window {window} among {sorted(by_window)}")
    row = by_window[window]
    used = _with_context(by_window, row)
    check_tokenizer(used, tokenizer)
    tokens_list = [_tokens(used_row, tokenizer, head) for used_row in used]
    if row.causal_first:
        return _crop(decode_windows(tokens_list, tokenizer, head)[0], row)
    latents = row.context_latents + row.latent_frames
    start = used[0].causal_first and sum(r.latent_frames for r in used) == latents
    decoder = _streaming(tokenizer).stream_decoder(head, start)
    video = decoder.push(_last_latents(tokens_list, latents))
    return _crop(video[-row.latent_frames * tokenizer.rate.time :], row)


def check_tokenizer(rows: Sequence[TokenWindow], tokenizer: Tokenizer) -> None:
    """Raises `BadTokensError` unless this tokenizer made the rows."""
    for row in rows:
        if row.tokenizer_digest != tokenizer.digest:
            raise BadTokensError.of(
                row,
                f"made by {row.tokenizer} {row.tokenizer_digest[:8]}, not by"
                f" {tokenizer.name} {tokenizer.digest[:8]}",
            )


def _check_complete(rows: Sequence[TokenWindow]) -> None:
    if not rows:
        raise BadTokensError("a clip needs at least one row")
    first = rows[0]
    for row in rows:
        if row.clip_id != first.clip_id:
            raise BadTokensError.of(row, f"it is among rows of clip {first.clip_id}")
    windows = [row.window for row in rows]
    if windows != list(range(first.windows)):
        raise BadTokensError(
            f"clip {first.clip_id}: of its {first.windows} windows there are {windows}"
        )


def _with_context(rows: dict[int, TokenWindow], row: TokenWindow) -> list[TokenWindow]:
    """The row, after as many rows before it as its context spans."""
    used = [row]
    missing = row.context_latents
    while missing > 0:
        previous = rows.get(used[0].window - 1)
        if previous is None or previous.clip_id != row.clip_id:
            raise BadTokensError.of(
                row, f"its decoding needs window {used[0].window - 1}, which is missing"
            )
        used.insert(0, previous)
        missing -= previous.latent_frames
    return used


def _tokens(row: TokenWindow, tokenizer: Tokenizer, head: Head) -> Tokens:
    _check_shape(row, tokenizer.rate)
    if head == "codes":
        codes, size = read_codes(row), math.prod(tokenizer.levels)
        if int(codes.max()) >= size:
            raise BadTokensError.of(
                row, f"code {int(codes.max())} is beyond the codebook's {size} entries"
            )
        return Tokens(codes, None)
    latents = read_latents(row)
    if not np.isfinite(latents).all():
        raise BadTokensError.of(row, "latents are NaN or infinite")
    if len(latents) != tokenizer.channels:
        raise BadTokensError.of(row, f"{len(latents)} channels, not {tokenizer.channels}")
    return Tokens(None, latents)


def _check_shape(row: TokenWindow, rate: Compression) -> None:
    later = row.latent_frames - row.causal_first
    pixels = (
        row.causal_first + later * rate.time,
        row.latent_height * rate.space,
        row.latent_width * rate.space,
    )
    recorded = (
        row.frames + row.pad_frames,
        row.pixel_height + row.pad_bottom,
        row.pixel_width + row.pad_right,
    )
    if pixels != recorded:
        frames, height, width = recorded
        raise BadTokensError.of(
            row,
            f"{frames} frames of {width} × {height} pixels do not have {row.latent_frames} latent"
            f" frames of {row.latent_width} × {row.latent_height} at {rate}",
        )


def _last_latents(tokens_list: Sequence[Tokens], latents: int) -> Tokens:
    """The last `latents` latent frames of consecutive tokens."""
    codes = [tokens.codes for tokens in tokens_list if tokens.codes is not None]
    if codes:
        return Tokens(np.concatenate(codes)[-latents:], None)
    arrays = [tokens.latents for tokens in tokens_list if tokens.latents is not None]
    return Tokens(None, np.concatenate(arrays, axis=1)[:, -latents:])


def _crop(video: Video, row: TokenWindow) -> Video:
    return video[: row.frames, : row.pixel_height, : row.pixel_width]


def _streaming(tokenizer: Tokenizer) -> StreamingTokenizer:
    if not isinstance(tokenizer, StreamingTokenizer):
        raise BadTokensError(f"slices of a stream, which {tokenizer.name} cannot decode")
    return tokenizer


def decode_stored(
    dataset: Dataset,
    clip: str,
    head: Head,
    *,
    table: str | None = None,
    weights: str | None = None,
) -> tuple[Video, float]:
    """The clip whose id starts with `clip`, uint8 [n, H, W, 3], and its frames a second.

    `table` names the tokens; the default are the last made of the newest renders. `weights` names
    the tokenizer if it is not shipped. Raises `TokensNotFoundError`, also for tokens that are
    damaged or of another tokenizer.
    """
    try:
        if table is not None:
            name = lineage.resolve_table(dataset.catalog, "tokens", table)
        else:
            name = lineage.resolve_table(
                dataset.catalog, "tokens", None, dataset.latest_selection()
            )
    except lineage.LineageError as error:
        raise TokensNotFoundError(str(error)) from error
    rows = _clip_rows(dataset, name, clip)
    try:
        tokenizer = load(weights or rows[0].tokenizer)
        check_tokenizer(rows, tokenizer)
    except (ValueError, FileNotFoundError) as error:
        raise TokensNotFoundError(f"{name}: {error}; give the right ones with --weights") from error
    try:
        return decode_clip(rows, tokenizer, head=head), rows[0].fps
    except BadTokensError as error:
        raise TokensNotFoundError(f"{name}: {error}") from error


def _clip_rows(dataset: Dataset, name: str, clip: str) -> list[TokenWindow]:
    """The rows of the one clip whose id starts with `clip`."""
    catalog = dataset.catalog
    condition = pc.starts_with(pc.field("clip_id"), clip)
    rows: list[TokenWindow] = records.from_table(
        TokenWindow, catalog.read(name, TokenWindow, where=condition)
    )
    matches = {row.clip_id for row in rows}
    if len(matches) == 1:
        return rows
    problem = f"is the start of {len(matches)} clips" if matches else "has no tokens"
    message = f"{clip!r} {problem} in {name}"
    if clip_ids := sorted(catalog.values(name, TokenWindow, "clip_id"))[:3]:
        message += f"; there are {', '.join(clip_id[:8] for clip_id in clip_ids)} and others"
    tables = [table for table in catalog.names("tokens") if table != name]
    if tables and not matches:
        message += f"; other tables are {', '.join(tables)}"
    raise TokensNotFoundError(message)
