import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenizer.interface import Rate
from tokenizer.windows import Window, fitted_size, padded, split


@given(st.integers(1, 200), st.sampled_from([4, 8]), st.integers(0, 8))
def test_every_frame_is_in_exactly_one_window(frames, time, k):
    windows = split(frames, time, 1 + time * k)
    seen = [f for w in windows for f in range(w.start_frame, w.start_frame + w.frames)]
    assert seen == list(range(frames))
    assert [w.index for w in windows] == list(range(len(windows)))
    for window in windows:
        assert (window.frames + window.pad_frames - 1) % time == 0
        assert window.frames + window.pad_frames <= 1 + time * k
        assert 0 <= window.pad_frames < time
    assert all(w.pad_frames == 0 for w in windows[:-1])


def test_the_tail_takes_the_shortest_length_that_holds_it():
    assert split(109, 8) == [Window(0, 0, 49, 0), Window(1, 49, 49, 0), Window(2, 98, 11, 6)]
    assert split(50, 8)[1] == Window(1, 49, 1, 0)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match=r"48 is not 1 \+ 8·k; the nearest is 49"):
        split(10, 8, 48)
    with pytest.raises(ValueError, match="at least one frame, got 0"):
        split(0, 8)


def test_padding_repeats_the_last_frame():
    video = np.arange(2, dtype=np.uint8).reshape(2, 1, 1, 1)
    assert padded(video, 3).ravel().tolist() == [0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("size", "rate", "fitted"),
    [
        ((1280, 720), Rate(8, 8), (456, 256)),
        ((1280, 720), Rate(8, 16), (448, 256)),
        ((720, 1280), Rate(8, 8), (256, 456)),
        ((176, 144), Rate(8, 16), (176, 144)),
        ((100, 150), Rate(8, 16), (96, 144)),
        ((20, 20), Rate(8, 8), (32, 32)),
    ],
)
def test_pictures_shrink_to_multiples_and_keep_their_shape(size, rate, fitted):
    assert fitted_size(*size, 256, rate) == fitted


@given(st.integers(32, 2000), st.integers(32, 2000), st.sampled_from([8, 16]))
def test_nothing_is_enlarged(width, height, space):
    fitted = fitted_size(width, height, 256, Rate(8, space))
    assert all(side % space == 0 and side >= 32 for side in fitted)
    assert fitted[0] <= width
    assert fitted[1] <= height
    assert min(fitted) <= 256
