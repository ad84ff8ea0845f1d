"""Windows in, rows out: pixels through the tokenizer, and back to see how much is kept.

Windows of several clips are gathered and go to the tokenizer in lists of a few whole batches of one
shape, so that a device need not wait. A list that fails fails all its clips, each of which can be
tried again alone. Slices of a stream need what the slice before them left, and go one by one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from curation.errors import InfrastructureError, MediaError
from tokenizer.models.interface import (
    Head,
    StreamingTokenizer,
    Tokenizer,
    Tokens,
    decode_windows,
    heads_of,
)
from tokenizer.tokenize.clip_windows import Piece, row_of
from tokenizer.tokenize.prefetch import Source, ahead
from tokenizer.tokenize.psnr import Measured, is_measured, psnr_db
from tokenizer.tokenize.shards import TokenWindow

GATHERED = 4
"""Whole batches that are gathered: while one is computed, the next is on its way to the device."""
_DEVICE_ERRORS = ("OutOfMemoryError", "AcceleratorError")
"""Names of torch's exceptions that blame the device, whatever the input."""


class Encoder(Protocol):
    """Makes rows of pieces, which come clip by clip, and each clip's in order."""

    rows: dict[str, list[TokenWindow]]
    """By clip, in any order."""
    failed: dict[str, Exception]
    """Clips that cannot be whole any more, and why."""

    def add(self, piece: Piece) -> None:
        """Takes a piece; raises what goes wrong with its clip alone."""

    def finish(self) -> None:
        """Encodes what was only gathered so far."""


def encode_clips(
    sources: Mapping[str, Source[Piece]], encoder: Encoder, readers: int
) -> dict[str, list[TokenWindow] | Exception]:
    """The rows of each clip in order, or what went wrong with it, by the clip's id.

    `readers` threads read the clips ahead. Raises `EnvironmentFaultError` at once.
    """
    with contextlib.closing(ahead(list(sources.values()), readers)) as read:
        for clip, found in zip(sources, read, strict=True):
            try:
                for piece in found:
                    encoder.add(piece)
                    if clip in encoder.failed:
                        break
            except InfrastructureError:
                raise
            except Exception as error:
                encoder.failed[clip] = error
    encoder.finish()
    return {
        clip: encoder.failed.get(clip)
        or sorted(encoder.rows.get(clip, []), key=lambda row: row.window)
        for clip in sources
    }


class WindowEncoder:
    """Encodes independent windows, many at a time."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        batch: int = 1,
        gathered: int | None = None,
        *,
        quality: Measured,
    ) -> None:
        """`gathered` windows go in one list; None for a few whole batches of `batch`."""
        self.rows: dict[str, list[TokenWindow]] = {}
        self.failed: dict[str, Exception] = {}
        self._tokenizer = tokenizer
        self._quality = quality
        self._batch = batch
        self._most = gathered or GATHERED * batch
        self._held: list[Piece] = []

    def add(self, piece: Piece) -> None:
        """See `Encoder`."""
        self._held.append(piece)
        if len(self._held) >= self._most:
            ready = self._whole_batches() or self._held
            taken = set(map(id, ready))
            self._held = [held for held in self._held if id(held) not in taken]
            self._encode(ready)

    def finish(self) -> None:
        """See `Encoder`."""
        held, self._held = self._held, []
        if held:
            self._encode(held)

    def _whole_batches(self) -> list[Piece]:
        shapes: dict[tuple[int, ...], list[Piece]] = {}
        for piece in self._held:
            shapes.setdefault(piece.pixels.shape, []).append(piece)
        size = self._batch
        return [piece for same in shapes.values() for piece in same[: len(same) // size * size]]

    def _encode(self, pieces: Sequence[Piece]) -> None:
        try:
            self._encode_together(pieces)
        except Exception as error:
            for piece in pieces:
                self.failed.setdefault(piece.clip.clip_id, _judged(error, piece, len(pieces) == 1))

    def _encode_together(self, pieces: Sequence[Piece]) -> None:
        found = self._tokenizer.encode([piece.pixels for piece in pieces])
        good = []
        for piece, tokens in zip(pieces, found, strict=True):
            try:
                check_finite(tokens, piece.window.index)
                good.append((piece, tokens))
            except MediaError as error:
                self.failed.setdefault(piece.clip.clip_id, error)
        looked_at = [
            place
            for place, (piece, _) in enumerate(good)
            if is_measured(piece.window.index, self._quality)
        ]
        psnr = dict(zip(looked_at, self._measured([good[p] for p in looked_at]), strict=True))
        for place, (piece, tokens) in enumerate(good):
            row = row_of(piece, tokens, self._tokenizer, psnr.get(place, {}))
            self.rows.setdefault(piece.clip.clip_id, []).append(row)

    def _measured(self, good: Sequence[tuple[Piece, Tokens]]) -> list[dict[Head, float]]:
        """What each head keeps of each piece; only one head's pictures are in memory."""
        measured: list[dict[Head, float]] = [{} for _ in good]
        for head in heads_of(self._tokenizer):
            videos = decode_windows([tokens for _, tokens in good], self._tokenizer, head)
            for psnr, (piece, _), video in zip(measured, good, videos, strict=True):
                psnr[head] = psnr_db(piece.real, piece.cropped(video))
        return measured


class SliceEncoder:
    """Encodes each clip as one stream, slice by slice."""

    def __init__(self, tokenizer: StreamingTokenizer, *, quality: Measured) -> None:
        self.rows: dict[str, list[TokenWindow]] = {}
        self.failed: dict[str, Exception] = {}
        self._tokenizer = tokenizer
        self._quality = quality

    def add(self, piece: Piece) -> None:
        """See `Encoder`."""
        if piece.window.index == 0:
            self._begin()
        try:
            tokens = self._stream.push(piece.pixels)
            check_finite(tokens, piece.window.index)
            psnr = {}
            if is_measured(piece.window.index, self._quality):
                psnr = {
                    head: psnr_db(piece.real, piece.cropped(decoder.push(tokens)))
                    for head, decoder in self._decoders.items()
                }
        except Exception as error:
            raise _judged(error, piece, alone=True) from error
        row = row_of(piece, tokens, self._tokenizer, psnr)
        self.rows.setdefault(piece.clip.clip_id, []).append(row)

    def _begin(self) -> None:
        self._stream = self._tokenizer.stream_encoder()
        heads = heads_of(self._tokenizer)
        self._decoders = {head: self._tokenizer.stream_decoder(head) for head in heads}

    def finish(self) -> None:
        """See `Encoder`."""


def check_finite(tokens: Tokens, window: int) -> None:
    """Raises `MediaError` for latents that are NaN or infinite."""
    if tokens.latents is not None and not np.isfinite(tokens.latents).all():
        raise MediaError("no_tokens", f"window {window}: the network gave NaN or infinite latents")


def _judged(error: Exception, piece: Piece, alone: bool) -> Exception:
    """What an error says of a piece: a refused window is one only if no other was with it."""
    if type(error).__name__ in _DEVICE_ERRORS:
        words = str(error).strip().partition("\n")[0]
        return InfrastructureError(f"{words}; if memory ran out, lower batch or short_side")
    if alone and isinstance(error, ValueError):
        return MediaError("no_tokens", f"window {piece.window.index}: {error}")
    return error
