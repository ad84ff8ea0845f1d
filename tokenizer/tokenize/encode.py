"""Windows to rows: tokens of each window, and the PSNR of decoding them again.

Windows of several clips go to the tokenizer in lists of a few full batches of one shape, so that a
device need not wait. A list that fails fails all its clips, each of which can be retried alone.
Slices of a stream need the state after the slice before them, and go one by one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from curation.device_memory import DeviceMemory
from curation.errors import InfrastructureError, MediaError
from tokenizer.models.interface import (
    Head,
    StreamingTokenizer,
    Tokenizer,
    Tokens,
    decode_windows,
    heads_of,
)
from tokenizer.tokenize.clip_windows import ClipWindow, token_row
from tokenizer.tokenize.prefetch import ItemSource, prefetch
from tokenizer.tokenize.psnr import MeasuredWindows, is_measured, psnr_db
from tokenizer.tokenize.shards import TokenWindow

BATCHES_PER_CALL = 4
"""Full batches in a list: while one is computed, the next is copied to the device."""
_DEVICE_ERROR = "AcceleratorError"
"""torch's exception that is the device's fault, never the input's."""


class RowEncoder(Protocol):
    """Makes rows of windows, which come clip by clip, and each clip's in order."""

    rows: dict[str, list[TokenWindow]]
    """By clip, in any order."""
    errors: dict[str, Exception]
    """Why a clip failed, by clip."""

    def add(self, clip_window: ClipWindow) -> None:
        """Takes a window; raises an error of its clip alone."""

    def finish(self) -> None:
        """Encodes the windows that are still buffered."""


def encode_clips(
    sources: Mapping[str, ItemSource[ClipWindow]], encoder: RowEncoder, readers: int
) -> dict[str, list[TokenWindow] | Exception]:
    """The rows of each clip in order, or its error, by the clip's id.

    `readers` threads read the clips ahead. Raises `InfrastructureError` at once.
    """
    with contextlib.closing(prefetch(list(sources.values()), readers)) as clips:
        for clip_id, clip_windows in zip(sources, clips, strict=True):
            try:
                for clip_window in clip_windows:
                    encoder.add(clip_window)
                    if clip_id in encoder.errors:
                        break
            except InfrastructureError:
                raise
            except Exception as error:
                encoder.errors[clip_id] = error
    encoder.finish()
    return {
        clip_id: encoder.errors.get(clip_id)
        or sorted(encoder.rows.get(clip_id, []), key=lambda row: row.window)
        for clip_id in sources
    }


class WindowEncoder:
    """Encodes independent windows, many at a time."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        batch: int = 1,
        list_size: int | None = None,
        *,
        quality: MeasuredWindows,
        memory: DeviceMemory | None = None,
    ) -> None:
        """`list_size` windows go in one list; by default a few full batches of `batch`."""
        self.rows: dict[str, list[TokenWindow]] = {}
        self.errors: dict[str, Exception] = {}
        self._tokenizer = tokenizer
        self._quality = quality
        self._batch = batch
        self._list_size = list_size or BATCHES_PER_CALL * batch
        self._buffer: list[ClipWindow] = []
        self._memory = memory or DeviceMemory()

    def add(self, clip_window: ClipWindow) -> None:
        """See `RowEncoder`."""
        self._buffer.append(clip_window)
        if len(self._buffer) >= self._list_size:
            ready = self._full_batches() or self._buffer
            ready_ids = set(map(id, ready))
            self._buffer = [w for w in self._buffer if id(w) not in ready_ids]
            self._encode(ready)

    def finish(self) -> None:
        """See `RowEncoder`."""
        clip_windows, self._buffer = self._buffer, []
        if clip_windows:
            self._encode(clip_windows)

    def _full_batches(self) -> list[ClipWindow]:
        by_shape: dict[tuple[int, ...], list[ClipWindow]] = {}
        for clip_window in self._buffer:
            by_shape.setdefault(clip_window.pixels.shape, []).append(clip_window)
        size = self._batch
        return [w for group in by_shape.values() for w in group[: len(group) // size * size]]

    def _encode(self, clip_windows: Sequence[ClipWindow]) -> None:
        try:
            found = self._memory.run(self._encoded_rows, clip_windows)
        except Exception as error:
            is_alone = len(clip_windows) == 1
            for clip_window in clip_windows:
                clip_error = _clip_error(error, clip_window, is_alone)
                self.errors.setdefault(clip_window.clip.clip_id, clip_error)
        else:
            for clip_id, row in found:
                self.rows.setdefault(clip_id, []).append(row)

    def _encoded_rows(self, clip_windows: Sequence[ClipWindow]) -> list[tuple[str, TokenWindow]]:
        """The rows of windows that have tokens, with their clips' ids."""
        encoded = []
        tokens_list = self._tokenizer.encode([w.pixels for w in clip_windows])
        for clip_window, tokens in zip(clip_windows, tokens_list, strict=True):
            try:
                check_finite(tokens, clip_window.window.index)
                encoded.append((clip_window, tokens))
            except MediaError as error:
                self.errors.setdefault(clip_window.clip.clip_id, error)
        measured = [
            index
            for index, (clip_window, _) in enumerate(encoded)
            if is_measured(clip_window.window.index, self._quality)
        ]
        psnr = dict(zip(measured, self._psnr_db([encoded[i] for i in measured]), strict=True))
        return [
            (clip_window.clip.clip_id,
             token_row(clip_window, tokens, self._tokenizer, psnr.get(index, {})))
            for index, (clip_window, tokens) in enumerate(encoded)
        ]  # fmt: skip

    def _psnr_db(self, encoded: Sequence[tuple[ClipWindow, Tokens]]) -> list[dict[Head, float]]:
        """PSNR of each window by head; decoded video of only one head is in memory at a time."""
        psnr: list[dict[Head, float]] = [{} for _ in encoded]
        for head in heads_of(self._tokenizer):
            videos = decode_windows([tokens for _, tokens in encoded], self._tokenizer, head)
            for by_head, (clip_window, _), video in zip(psnr, encoded, videos, strict=True):
                by_head[head] = psnr_db(clip_window.unpadded, clip_window.crop(video))
        return psnr


class SliceEncoder:
    """Encodes each clip as one stream, slice by slice."""

    def __init__(
        self,
        tokenizer: StreamingTokenizer,
        *,
        quality: MeasuredWindows,
        memory: DeviceMemory | None = None,
    ) -> None:
        self.rows: dict[str, list[TokenWindow]] = {}
        self.errors: dict[str, Exception] = {}
        self._tokenizer = tokenizer
        self._quality = quality
        self._memory = memory or DeviceMemory()

    def add(self, clip_window: ClipWindow) -> None:
        """See `RowEncoder`."""
        if clip_window.window.index == 0:
            self._stream = self._tokenizer.stream_encoder()
            heads = heads_of(self._tokenizer)
            self._decoders = {head: self._tokenizer.stream_decoder(head) for head in heads}
        try:
            (row,) = self._memory.run(self._encoded_row, [clip_window])
        except Exception as error:
            raise _clip_error(error, clip_window, is_alone=True) from error
        self.rows.setdefault(clip_window.clip.clip_id, []).append(row)

    def _encoded_row(self, clip_windows: Sequence[ClipWindow]) -> list[TokenWindow]:
        (clip_window,) = clip_windows
        window = clip_window.window.index
        tokens = self._stream.push(clip_window.pixels)
        check_finite(tokens, window)
        psnr = {}
        if is_measured(window, self._quality):
            psnr = {
                head: psnr_db(clip_window.unpadded, clip_window.crop(decoder.push(tokens)))
                for head, decoder in self._decoders.items()
            }
        return [token_row(clip_window, tokens, self._tokenizer, psnr)]

    def finish(self) -> None:
        """See `RowEncoder`."""


def check_finite(tokens: Tokens, window: int) -> None:
    """Raises `MediaError` for latents that are NaN or infinite."""
    if tokens.latents is not None and not np.isfinite(tokens.latents).all():
        raise MediaError("no_tokens", f"window {window}: the network gave NaN or infinite latents")


def _clip_error(error: Exception, clip_window: ClipWindow, is_alone: bool) -> Exception:
    """The error of a window's clip: a refused list is the window's fault only if it is alone.

    Any other error than a `MediaError` has the stage encode each clip alone.
    """
    if isinstance(error, MediaError) and not is_alone:
        return RuntimeError(f"one of {clip_window.clip.clip_id} and others: {error}")
    if type(error).__name__ == _DEVICE_ERROR:
        return InfrastructureError(str(error).strip().partition("\n")[0])
    if is_alone and isinstance(error, ValueError):
        return MediaError("no_tokens", f"window {clip_window.window.index}: {error}")
    return error
