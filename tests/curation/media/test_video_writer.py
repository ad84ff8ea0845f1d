import av
import numpy as np
import pytest

from curation.media.video_writer import video_writer, write_video


def flat(*values):
    return np.stack([np.full((32, 48, 3), value, np.uint8) for value in values])


def read(path):
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        return rate, np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def test_frames_come_back_in_order_at_their_rate(tmp_path):
    write_video(tmp_path / "v.mp4", flat(20, 120, 220), 12)
    rate, frames = read(tmp_path / "v.mp4")
    assert rate == 12
    assert np.abs(frames.mean((1, 2, 3)) - [20, 120, 220]).max() < 3


def test_parts_make_the_video_that_the_whole_makes(tmp_path):
    write_video(tmp_path / "whole.mp4", flat(*range(0, 250, 10)), 24)
    with video_writer(tmp_path / "parts.mp4", 48, 32, 24) as write:
        write(flat(*range(0, 100, 10)))
        write(flat(*range(100, 250, 10)))
    assert (tmp_path / "parts.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_frames_of_another_shape_are_refused_and_what_was_raised_comes_through(tmp_path):
    with (
        pytest.raises(ValueError, match=r"need frames 32 × 40 × 3, got \(32, 48, 3\)"),
        video_writer(tmp_path / "v.mp4", 40, 32, 24) as write,
    ):
        write(flat(1))


@pytest.mark.parametrize("frames", [1, 2000])
def test_ffmpegs_own_words_say_what_is_wrong(tmp_path, frames):
    with (
        pytest.raises(OSError, match=r"v\.nothing: .*(?i:format)"),
        video_writer(tmp_path / "v.nothing", 48, 32, 24) as write,
    ):
        write(np.zeros((frames, 32, 48, 3), np.uint8))
