import dataclasses

import numpy as np
import pytest

from curation.caption.base import CaptionClip
from curation.caption.windows import Window, reduced, seen, split
from curation.errors import MediaError
from curation.media.sandbox import Limits


@pytest.mark.parametrize(
    ("frames", "window_s", "bounds"),
    [
        (48, None, [(0, 48)]), (48, 2.0, [(0, 48)]), (48, 1.0, [(0, 24), (24, 48)]),
        (49, 1.0, [(0, 16), (16, 33), (33, 49)]), (2, 0.01, [(0, 1), (1, 2)]),
    ],
)  # fmt: skip
def test_windows_are_equal_and_together_the_clip(frames, window_s, bounds):
    windows = split(frames, 24.0, window_s)
    assert [(w.start, w.end) for w in windows] == bounds
    assert [w.number for w in windows] == list(range(len(bounds)))


@pytest.mark.parametrize(
    ("window", "pictures", "chosen"),
    [
        ((0, 48), 4, [6, 18, 30, 42]), ((24, 48), 1, [36]), ((0, 3), 8, [0, 1, 2]),
        ((10, 15), 2, [11, 13]),
    ],
)  # fmt: skip
def test_the_middle_of_each_part_stands_for_it(window, pictures, chosen):
    assert Window(0, *window).chosen(pictures) == chosen


def test_sizes_shrink_and_never_grow():
    assert reduced(1280, 720, 448) == (448, 252)
    assert reduced(720, 1280, 448) == (252, 448)
    assert reduced(96, 64, 448) == (96, 64)
    assert reduced(4000, 1, 100) == (100, 1)


def test_pictures_are_the_clips_own(clips):
    first, second = seen(clips[2], 3, 1.0, 48, Limits())
    assert first.pictures.shape == second.pictures.shape == (3, 32, 48, 3)
    assert (first.start_frame, first.end_frame) == (100, 124)
    assert (second.number, second.start_frame, second.end_frame) == (1, 124, 148)
    assert first.seconds == pytest.approx(1.0)
    assert np.abs(first.pictures[:, 16:].astype(int) - 150).max() < 8
    corners = [int(picture[1, 1, 0]) for picture in first.pictures]
    assert [corner < 128 for corner in corners] == [True, True, True]  # frames 4, 12 and 20


def test_captions_are_seen_at_once():
    clip = CaptionClip("c", "s", 10, 58, 2.0, captions=("A dog.", "A cat."))
    (window,) = seen(clip, 8, 1.0, 48, Limits())
    assert (window.captions, len(window.pictures)) == (("A dog.", "A cat."), 0)
    assert (window.start_frame, window.end_frame, window.seconds) == (10, 58, 2.0)


def test_a_rate_that_a_render_changed_is_counted_in_the_source(clips):
    file = dataclasses.replace(clips[0].file, source_frames=tuple(range(100, 196, 2)))
    clip = dataclasses.replace(clips[0], file=file)
    windows = list(seen(clip, 1, 1.0, 48, Limits()))
    assert [(w.start_frame, w.end_frame) for w in windows] == [(100, 148), (148, 195)]


def test_what_cannot_be_read_says_why(clips, gone):
    with pytest.raises(MediaError, match="missing"):
        list(seen(gone, 1, None, 48, Limits()))
    for frames, reason in ((0, "no_frames"), (47, "truncated")):
        file = dataclasses.replace(clips[0].file, frames=frames)
        with pytest.raises(MediaError, match=reason):
            list(seen(dataclasses.replace(clips[0], file=file), 1, None, 48, Limits()))
