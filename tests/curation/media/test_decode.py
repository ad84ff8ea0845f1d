"""Decoding delivers every frame, in order, at the time at which it is shown."""

import functools
from fractions import Fraction

import av
import numpy as np
import pytest

from curation.media.decode import AnalysisSampling, decode_streams
from curation.media.probe import fitted_size, probe, square_size
from curation.media.sandbox import Limits
from curation.sample import Coding, read_number


@pytest.fixture(scope="module")
def decode():
    @functools.cache
    def run(path, **sampling):
        lowres, analysis = [], []
        info = probe(str(path), Limits())
        timeline = decode_streams(
            str(path), info, AnalysisSampling(**sampling), Limits(),
            on_lowres=lambda frames: lowres.extend(frames.copy()),
            on_analysis=lambda frames: analysis.extend(frames.copy()),
        )  # fmt: skip
        return info, timeline, np.array(lowres), analysis

    return run


def decode_with_pyav(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [(f.pts, f.to_ndarray(format="rgb24")) for f in container.decode(stream)]
        return stream.time_base, [pts for pts, _ in frames], [rgb for _, rgb in frames]


SOURCES = {
    "decode.mp4": Coding(b_frames=3),
    "decode.mkv": Coding(b_frames=2),
    "decode.ts": Coding(b_frames=2),
    "decode.webm": Coding("libvpx-vp9"),
    "decode_variable.mp4": Coding(slow_from=33, b_frames=2),
}


@pytest.mark.parametrize("name", SOURCES)
def test_times_equal_those_of_pyav(name, made, decode):
    path = made(name, 72, SOURCES[name])
    base, times, _ = decode_with_pyav(path)
    _, timeline, _, _ = decode(path)
    assert timeline.frames == 72
    assert timeline.time_base == base
    assert timeline.pts.tolist() == times
    seconds = [float((pts - times[0]) * base) for pts in times]
    assert timeline.starts_s[:-1] == pytest.approx(seconds)
    assert timeline.variable_rate == (name == "decode_variable.mp4")


@pytest.mark.parametrize("name", ["decode.mp4", "decode.ts"])
def test_every_lowres_frame_is_delivered_in_order(name, made, decode):
    """Each 48×27 picture is most like its own full frame, scaled by another scaler."""
    path = made(name, 72, SOURCES[name])
    _, _, lowres, _ = decode(path)
    assert (lowres.shape, lowres.dtype) == ((72, 27, 48, 3), np.uint8)
    _, _, full = decode_with_pyav(path)
    small = np.array([mean_blocks(frame) for frame in full])
    flat = lowres.reshape(72, -1).astype(np.float32)
    distance = np.abs(flat[:, None] - small.reshape(72, -1)[None]).mean(axis=2)
    assert distance.argmin(axis=1).tolist() == list(range(72))


def mean_blocks(frame):
    """Means over the 48×27 areas of a 320×180 frame, whose sides are no whole pixels."""
    rows, columns = (np.arange(n + 1) * size // n for n, size in ((27, 180), (48, 320)))
    sums = np.add.reduceat(np.add.reduceat(frame.astype(np.float32), rows[:-1], 0), columns[:-1], 1)
    return sums / (np.diff(rows)[:, None, None] * np.diff(columns)[None, :, None])


@pytest.mark.parametrize(
    ("name", "coding", "more"),
    [
        *((name, coding, {}) for name, coding in SOURCES.items()),
        ("raw.h264", Coding(b_frames=2), {}),
        ("decode.avi", Coding("mpeg4", b_frames=2), {}),
        ("turned_90.mp4", Coding(rotation=90), {"size": (180, 320)}),
        ("pq.mp4", Coding("libx265", "yuv420p10le", pq=True), {}),
        ("odd_size.mp4", Coding(pixel_format="yuv444p"), {"size": (253, 141)}),
    ],
)
def test_analysis_indices_are_the_numbers_of_the_analysis_frames(name, coding, more, made, decode):
    info, timeline, _, analysis = decode(made(name, 72, coding, **more))
    assert [read_number(frame) for frame in analysis] == timeline.analysis_indices.tolist()
    width, height = fitted_size(info.width, info.height, 320)
    assert analysis[0].shape == (height, width, 3)
    assert timeline.analysis_indices[0] == 0


@pytest.mark.media
def test_analysis_frames_come_at_the_requested_rate(made, decode):
    path = made("decode.mp4", 72, SOURCES["decode.mp4"])
    for fps, step in ((2, 12), (4, 6), (8, 3), (24, 1), (100, 1)):
        _, timeline, _, _ = decode(path, fps=fps)
        assert timeline.analysis_indices.tolist() == list(range(0, 72, step))
    slow = made("decode_variable.mp4", 72, SOURCES["decode_variable.mp4"])
    _, timeline, _, analysis = decode(slow, fps=4, longest_side=160)
    assert timeline.analysis_indices.tolist() == [*range(0, 31, 6), *range(35, 72, 3)]
    assert analysis[0].shape == (90, 160, 3)


def test_a_start_time_other_than_zero(made, decode, ffmpeg, scan_spans, tmp_path):
    path = tmp_path / "late.mkv"
    ffmpeg("-i", made("decode.mp4", 72, SOURCES["decode.mp4"]), "-c", "copy",
           "-output_ts_offset", 10, path)  # fmt: skip
    _, timeline, _, _ = decode(path)
    assert timeline.pts[0] * timeline.time_base == pytest.approx(10, abs=0.2)
    assert timeline.pts[0] > 9000
    assert timeline.starts_s[[0, 71, 72]] == pytest.approx([0, 71 / 24, 3], abs=2e-3)
    [clip] = scan_spans(path, (24, 48)).clips
    assert (clip.start_s, clip.end_s) == pytest.approx((1, 2), abs=2e-3)
    assert clip.start_pts == timeline.pts[24]


def test_streams_without_timestamps_have_the_rate_of_their_header(made, decode):
    info, timeline, _, _ = decode(made("raw.h264", 72, Coding(b_frames=2)))
    assert (timeline.pts, timeline.timestamps) == (None, "none")
    assert info.header_fps == 24
    assert timeline.starts_s[[0, 24, 72]].tolist() == [0, 1, 3]
    assert not timeline.variable_rate


def test_frames_without_timestamps_are_placed_between_their_neighbours(made, decode):
    """AVI has decoding timestamps only: frames that refer to a later one have none."""
    _, timeline, _, _ = decode(made("decode.avi", 72, Coding("mpeg4", b_frames=2)))
    assert timeline.timestamps == "repaired"
    assert timeline.starts_s == pytest.approx(np.arange(73) / 24)


def test_one_frame(made, decode):
    _, timeline, lowres, analysis = decode(made("single.mp4", 1))
    assert (timeline.frames, len(lowres), timeline.analysis_indices.tolist()) == (1, 1, [0])
    assert [read_number(frame) for frame in analysis] == [0]
    assert timeline.starts_s == pytest.approx([0, 1 / 24])


def test_the_same_pixels_every_time(made, decode):
    path = made("pq.mp4", 72, Coding("libx265", "yuv420p10le", pq=True))
    first, second = decode(path), decode.__wrapped__(path)
    assert np.array_equal(first[2], second[2])
    assert np.array_equal(first[3], second[3])


def test_a_second_video_stream_is_not_mixed_in(made, ffmpeg, decode, tmp_path):
    path = tmp_path / "two.mkv"
    ffmpeg("-i", made("small.h264", 30, size=(160, 96)), "-i", made("decode.mkv", 72,
           SOURCES["decode.mkv"]), "-map", 0, "-map", 1, "-c", "copy", path)  # fmt: skip
    info, timeline, _, analysis = decode(path)
    assert (info.video_streams, info.stream_index) == (2, 0)
    assert (info.width, info.height, timeline.frames) == (160, 96, 30)
    assert [read_number(frame) for frame in analysis] == timeline.analysis_indices.tolist()


def test_audio_of_an_unknown_codec_is_ignored(made, ffmpeg, decode, tmp_path):
    path = tmp_path / "sound.mkv"
    ffmpeg("-i", made("decode.mkv", 72, SOURCES["decode.mkv"]), "-f", "lavfi", "-i", "sine=d=3",
           "-c:v", "copy", "-c:a", "wmav2", path)  # fmt: skip
    info, timeline, _, _ = decode(path)
    assert (info.audio_streams, timeline.frames) == (1, 72)


@pytest.mark.parametrize(
    ("name", "coding", "more", "expected"),
    [
        ("turned_90.mp4", Coding(rotation=90), {"size": (180, 320)},
         {"width": 180, "height": 320, "stored_width": 320, "stored_height": 180}),
        ("wide_pixels.mp4", Coding(pixel_aspect="4/3"), {},
         {"width": 427, "height": 180, "pixel_aspect": "4:3"}),
        ("tall_pixels.mkv", Coding(pixel_aspect="3/4"), {},
         {"width": 320, "height": 240, "pixel_aspect": "3:4"}),
        ("pq.mp4", Coding("libx265", "yuv420p10le", pq=True), {},
         {"codec": "hevc", "pixel_format": "yuv420p10le", "hdr": True}),
        ("fields.ts", Coding("mpeg2video", interlaced=True, gop=12, b_frames=2), {},
         {"codec": "mpeg2video", "container": "mpegts", "interlaced": True}),
        ("decode.webm", Coding("libvpx-vp9"), {},
         {"codec": "vp9", "container": "matroska,webm", "missing_bytes": 0, "hdr": False}),
    ],
)  # fmt: skip
def test_probe(name, coding, more, expected, made):
    info = probe(str(made(name, 72, coding, **more)), Limits())
    assert {key: getattr(info, key) for key in expected} == expected


def test_sizes():
    assert square_size(720, 576, Fraction(16, 15)) == (768, 576)
    assert square_size(720, 480, Fraction(8, 9)) == (720, 540)
    assert fitted_size(1920, 1080, 320) == (320, 180)
    assert fitted_size(1080, 1920, 1280) == (720, 1280)
    assert fitted_size(253, 141, 320) == (252, 140)
    assert fitted_size(4000, 10, 320) == (320, 2)
    assert fitted_size(1, 1, 320) == (2, 2)
    assert fitted_size(641, 480, 640, 16) == (640, 480)
