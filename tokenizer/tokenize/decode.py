"""From stored tokens back to pictures: what a model would see, for people to look at.

Independent windows decode alone, slices of a stream one after the other. A single slice decodes
exactly from as many latent frames before it as its row says. Padding is cropped. The rows are all
that it takes, beside the tokenizer: neither clips nor sources need to be there.
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
    Head,
    Rate,
    StreamingTokenizer,
    Tokenizer,
    Tokens,
    Video,
    decode_windows,
)
from tokenizer.models.load import load
from tokenizer.tokenize.shards import BadTokensError, TokenWindow, read_codes, read_latents


class TokensNotFoundError(ReelmillError, ValueError):
    """There are no such tokens, or they cannot be decoded; the message says what there is."""


def decode_clip(rows: Sequence[TokenWindow], tokenizer: Tokenizer, *, head: Head) -> Video:
    """The clip, uint8 [n, H, W, 3], from all its rows in any order, without padding.

    Raises `BadTokensError` for rows that are missing, damaged, or by another tokenizer.
    """
    ordered = sorted(rows, key=lambda row: row.window)
    _check_whole(ordered)
    check_tokenizer(ordered, tokenizer)
    found = [_tokens(row, tokenizer, head) for row in ordered]
    if all(row.causal_first for row in ordered):
        videos = decode_windows(found, tokenizer, head)
    else:
        decoder = _streaming(tokenizer).stream_decoder(head)
        videos = [decoder.push(tokens) for tokens in found]
    return np.concatenate([_cropped(v, row) for v, row in zip(videos, ordered, strict=True)])


def decode_window(
    rows: Sequence[TokenWindow], window: int, tokenizer: Tokenizer, *, head: Head
) -> Video:
    """One window, uint8 [frames, H, W, 3], from its own row and those that hold its context.

    Raises `BadTokensError` as `decode_clip` does; rows beyond the context may be missing.
    """
    by_window = {row.window: row for row in rows}
    if window not in by_window:
        raise BadTokensError(f"there is no window {window} among {sorted(by_window)}")
    row = by_window[window]
    used = _with_context(by_window, row)
    check_tokenizer(used, tokenizer)
    found = [_tokens(each, tokenizer, head) for each in used]
    if row.causal_first:
        return _cropped(decode_windows(found, tokenizer, head)[0], row)
    whole = sum(each.latent_frames for each in used)
    latents = row.context_latents + row.latent_frames
    start = used[0].causal_first and whole == latents
    decoder = _streaming(tokenizer).stream_decoder(head, start)
    video = decoder.push(_last(found, latents))
    return _cropped(video[-row.latent_frames * tokenizer.rate.time :], row)


def check_tokenizer(rows: Sequence[TokenWindow], tokenizer: Tokenizer) -> None:
    """Raises `BadTokensError` unless this very tokenizer made the rows."""
    for row in rows:
        if row.tokenizer_digest != tokenizer.digest:
            raise BadTokensError.of(
                row,
                f"made by {row.tokenizer} {row.tokenizer_digest[:8]}, not by"
                f" {tokenizer.name} {tokenizer.digest[:8]}",
            )


def _check_whole(rows: Sequence[TokenWindow]) -> None:
    if not rows:
        raise BadTokensError("a clip needs at least one row")
    first = rows[0]
    for row in rows:
        if row.clip_id != first.clip_id:
            raise BadTokensError.of(row, f"it is among rows of clip {first.clip_id}")
    found = [row.window for row in rows]
    if found != list(range(first.windows)):
        raise BadTokensError(
            f"clip {first.clip_id}: of its {first.windows} windows there are {found}"
        )


def _with_context(rows: dict[int, TokenWindow], row: TokenWindow) -> list[TokenWindow]:
    """The row, after as many of those before it as its context reaches into."""
    used = [row]
    missing = row.context_latents
    while missing > 0:
        before = rows.get(used[0].window - 1)
        if before is None or before.clip_id != row.clip_id:
            raise BadTokensError.of(
                row, f"window {used[0].window - 1} is not there, which its decoding begins with"
            )
        used.insert(0, before)
        missing -= before.latent_frames
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


def _check_shape(row: TokenWindow, rate: Rate) -> None:
    later = row.latent_frames - row.causal_first
    pixels = (
        row.causal_first + later * rate.time,
        row.latent_height * rate.space,
        row.latent_width * rate.space,
    )
    said = (
        row.frames + row.pad_frames,
        row.pixel_height + row.pad_bottom,
        row.pixel_width + row.pad_right,
    )
    if pixels != said:
        frames, height, width = said
        raise BadTokensError.of(
            row,
            f"{frames} frames of {width} × {height} pixels do not have {row.latent_frames} latent"
            f" frames of {row.latent_width} × {row.latent_height} at {rate}",
        )


def _last(found: Sequence[Tokens], latents: int) -> Tokens:
    """The last so many latent frames of consecutive tokens."""
    codes = [tokens.codes for tokens in found if tokens.codes is not None]
    if codes:
        return Tokens(np.concatenate(codes)[-latents:], None)
    rest = [tokens.latents for tokens in found if tokens.latents is not None]
    return Tokens(None, np.concatenate(rest, axis=1)[:, -latents:])


def _cropped(video: Video, row: TokenWindow) -> Video:
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

    `table` names the tokens, or else they are those that count: of the newest renders, the last
    that were made. `weights` names the tokenizer if it is not shipped.
    Raises `TokensNotFoundError`, also for tokens that are damaged or of another tokenizer.
    """
    name = _table(dataset, table)
    rows = _rows(dataset, name, clip)
    try:
        tokenizer = load(weights or rows[0].tokenizer)
        check_tokenizer(rows, tokenizer)
    except (ValueError, FileNotFoundError) as error:
        raise TokensNotFoundError(f"{name}: {error}; give the right ones with --weights") from error
    try:
        return decode_clip(rows, tokenizer, head=head), rows[0].fps
    except BadTokensError as error:
        raise TokensNotFoundError(f"{name}: {error}") from error


def _rows(dataset: Dataset, name: str, clip: str) -> list[TokenWindow]:
    where = pc.starts_with(pc.field("clip_id"), clip)
    found = dataset.catalog.read(name, TokenWindow, where=where)
    ids = sorted(set(found["clip_id"].to_pylist()))
    if len(ids) != 1:
        words = f"is the start of {len(ids)} clips" if ids else "has no tokens"
        others = [each for each in dataset.catalog.names("tokens") if each != name]
        more = f"; other tables are {', '.join(others)}" if others and not ids else ""
        raise TokensNotFoundError(f"{clip!r} {words} in {name}{_examples(dataset, name)}{more}")
    rows: list[TokenWindow] = records.records(TokenWindow, found)
    return rows


def _table(dataset: Dataset, wanted: str | None) -> str:
    catalog = dataset.catalog
    try:
        if wanted is not None:
            return lineage.named(catalog, "tokens", wanted)
        return lineage.default(catalog, "tokens", dataset.latest_selection())
    except lineage.LineageError as error:
        raise TokensNotFoundError(str(error)) from error


def _examples(dataset: Dataset, name: str) -> str:
    ids = sorted(dataset.catalog.values(name, TokenWindow, "clip_id"))[:3]
    return f"; there are {', '.join(i[:8] for i in ids)} and others" if ids else ""
