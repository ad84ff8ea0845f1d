"""Signals of token windows: actions, poses and sensors at each latent frame.

A frame of a render shows one frame of the source, whatever the render's rate, and that frame has a
time on the recording's clock: signals are read there. Frames are pooled as the tokenizer pools
them, by the kind of the signal (`curation.signals.resample.pool`): the first latent of a causal
window is its first frame alone. Padding does not count.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from curation.render.rendered_clip import RenderedClip
from curation.signals.blocks import ClipSignals
from curation.signals.resample import pool, pooled_channels
from curation.signals.signal import Signal, Stamps
from tokenizer.tokenize.shards import BadTokensError, TokenWindow


def with_actions(
    clip: RenderedClip,
    rows: Sequence[TokenWindow],
    signals: ClipSignals,
    patterns: Sequence[str],
    time: int,
) -> list[TokenWindow]:
    """The windows of a clip, in order, with the signals whose names match a pattern.

    `time` is the tokenizer's frames a latent. Raises `BadTokensError` where a window has another
    number of latent frames than that gives.
    """
    chosen = [s for s in signals.signals if any(fnmatch.fnmatchcase(s.name, p) for p in patterns)]
    if not chosen:
        return list(rows)
    names = json.dumps([name for signal in chosen for name in pooled_channels(signal)])
    shown = source_frames(clip)
    result, start = [], 0
    for row in rows:
        groups = latent_groups(row.frames, time, causal_first=row.causal_first)
        padded = row.frames + row.pad_frames
        if len(latent_groups(padded, time, causal_first=row.causal_first)) - 1 != row.latent_frames:
            raise BadTokensError.of(
                row, f"{row.latent_frames} latent frames of {padded} frames, {time} to one"
            )
        start -= row.overlap_frames or 0
        frames = shown[start : start + row.frames]
        end = int(shown[start + row.frames])
        start += row.frames
        values = _pooled(signals, chosen, frames, end, groups)
        of_padding = ((0, row.latent_frames - len(values)), (0, 0))
        values = np.pad(values, of_padding, constant_values=np.nan)
        result.append(replace(row, actions=values.tobytes(), action_names=names))
    return result


def source_frames(clip: RenderedClip) -> Stamps:
    """For each frame of a render the clip's frame that it shows, and the next one: [frames + 1]."""
    count = clip.frames
    numbers = np.array([clip.source_frame(frame) for frame in range(count + 1)], np.int64)
    return numbers - clip.start_frame


def latent_groups(frames: int, time: int, *, causal_first: bool) -> Stamps:
    """The first frame of each latent, and the end of the last: int64 [latents + 1]."""
    starts = np.arange(1 if causal_first else 0, frames, time)
    first = [0] if causal_first else []
    return np.array([*first, *starts.tolist(), frames], np.int64)


def _pooled(
    signals: ClipSignals, chosen: Sequence[Signal], frames: Stamps, end: int, groups: Stamps
) -> np.ndarray:
    """Little-endian float32 [latents, numbers], NaN where a signal is invalid."""
    parts = []
    for signal in chosen:
        pooled = pool(signal, signals.at(signal, frames, end), groups)
        parts.append(np.where(pooled.valid, pooled.values, np.nan))
    return np.ascontiguousarray(np.concatenate(parts, axis=1), np.dtype("<f4"))
