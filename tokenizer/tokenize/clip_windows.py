"""Reading a rendered clip as the windows that a tokenizer takes."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy.typing as npt

from curation.media.sandbox import Limits
from curation.render.rendered_clip import ClipFile, frames_of, opened
from tokenizer.models.interface import Head, StreamingTokenizer, Tokenizer, Tokens, Video
from tokenizer.tokenize.shards import TokenWindow
from tokenizer.tokenize.windows import Picture, Window, padded

__all__ = ["ClipFile", "Piece", "pieces"]


@dataclass(frozen=True, eq=False, slots=True)
class Piece:
    """One window of a clip with its pixels."""

    clip: ClipFile
    window: Window
    windows: int
    """How many the clip has."""
    picture: Picture
    pixels: Video
    """As the tokenizer takes them: padded in time and space."""
    since_start: Fraction | None
    """Seconds from the clip's first frame to the window's, by the file's own times; None if those
    say nothing."""

    @property
    def real(self) -> Video:
        """The pixels that are no padding: a view."""
        return self.cropped(self.pixels)

    def cropped(self, video: Video) -> Video:
        """A video of the pixels' shape without padding."""
        return video[: self.window.frames, : self.picture.height, : self.picture.width]


def pieces(
    clip: ClipFile, windows: list[Window], picture: Picture, limits: Limits
) -> Generator[Piece, None, None]:
    """The clip window by window, in order; raises `MediaError` and what else goes wrong."""
    with opened(clip) as path:
        read, times = frames_of(path, clip, picture.width, picture.height, limits)
        for window in windows:
            start = window.start_frame
            video = read(range(start, start + window.frames))
            pixels = padded(video, window.pad_frames, picture.pad_bottom, picture.pad_right)
            at = times.since_start(start) if times else None
            yield Piece(clip, window, len(windows), picture, pixels, at)


def row_of(
    piece: Piece, tokens: Tokens, tokenizer: Tokenizer, psnr_db: Mapping[Head, float]
) -> TokenWindow:
    """The row; `psnr_db` says what each head keeps, where that was measured."""
    clip, window, picture = piece.clip, piece.window, piece.picture
    start_s, start_pts = _start(piece)
    frames, height, width = _shape(tokens)
    return TokenWindow(
        clip_id=clip.clip_id,
        source_id=clip.source_id,
        window=window.index,
        windows=piece.windows,
        start_frame=clip.source_frame(window.start_frame),
        start_s=start_s,
        start_pts=start_pts,
        time_base=None if start_pts is None else clip.time_base,
        frames=window.frames,
        pad_frames=window.pad_frames,
        fps=clip.fps,
        causal_first=window.latents_before == 0,
        context_latents=_context(tokenizer, window.latents_before),
        pixel_height=picture.height,
        pixel_width=picture.width,
        pad_bottom=picture.pad_bottom,
        pad_right=picture.pad_right,
        latent_frames=frames,
        latent_height=height,
        latent_width=width,
        channels=0 if tokens.latents is None else len(tokens.latents),
        codes=_bytes(tokens.codes, "<u2"),
        codes_dtype=None if tokens.codes is None else "uint16",
        latents=_bytes(tokens.latents, "<f2"),
        latents_dtype=None if tokens.latents is None else "float16",
        tokenizer=tokenizer.name,
        tokenizer_digest=tokenizer.digest,
        psnr_codes_db=psnr_db.get("codes"),
        psnr_latents_db=psnr_db.get("latents"),
    )


def _start(piece: Piece) -> tuple[float, int | None]:
    """Where the window starts in the source: in seconds, and in ticks where they are known."""
    clip, frame = piece.clip, piece.window.start_frame
    since = Fraction(0) if frame == 0 else piece.since_start
    if since is None:
        return clip.start_s + frame / clip.fps, None
    pts = None
    if clip.start_pts is not None and clip.time_base is not None:
        pts = clip.start_pts + round(since / Fraction(clip.time_base))
    return clip.start_s + float(since), pts


def _shape(tokens: Tokens) -> tuple[int, int, int]:
    if tokens.codes is not None:
        frames, height, width = tokens.codes.shape
    elif tokens.latents is not None:
        _, frames, height, width = tokens.latents.shape
    else:
        raise ValueError("tokens with neither codes nor latents")
    return frames, height, width


def _context(tokenizer: Tokenizer, latents_before: int) -> int:
    if latents_before and isinstance(tokenizer, StreamingTokenizer):
        return min(tokenizer.context, latents_before)
    return 0


def _bytes(array: npt.NDArray[Any] | None, dtype: str) -> bytes | None:
    return None if array is None else array.astype(dtype).tobytes()
