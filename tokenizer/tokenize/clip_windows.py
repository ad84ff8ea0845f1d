"""Reads a rendered clip as windows for a tokenizer, and makes the row of each window's tokens."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from curation.media.sandbox import Limits
from curation.render.rendered_clip import RenderedClip, frame_reader, open_rendered_clip
from tokenizer.models.interface import Head, StreamingTokenizer, Tokenizer, Tokens, Video
from tokenizer.tokenize.shards import BadTokensError, TokenWindow
from tokenizer.tokenize.windows import PaddedSize, Window, pad_video


@dataclass(frozen=True, eq=False, slots=True)
class ClipWindow:
    """One window of a clip with its pixels."""

    clip: RenderedClip
    window: Window
    windows: int
    """How many the clip has."""
    size: PaddedSize
    pixels: Video
    """Padded in time and space."""
    offset_s: Fraction | None
    """Seconds from the clip's first frame to the window's, by the file's own timestamps; None
    without these."""

    @property
    def unpadded(self) -> Video:
        """The pixels without padding: a view."""
        return self.crop(self.pixels)

    def crop(self, video: Video) -> Video:
        """A video of the pixels' shape without padding."""
        return video[: self.window.frames, : self.size.height, : self.size.width]


def read_windows(
    clip: RenderedClip, windows: list[Window], size: PaddedSize, limits: Limits
) -> Generator[ClipWindow, None, None]:
    """The clip window by window, in order; raises `MediaError`, and what else reading raises."""
    with open_rendered_clip(clip) as path:
        read, times = frame_reader(path, clip, size.scaled_width, size.scaled_height, limits)
        left, top = size.crop_left, size.crop_top
        for window in windows:
            start = window.start_frame
            video = read(range(start, start + window.frames))
            video = video[:, top : top + size.height, left : left + size.width]
            pixels = pad_video(video, window.pad_frames, size.pad_bottom, size.pad_right)
            offset_s = times.since_start(start) if times else None
            yield ClipWindow(clip, window, len(windows), size, pixels, offset_s)


def token_row(
    clip_window: ClipWindow, tokens: Tokens, tokenizer: Tokenizer, psnr_db: Mapping[Head, float]
) -> TokenWindow:
    """The row of a window; `psnr_db` is that of each head, where it was measured."""
    clip, window, size = clip_window.clip, clip_window.window, clip_window.size
    start_s, start_pts = _start(clip_window)
    if tokens.codes is not None:
        frames, height, width = tokens.codes.shape
    elif tokens.latents is not None:
        _, frames, height, width = tokens.latents.shape
    else:
        raise BadTokensError("tokens with neither codes nor latents")
    context = 0
    if window.latents_before and isinstance(tokenizer, StreamingTokenizer):
        context = min(tokenizer.context, window.latents_before)
    return TokenWindow(
        clip_id=clip.clip_id,
        source_id=clip.source_id,
        window=window.index,
        windows=clip_window.windows,
        start_frame=clip.source_frame(window.start_frame),
        start_s=start_s,
        start_pts=start_pts,
        time_base=None if start_pts is None else clip.time_base,
        frames=window.frames,
        pad_frames=window.pad_frames,
        fps=clip.fps,
        causal_first=window.latents_before == 0,
        context_latents=context,
        pixel_height=size.height,
        pixel_width=size.width,
        pad_bottom=size.pad_bottom,
        pad_right=size.pad_right,
        latent_frames=frames,
        latent_height=height,
        latent_width=width,
        channels=0 if tokens.latents is None else len(tokens.latents),
        codes=None if tokens.codes is None else tokens.codes.astype("<u2").tobytes(),
        codes_dtype=None if tokens.codes is None else "uint16",
        latents=None if tokens.latents is None else tokens.latents.astype("<f2").tobytes(),
        latents_dtype=None if tokens.latents is None else "float16",
        tokenizer=tokenizer.name,
        tokenizer_digest=tokenizer.digest,
        psnr_codes_db=psnr_db.get("codes"),
        psnr_latents_db=psnr_db.get("latents"),
        overlap_frames=window.overlap_frames,
        dropped_frames=window.dropped_frames,
        crop_left=size.crop_left,
        crop_top=size.crop_top,
        scaled_width=size.scaled_width,
        scaled_height=size.scaled_height,
    )


def _start(clip_window: ClipWindow) -> tuple[float, int | None]:
    """The window's start in the source: in seconds, and in `time_base` units where known."""
    clip, frame = clip_window.clip, clip_window.window.start_frame
    offset_s = Fraction(0) if frame == 0 else clip_window.offset_s
    if offset_s is None:
        return clip.start_s + frame / clip.fps, None
    pts = None
    if clip.start_pts is not None and clip.time_base is not None:
        pts = clip.start_pts + round(offset_s / Fraction(clip.time_base))
    return clip.start_s + float(offset_s), pts
