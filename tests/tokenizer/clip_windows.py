"""Windows and rows of synthetic clips, without files."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from curation.render.rendered_clip import RenderedClip
from tokenizer.models.interface import Tokenizer, Video
from tokenizer.tokenize.clip_windows import ClipWindow
from tokenizer.tokenize.encode import SliceEncoder, WindowEncoder
from tokenizer.tokenize.shards import TokenWindow
from tokenizer.tokenize.windows import WindowMode, fit_size, pad_video, split_windows


def clip_file(name: str, frames: int, **overrides: Any) -> RenderedClip:
    """A clip of 96 × 64 pixels and 24 frames a second that starts at frame 10 of its source."""
    fields = {"uri": f"clips/{name}.mp4", "width": 96, "height": 64, "fps": 24.0, "start_frame": 10}
    fields |= {"start_s": 0.5, "start_pts": 1000, "time_base": "1/2400", **overrides}
    return RenderedClip(name, "s0", frames=frames, **fields)


def windows_of(
    clip: RenderedClip,
    video: Video,
    tokenizer: Tokenizer,
    max_frames: int,
    mode: WindowMode = "independent",
) -> Iterator[ClipWindow]:
    """The clip's windows, cut from its frames."""
    size = fit_size(video.shape[2], video.shape[1], 256, tokenizer.rate)
    windows = split_windows(len(video), tokenizer.rate.time, max_frames, mode)
    for window in windows:
        real = video[window.start_frame : window.start_frame + window.frames]
        pixels = pad_video(real, window.pad_frames, size.pad_bottom, size.pad_right)
        offset_s = Fraction(window.start_frame) / Fraction(clip.fps)
        yield ClipWindow(clip, window, len(windows), size, pixels, offset_s)


def rows_of(
    clip: RenderedClip,
    video: Video,
    tokenizer: Tokenizer,
    max_frames: int,
    mode: WindowMode = "independent",
) -> list[TokenWindow]:
    """The clip's rows."""
    encoder_class = SliceEncoder if mode == "stream" else WindowEncoder
    encoder = encoder_class(tokenizer, quality="all")
    for clip_window in windows_of(clip, video, tokenizer, max_frames, mode):
        encoder.add(clip_window)
    encoder.finish()
    assert not encoder.errors
    return encoder.rows[clip.clip_id]
