"""Stage: from video files to tokens, with more and more readers: how many cores feed the device.

Clips are read as the tokenize step reads them, but for their timestamps, which it takes from PyAV
and a bare machine lacks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from benchmarks.gpu.kit import Kit, KitClip
from benchmarks.gpu.stage import Stage
from benchmarks.tokens import as_a_stage, one_by_one
from curation.media.clip_reader import ClipReader, read_rendered_file
from curation.render.rendered_clip import RenderedClip
from tokenizer.models.inference import DeviceConfig
from tokenizer.models.interface import Tokenizer
from tokenizer.models.load import load
from tokenizer.tokenize.clip_windows import ClipWindow
from tokenizer.tokenize.prefetch import ItemSource
from tokenizer.tokenize.windows import fit_size, pad_video, split_windows

NAME = "causal-8x8x8"


def measure(stage: Stage) -> None:
    short_side, max_frames, most = (64, 9, 2) if stage.quick else (256, 49, 400)
    batch = 1 if stage.quick else 16
    tokenizer = load(NAME, DeviceConfig(stage.device, "bf16" if stage.on_gpu else "fp32", batch))
    clips = [clip for clip in stage.kit.clips if clip.frames >= max_frames]
    clips = [clips[number % len(clips)] for number in range(min(most, 2 * len(clips)))]
    sources = [
        source(
            stage.kit, clip, f"{number}", tokenizer, short_side=short_side, max_frames=max_frames
        )
        for number, clip in enumerate(clips)
    ]
    frames, some = sum(clip.frames for clip in clips), min(12, len(sources))
    alone = sum(clip.frames for clip in clips[:some]) / one_by_one(
        sources[:some], lambda _video: None
    )
    stage.report(**{"one core decodes, frames/s": round(alone, 1)})
    as_a_stage(tokenizer, sources[:some], batch, 1)
    cores, fastest = len(os.sched_getaffinity(0)), alone
    for readers in (1,) if stage.quick else (16, 8, 4, 2, 1):
        if readers > cores or stage.seconds_left < 2 * frames / fastest:
            continue
        wall, waited = as_a_stage(tokenizer, sources, batch, readers)
        fastest = max(fastest, frames / wall)
        figures: dict[str, Any] = {
            "frames/s": round(frames / wall, 1), "share waiting for video": round(waited / wall, 3),
        }  # fmt: skip
        stage.report(**{f"{readers} readers": figures})


def source(
    kit: Kit, clip: KitClip, name: str, tokenizer: Tokenizer, *, short_side: int, max_frames: int
) -> ItemSource[ClipWindow]:
    """What reads a clip window by window."""
    windows = split_windows(clip.frames, tokenizer.rate.time, max_frames)
    size = fit_size(clip.width, clip.height, short_side, tokenizer.rate)
    path = kit.folder / clip.file
    rendered = RenderedClip(
        name, clip.group, str(path), clip.frames, clip.width, clip.height, clip.fps, 0, 0.0,
        sha256=clip.sha256, size_bytes=clip.size_bytes,
    )  # fmt: skip

    def read() -> Iterator[ClipWindow]:
        data = read_rendered_file(path, clip.sha256, clip.size_bytes)
        reader = ClipReader(data, width=size.width, height=size.height, frames=clip.frames)
        for window in windows:
            video = reader.read(range(window.start_frame, window.start_frame + window.frames))
            pixels = pad_video(video, window.pad_frames, size.pad_bottom, size.pad_right)
            yield ClipWindow(rendered, window, len(windows), size, pixels, None)

    return read
