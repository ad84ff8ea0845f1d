import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenizer.models.interface import Compression
from tokenizer.tokenize.windows import (
    PaddedSize,
    SampleShape,
    Window,
    WindowError,
    fit_shape,
    fit_size,
    nearest_shape,
    pad_video,
    split_windows,
)


@given(st.integers(1, 200), st.sampled_from([4, 8]), st.integers(0, 8))
def test_every_frame_is_in_exactly_one_window(frames, time, k):
    windows = split_windows(frames, time, 1 + time * k)
    seen = [f for w in windows for f in range(w.start_frame, w.start_frame + w.frames)]
    assert seen == list(range(frames))
    assert [w.index for w in windows] == list(range(len(windows)))
    for window in windows:
        assert (window.frames + window.pad_frames - 1) % time == 0
        assert window.frames + window.pad_frames <= 1 + time * k
        assert 0 <= window.pad_frames < time
        assert window.latents_before == 0
    assert all(w.pad_frames == 0 for w in windows[:-1])


@given(st.integers(1, 200), st.sampled_from([4, 8]), st.integers(1, 8))
def test_slices_of_a_stream_hold_every_frame_and_count_the_latents_before(frames, time, k):
    slices = split_windows(frames, time, 1 + time * k, "stream")
    seen = [f for s in slices for f in range(s.start_frame, s.start_frame + s.frames)]
    assert seen == list(range(frames))
    latents = 0
    for part in slices:
        assert part.latents_before == latents
        groups, rest = divmod(part.frames + part.pad_frames - (latents == 0), time)
        assert (rest, 0 <= part.pad_frames < time) == (0, True)
        assert groups <= k
        latents += groups + (latents == 0)
    assert all(s.pad_frames == 0 for s in slices[:-1])


def test_the_last_window_has_the_shortest_valid_length():
    assert split_windows(109, 8) == [
        Window(0, 0, 49, 0),
        Window(1, 49, 49, 0),
        Window(2, 98, 11, 6),
    ]
    assert split_windows(50, 8)[1] == Window(1, 49, 1, 0)
    assert split_windows(109, 8, mode="stream") == [
        Window(0, 0, 49, 0, 0),
        Window(1, 49, 48, 0, 7),
        Window(2, 97, 12, 4, 13),
    ]


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match=r"48 is not 1 \+ 8·k; the nearest is 49"):
        split_windows(10, 8, 48)
    with pytest.raises(ValueError, match=r"1 is not 1 \+ 8·k; the nearest is 9"):
        split_windows(10, 8, 1, "stream")
    with pytest.raises(ValueError, match="at least one frame, got 0"):
        split_windows(0, 8)


def test_padding_repeats_the_last_frame_row_and_column():
    video = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    assert pad_video(video, 0) is video
    assert pad_video(video, 2)[:, 0, 0, 0].tolist() == [0, 4, 4, 4]
    assert pad_video(video, 0, 1, 2)[1, ..., 0].tolist() == [
        [4, 5, 5, 5],
        [6, 7, 7, 7],
        [6, 7, 7, 7],
    ]


@pytest.mark.parametrize(
    ("size", "rate", "picture"),
    [
        ((1280, 720), Compression(8, 8), PaddedSize(455, 256, 1, 0)),
        ((1280, 720), Compression(8, 16), PaddedSize(455, 256, 9, 0)),
        ((720, 1280), Compression(8, 8), PaddedSize(256, 455, 0, 1)),
        ((176, 144), Compression(8, 16), PaddedSize(176, 144, 0, 0)),
        ((100, 150), Compression(8, 16), PaddedSize(100, 150, 12, 10)),
        ((20, 20), Compression(8, 8), PaddedSize(20, 20, 4, 4)),
        ((2, 3000), Compression(8, 8), PaddedSize(2, 3000, 6, 0)),
    ],
)
def test_frames_shrink_to_the_pixel_and_are_padded(size, rate, picture):
    assert fit_size(*size, 256, rate) == picture


@given(
    st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 512), st.sampled_from([8, 16])
)  # fmt: skip
def test_frames_keep_their_aspect_ratio_and_are_never_enlarged(width, height, short_side, space):
    found = fit_size(width, height, short_side, Compression(8, space))
    assert min(found.width, found.height) == min(width, height, short_side)
    scale = min(found.width, found.height) / min(width, height)
    assert abs(found.width - width * scale) <= 0.5
    assert abs(found.height - height * scale) <= 0.5
    assert (found.width + found.pad_right) % space == (found.height + found.pad_bottom) % space == 0
    assert 0 <= found.pad_right < space
    assert 0 <= found.pad_bottom < space


def test_tails_are_padded_to_the_whole_length_dropped_or_overlap():
    assert split_windows(60, 8, is_fixed=True)[1] == Window(1, 49, 11, 38)
    assert split_windows(60, 8, tail="drop") == [Window(0, 0, 49, 0, dropped_frames=11)]
    assert split_windows(60, 8, tail="overlap") == [
        Window(0, 0, 49, 0), Window(1, 11, 49, 0, overlap_frames=38),
    ]  # fmt: skip
    assert split_windows(9, 8, tail="drop") == []
    assert split_windows(9, 8, tail="overlap") == [Window(0, 0, 9, 40)]
    with pytest.raises(WindowError, match="a stream has no windows of one length"):
        split_windows(60, 8, mode="stream", tail="drop")


@given(st.integers(1, 200), st.integers(0, 4), st.sampled_from(["pad", "drop", "overlap"]))
def test_windows_of_one_length_account_for_every_frame_once(frames, k, tail):
    length = 1 + 8 * k
    windows = split_windows(frames, 8, length, tail=tail, is_fixed=True)
    assert {w.frames + w.pad_frames for w in windows} <= {length}
    seen = [
        f for w in windows
        for f in range(w.start_frame + w.overlap_frames, w.start_frame + w.frames)
    ]  # fmt: skip
    dropped = sum(w.dropped_frames for w in windows) if windows else frames
    assert seen == list(range(frames - dropped))
    assert dropped == (frames % length if tail == "drop" else 0)


WIDE = SampleShape(49, 256, 448)


@pytest.mark.parametrize(
    ("size", "fit", "picture"),
    [
        ((1280, 720), "pad", PaddedSize(448, 252, 0, 4)),
        ((1280, 720), "crop", PaddedSize(448, 256, 0, 0, 3, 0, 4, 0)),
        ((720, 1280), "pad", PaddedSize(144, 256, 304, 0)),
        ((720, 1280), "crop", PaddedSize(448, 256, 0, 0, 0, 270, 0, 270)),
        ((320, 180), "pad", PaddedSize(320, 180, 128, 76)),
        ((320, 180), "crop", PaddedSize(320, 180, 128, 76)),
        ((320, 600), "crop", PaddedSize(320, 256, 128, 0, 0, 172, 0, 172)),
    ],
)
def test_pictures_are_padded_or_cropped_to_a_shape_and_never_enlarged(size, fit, picture):
    assert fit_shape(*size, WIDE, fit) == picture


def test_a_clip_goes_to_the_shape_of_the_nearest_aspect_ratio():
    shapes = SampleShape.parse_all("49x256x448, 49x448x256,49x320x320")
    wide, tall, square = shapes
    sizes = {(1920, 1080): wide, (600, 500): square, (480, 480): square, (720, 1280): tall}
    for size, shape in sizes.items():
        assert nearest_shape(*size, shapes) == shape
    for text in ("49x256", "axbxc", "", "0x8x8", "49x99999x8"):
        with pytest.raises(WindowError, match="shape"):
            SampleShape.parse_all(text)
    with pytest.raises(WindowError, match=r"48x250x448 does not fit .*nearest.* is 49x248x448"):
        SampleShape(48, 250, 448).check(Compression(8, 8))
