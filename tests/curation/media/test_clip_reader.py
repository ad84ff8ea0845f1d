"""Our own clips, read back with decord."""

import itertools

import av
import numpy as np
import pytest
from PIL import Image

from curation.errors import MediaError
from curation.media.clip_reader import ClipReader
from curation.sample import Coding, read_number


@pytest.fixture(scope="module")
def clip(made):
    return made("clip.mp4", 60, Coding(b_frames=2, gop=20), size=(480, 270))


def test_frames_come_in_the_requested_order(clip):
    reader = ClipReader(clip.read_bytes(), width=480, height=270, frames=60)
    assert len(reader) == 60
    frames = reader.read([41, 3, 59, 3, 0])
    assert (frames.shape, frames.dtype) == ((5, 270, 480, 3), np.uint8)
    assert [read_number(frame) for frame in frames] == [41, 3, 59, 3, 0]


def test_every_width_is_read_right(clip, pictures):
    """decord takes the padding of some rows for a fourth channel."""
    original = Image.fromarray(pictures(clip)[20])
    for width in [*range(32, 128), *range(128, 513, 8)]:
        frame = ClipReader(clip.read_bytes(), width=width, height=64, frames=60).read([20])[0]
        expected = np.asarray(original.resize((width, 64), Image.Resampling.BICUBIC), float)
        assert frame.shape == (64, width, 3)
        assert np.abs(frame - expected).mean() < 4, width


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (12, 16), (24, 5), (31, 7), (48, 27)])
def test_the_smallest_pictures_are_read_too(clip, pictures, size):
    """Means over large areas: decord's scaler weighs pixels a little differently than Pillow's."""
    frame = ClipReader(clip.read_bytes(), width=size[0], height=size[1], frames=60).read([20])[0]
    expected = Image.fromarray(pictures(clip)[20]).resize(size, Image.Resampling.BOX)
    assert frame.shape == (size[1], size[0], 3)
    assert abs(frame.mean() - np.asarray(expected, float).mean()) < 8


@pytest.mark.parametrize("side", [2, 16, 48])
def test_a_small_clip_is_read_at_its_own_size(ffmpeg, pictures, tmp_path, side):
    path = tmp_path / "small.mp4"
    ffmpeg("-f", "lavfi", "-i", f"gradients=s={side}x{side}:d=0.2:r=25:seed=3", "-c:v", "libx264",
           "-pix_fmt", "yuv420p", path)  # fmt: skip
    expected = np.asarray(pictures(path)[2], float)
    frame = ClipReader(path.read_bytes(), width=side, height=side, frames=5).read([2])[0]
    assert np.abs(frame - expected).mean() < 8


@pytest.mark.parametrize("frames", [59, 61])
def test_another_number_of_frames_is_refused(clip, frames):
    with pytest.raises(MediaError, match=f"truncated: 60 frames where {frames} should be"):
        ClipReader(clip.read_bytes(), width=64, height=64, frames=frames)


def test_every_frame_has_its_own_time(made):
    """From frame 20 on frames last longer; B-frames are stored in another order."""
    path = made("slow.mp4", 40, Coding(b_frames=2, slow_from=20))
    with av.open(str(path)) as container:
        expected = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    times = ClipReader(path.read_bytes(), width=64, height=64, frames=40).times
    assert [times.since_start(i) for i in range(40)] == [time - expected[0] for time in expected]
    assert len({b - a for a, b in itertools.pairwise(expected)}) > 1


def test_a_clip_cut_short_is_refused(clip, ffmpeg, tmp_path):
    """Cut between two frames, decord opens it without an error and counts the remaining ones."""
    complete, short = tmp_path / "complete.mp4", tmp_path / "short.mp4"
    ffmpeg("-i", clip, "-c", "copy", "-movflags", "+faststart", complete)
    with av.open(str(complete)) as container:
        offsets = [packet.pos for packet in container.demux(video=0) if packet.size]
    short.write_bytes(complete.read_bytes()[: offsets[30]])
    with pytest.raises(MediaError, match=r"truncated: \d+ frames where 60 should be"):
        ClipReader(short.read_bytes(), width=64, height=64, frames=60)
    short.write_bytes(complete.read_bytes()[: offsets[30] + 20])
    with pytest.raises(MediaError, match="corrupt: decord cannot open the clip"):
        ClipReader(short.read_bytes(), width=64, height=64, frames=60)


def test_a_file_that_is_no_clip_is_refused(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("no clip")
    with pytest.raises(MediaError, match="corrupt: not an mp4 file, as renders are"):
        ClipReader(path.read_bytes(), width=64, height=64, frames=1)
