"""Signals of windows that overlap, and of windows that are padded to their whole length."""

import dataclasses

import numpy as np
import pytest

from curation.signals.blocks import ClipSignals
from curation.signals.clock import NS
from curation.signals.signal import Signal
from tests.tokenizer.clip_windows import clip_file
from tokenizer.tokenize.actions import with_actions
from tokenizer.tokenize.shards import BadTokensError, TokenWindow
from tokenizer.tokenize.windows import split_windows


def rows_of(frames: int, **split) -> list[TokenWindow]:
    """Windows of 17 frames, as 3 latent frames of 8."""
    blank = dict.fromkeys(field.name for field in dataclasses.fields(TokenWindow))
    return [
        TokenWindow(**blank | {
            "window": window.index, "frames": window.frames, "pad_frames": window.pad_frames,
            "causal_first": True, "overlap_frames": window.overlap_frames, "latent_frames": 3,
        })
        for window in split_windows(frames, 8, 17, **split)
    ]  # fmt: skip


def counter(frames: int) -> ClipSignals:
    """A signal that is the number of the frame."""
    times = np.arange(frames + 1, dtype=np.int64) * NS // 24
    made = Signal("n", "hold", times[:-1], np.arange(float(frames))[:, None], ("n",))
    return ClipSignals(times, (made,), (None,))


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ({"tail": "overlap"}, [[0, 8, 16], [7, 15, 23]]),
        ({"tail": "drop"}, [[0, 8, 16]]),
        ({"is_fixed": True}, [[0, 8, 16], [17, 23, np.nan]]),
    ],
)
def test_each_latent_has_the_signal_of_its_own_frames(split, expected):
    clip = clip_file("a", 24)
    rows = with_actions(clip, rows_of(24, **split), counter(24), ("*",), 8)
    found = [np.frombuffer(row.actions, "<f4") for row in rows]
    assert len(found) == len(expected)
    for values, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(values, np.array(wanted, np.float32))


def test_a_window_of_another_length_is_refused():
    (row,) = rows_of(17)
    wrong = dataclasses.replace(row, latent_frames=2)
    with pytest.raises(BadTokensError, match="2 latent frames of 17 frames, 8 to one"):
        with_actions(clip_file("a", 17), [wrong], counter(17), ("*",), 8)
