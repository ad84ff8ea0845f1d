"""The one decode sees every frame, in order, at the time at which it is shown."""

import functools
from fractions import Fraction

import av
import numpy as np
import pytest

from curation.media.decode import Sampling, watch
from curation.media.probe import fitted_size, probe, square_size
from curation.media.sandbox import Limits
from curation.sample import Coding, read_number


@pytest.fixture(scope="module")
def watched():
    @functools.cache
    def look(path, **sampling):
        low, looks = [], []
        facts = probe(str(path), Limits())
        timeline = watch(
            str(path), facts, Sampling(**sampling), Limits(),
            on_low=lambda frames: low.extend(frames.copy()),
            on_analysis=lambda frames: looks.extend(frames.copy()),
        )  # fmt: skip
        return facts, timeline, np.array(low), looks

    return look


def decoded(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [(f.pts, f.to_ndarray(format="rgb24")) for f in container.decode(stream)]
        return stream.time_base, [pts for pts, _ in frames], [rgb for _, rgb in frames]


SOURCES = {
    "watch.mp4": Coding(b_frames=3),
    "watch.mkv": Coding(b_frames=2),
    "watch.ts": Coding(b_frames=2),
    "watch.webm": Coding("libvpx-vp9"),
    "watch_variable.mp4": Coding(slow_from=33, b_frames=2),
}


@pytest.mark.parametrize("name", SOURCES)
def test_times_are_those_of_another_decoder(name, made, watched):
    path = made(name, 72, SOURCES[name])
    base, times, _ = decoded(path)
    _, timeline, _, _ = watched(path)
    assert timeline.frames == 72
    assert timeline.time_base == base
    assert timeline.pts.tolist() == times
    seconds = [float((pts - times[0]) * base) for pts in times]
    assert timeline.starts_s[:-1] == pytest.approx(seconds)
    assert timeline.variable_rate == (name == "watch_variable.mp4")


@pytest.mark.parametrize("name", ["watch.mp4", "watch.ts"])
def test_every_frame_is_handed_over_in_order(name, made, watched):
    """Each 48×27 picture is most like its own full frame, scaled by another scaler."""
    path = made(name, 72, SOURCES[name])
    _, _, low, _ = watched(path)
    assert (low.shape, low.dtype) == ((72, 27, 48, 3), np.uint8)
    _, _, full = decoded(path)
    small = np.array([mean_blocks(frame) for frame in full])
    flat = low.reshape(72, -1).astype(np.float32)
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
        ("watch.avi", Coding("mpeg4", b_frames=2), {}),
        ("turned_90.mp4", Coding(rotation=90), {"size": (180, 320)}),
        ("pq.mp4", Coding("libx265", "yuv420p10le", pq=True), {}),
        ("odd_size.mp4", Coding(pixel_format="yuv444p"), {"size": (253, 141)}),
    ],
)
def test_analysis_frames_have_the_numbers_that_are_recorded(name, coding, more, made, watched):
    facts, timeline, _, looks = watched(made(name, 72, coding, **more))
    assert [read_number(look) for look in looks] == timeline.analysed.tolist()
    width, height = fitted_size(facts.width, facts.height, 320)
    assert looks[0].shape == (height, width, 3)
    assert timeline.analysed[0] == 0


def test_analysis_frames_come_at_the_rate_asked_for(made, watched):
    path = made("watch.mp4", 72, SOURCES["watch.mp4"])
    for fps, step in ((2, 12), (4, 6), (8, 3), (24, 1), (100, 1)):
        _, timeline, _, _ = watched(path, fps=fps)
        assert timeline.analysed.tolist() == list(range(0, 72, step))
    slow = made("watch_variable.mp4", 72, SOURCES["watch_variable.mp4"])
    _, timeline, _, looks = watched(slow, fps=4, longest_side=160)
    assert timeline.analysed.tolist() == [*range(0, 31, 6), *range(35, 72, 3)]
    assert looks[0].shape == (90, 160, 3)


def test_a_first_time_that_is_not_zero(made, watched, ffmpeg, scan_spans, tmp_path):
    path = tmp_path / "late.mkv"
    ffmpeg("-i", made("watch.mp4", 72, SOURCES["watch.mp4"]), "-c", "copy",
           "-output_ts_offset", 10, path)  # fmt: skip
    _, timeline, _, _ = watched(path)
    assert timeline.pts[0] * timeline.time_base == pytest.approx(10, abs=0.2)
    assert timeline.pts[0] > 9000
    assert timeline.starts_s[[0, 71, 72]] == pytest.approx([0, 71 / 24, 3], abs=2e-3)
    [clip] = scan_spans(path, (24, 48)).clips
    assert (clip.start_s, clip.end_s) == pytest.approx((1, 2), abs=2e-3)
    assert clip.start_pts == timeline.pts[24]


def test_streams_without_times_take_the_rate_they_declare(made, watched):
    facts, timeline, _, _ = watched(made("raw.h264", 72, Coding(b_frames=2)))
    assert (timeline.pts, timeline.timestamps) == (None, "none")
    assert facts.header_fps == 24
    assert timeline.starts_s[[0, 24, 72]].tolist() == [0, 1, 3]
    assert not timeline.variable_rate


def test_frames_without_stamps_between_others_are_shown_between_them(made, watched):
    """AVI stamps the order of decoding: frames that wait for a later one have no time."""
    _, timeline, _, _ = watched(made("watch.avi", 72, Coding("mpeg4", b_frames=2)))
    assert timeline.timestamps == "repaired"
    assert timeline.starts_s == pytest.approx(np.arange(73) / 24)


def test_one_frame(made, watched):
    _, timeline, low, looks = watched(made("single.mp4", 1))
    assert (timeline.frames, len(low), timeline.analysed.tolist()) == (1, 1, [0])
    assert [read_number(look) for look in looks] == [0]
    assert timeline.starts_s == pytest.approx([0, 1 / 24])


def test_the_same_pixels_every_time(made, watched):
    path = made("pq.mp4", 72, Coding("libx265", "yuv420p10le", pq=True))
    first, second = watched(path), watched.__wrapped__(path)
    assert np.array_equal(first[2], second[2])
    assert np.array_equal(first[3], second[3])


def test_a_second_video_stream_is_not_mixed_in(made, ffmpeg, watched, tmp_path):
    path = tmp_path / "two.mkv"
    ffmpeg("-i", made("small.h264", 30, size=(160, 96)), "-i", made("watch.mkv", 72,
           SOURCES["watch.mkv"]), "-map", 0, "-map", 1, "-c", "copy", path)  # fmt: skip
    facts, timeline, _, looks = watched(path)
    assert (facts.video_streams, facts.stream_index) == (2, 0)
    assert (facts.width, facts.height, timeline.frames) == (160, 96, 30)
    assert [read_number(look) for look in looks] == timeline.analysed.tolist()


def test_sound_of_an_unknown_kind_does_no_harm(made, ffmpeg, watched, tmp_path):
    path = tmp_path / "sound.mkv"
    ffmpeg("-i", made("watch.mkv", 72, SOURCES["watch.mkv"]), "-f", "lavfi", "-i", "sine=d=3",
           "-c:v", "copy", "-c:a", "wmav2", path)  # fmt: skip
    facts, timeline, _, _ = watched(path)
    assert (facts.audio_streams, timeline.frames) == (1, 72)


@pytest.mark.parametrize(
    ("name", "coding", "more", "facts"),
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
        ("watch.webm", Coding("libvpx-vp9"), {},
         {"codec": "vp9", "container": "matroska,webm", "missing_bytes": 0, "hdr": False}),
    ],
)  # fmt: skip
def test_facts(name, coding, more, facts, made):
    found = probe(str(made(name, 72, coding, **more)), Limits())
    assert {key: getattr(found, key) for key in facts} == facts


def test_sizes():
    assert square_size(720, 576, Fraction(16, 15)) == (768, 576)
    assert square_size(720, 480, Fraction(8, 9)) == (720, 540)
    assert fitted_size(1920, 1080, 320) == (320, 180)
    assert fitted_size(1080, 1920, 1280) == (720, 1280)
    assert fitted_size(253, 141, 320) == (252, 140)
    assert fitted_size(4000, 10, 320) == (320, 2)
    assert fitted_size(1, 1, 320) == (2, 2)
    assert fitted_size(641, 480, 640, 16) == (640, 480)
