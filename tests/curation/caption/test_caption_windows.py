import dataclasses

import numpy as np
import pytest

from curation.caption.base import CaptionClip
from curation.caption.windows import CaptionWindow, frame_windows, shrunk_size, split_windows
from curation.errors import MediaError
from curation.media.sandbox import Limits


@pytest.mark.parametrize(
    ("frames", "window_s", "bounds"),
    [
        (48, None, [(0, 48)]), (48, 2.0, [(0, 48)]), (48, 1.0, [(0, 24), (24, 48)]),
        (49, 1.0, [(0, 16), (16, 33), (33, 49)]), (2, 0.01, [(0, 1), (1, 2)]),
    ],
)  # fmt: skip
def test_windows_are_equal_and_cover_the_clip(frames, window_s, bounds):
    windows = split_windows(frames, 24.0, window_s)
    assert [(w.start, w.end) for w in windows] == bounds
    assert [w.number for w in windows] == list(range(len(bounds)))


@pytest.mark.parametrize(
    ("window", "max_frames", "frames"),
    [
        ((0, 48), 4, [6, 18, 30, 42]), ((24, 48), 1, [36]), ((0, 3), 8, [0, 1, 2]),
        ((10, 15), 2, [11, 13]),
    ],
)  # fmt: skip
def test_the_middle_frame_of_each_part_is_sampled(window, max_frames, frames):
    assert CaptionWindow(0, *window).sample_frames(max_frames) == frames


def test_sizes_only_shrink():
    assert shrunk_size(1280, 720, 448) == (448, 252)
    assert shrunk_size(720, 1280, 448) == (252, 448)
    assert shrunk_size(96, 64, 448) == (96, 64)
    assert shrunk_size(4000, 1, 100) == (100, 1)


def test_frames_are_those_of_the_clip(clips):
    first, second = frame_windows(clips[2], 3, 1.0, 48, Limits())
    assert first.frames.shape == second.frames.shape == (3, 32, 48, 3)
    assert (first.start_frame, first.end_frame) == (100, 124)
    assert (second.number, second.start_frame, second.end_frame) == (1, 124, 148)
    assert first.duration_s == pytest.approx(1.0)
    assert np.abs(first.frames[:, 16:].astype(int) - 150).max() < 8
    corners = [int(frame[1, 1, 0]) for frame in first.frames]
    assert [corner < 128 for corner in corners] == [True, True, True]  # frames 4, 12 and 20


def test_captions_are_one_window():
    clip = CaptionClip("c", "s", 10, 58, 2.0, captions=("A dog.", "A cat."))
    (window,) = frame_windows(clip, 8, 1.0, 48, Limits())
    assert (window.captions, len(window.frames)) == (("A dog.", "A cat."), 0)
    assert (window.start_frame, window.end_frame, window.duration_s) == (10, 58, 2.0)


def test_frames_are_counted_in_the_source_where_a_render_changed_the_rate(clips):
    file = dataclasses.replace(clips[0].file, source_frames=tuple(range(100, 196, 2)))
    clip = dataclasses.replace(clips[0], file=file)
    windows = list(frame_windows(clip, 1, 1.0, 48, Limits()))
    assert [(w.start_frame, w.end_frame) for w in windows] == [(100, 148), (148, 195)]


def test_an_unreadable_clip_says_why(clips, missing_clip):
    with pytest.raises(MediaError, match="missing"):
        list(frame_windows(missing_clip, 1, None, 48, Limits()))
    for frames, reason in ((0, "no_frames"), (47, "truncated")):
        file = dataclasses.replace(clips[0].file, frames=frames)
        with pytest.raises(MediaError, match=reason):
            list(frame_windows(dataclasses.replace(clips[0], file=file), 1, None, 48, Limits()))
