"""Every clip holds its frames and no others: each frame says which one it is."""

import dataclasses
import functools
import hashlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from curation.media import sandbox
from curation.media.cut import Span
from curation.media.encode import Encoding
from curation.media.span_reader import read_span
from curation.render.stage import RenderBatch, RenderClips
from curation.sample import Coding, read_number

pytestmark = pytest.mark.media

FRAMES = 72
SPANS = ((0, 5), (29, 47), (FRAMES - 1, None))
"""From the start, off the key frames, and the last frame alone."""

TURNED = {"size": (180, 320)}
SOURCES = {
    "b_frames.mp4": (Coding(b_frames=3), {}),
    "matroska.mkv": (Coding(b_frames=2), {}),
    "transport.ts": (Coding(b_frames=2), {}),
    "flash.flv": (Coding(b_frames=2), {}),
    "raw.h264": (Coding(b_frames=2), {}),
    "raw.hevc": (Coding("libx265", b_frames=2), {}),
    "old.avi": (Coding("mpeg4"), {}),
    "some_times.avi": (Coding("mpeg4", b_frames=2), {}),
    "nine.webm": (Coding("libvpx-vp9"), {}),
    "eight.webm": (Coding("libvpx"), {}),
    "variable.mp4": (Coding(slow_from=33, b_frames=2), {}),
    "variable.ts": (Coding(slow_from=33), {}),
    "turned_90.mp4": (Coding(rotation=90), TURNED),
    "turned_270.mp4": (Coding(rotation=270), TURNED),
    "wide_pixels.mp4": (Coding(pixel_aspect="4/3"), {}),
    "tall_pixels.mkv": (Coding(pixel_aspect="3/4"), {}),
    "odd_size.mp4": (Coding(pixel_format="yuv444p"), {"size": (253, 141)}),
    "ten_bits.mp4": (Coding("libx265", "yuv420p10le", b_frames=2), {}),
    "pq.mp4": (Coding("libx265", "yuv420p10le", pq=True), {}),
    "fields.ts": (Coding("mpeg2video", interlaced=True, gop=12, b_frames=2), {}),
    "fields.mpg": (Coding("mpeg2video", interlaced=True, gop=12), {}),
    "lossless.mkv": (Coding("ffv1"), {}),
}
SIZES = {
    "turned_90.mp4": (180, 320),
    "turned_270.mp4": (180, 320),
    "wide_pixels.mp4": (428, 180),
    "tall_pixels.mkv": (320, 240),
    "odd_size.mp4": (252, 140),
}
WITHOUT_TIMES = {"raw.h264", "raw.hevc"}
"""Cut by frame index."""


@pytest.fixture(scope="module")
def scanned(made, scan_spans):
    @functools.cache
    def get(name):
        coding, more = SOURCES[name]
        return scan_spans(made(name, FRAMES, coding, **more), *SPANS)

    return get


def rendered(result, folder, **settings):
    """The rows and the paths of all clips of a source."""
    work = RenderClips(output=str(folder), **settings).setup()
    rows = work(RenderBatch(result.source, tuple(result.clips)))
    return rows, [Path(folder) / row.path for row in rows]


def frames_of(path):
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def numbers(path):
    return [read_number(frame.to_ndarray(format="rgb24")) for frame in frames_of(path)]


@pytest.mark.parametrize("name", SOURCES)
def test_clips_hold_exactly_their_frames(name, scanned, tmp_path):
    result = scanned(name)
    assert result.source.frames == FRAMES
    assert [clip.start_pts is None for clip in result.clips] == [name in WITHOUT_TIMES] * 3
    rows, paths = rendered(result, tmp_path)
    expected = [list(range(a, FRAMES if b is None else b)) for a, b in SPANS]
    assert [numbers(path) for path in paths] == expected
    for row, path, span in zip(rows, paths, expected, strict=True):
        size = SIZES.get(name, (320, 180))
        assert (row.outcome, row.mode, row.codec) == ("rendered", "encode", "h264")
        assert (row.width, row.height, row.frames) == (*size, len(span))
        assert row.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert row.size_bytes == path.stat().st_size
        with av.open(str(path)) as container:
            stream, frame = container.streams.video[0], next(container.decode(video=0))
            assert (frame.width, frame.height, frame.format.name) == (*size, "yuv420p")
            assert (frame.rotation, frame.pts, frame.interlaced_frame) == (0, 0, False)
            assert stream.sample_aspect_ratio in (None, 1)
            assert [s.type for s in container.streams] == ["video"]


@pytest.mark.parametrize(
    "name",
    [
        "transport.ts",
        "some_times.avi",
        "variable.mp4",
        "turned_90.mp4",
        "odd_size.mp4",
        "fields.ts",
    ],
)
def test_read_span_gives_the_same_frames_at_their_own_times(name, scanned):
    result = scanned(name)
    width, height = SIZES.get(name, (320, 180))
    for clip in result.clips:
        span = Span.of(clip, result.source)
        pixels, times = read_span(result.source.uri, span, width, height, sandbox.Limits())
        assert pixels.shape == (span.frames, height, width, 3)
        numbers_read = [read_number(picture) for picture in pixels]
        assert numbers_read == list(range(clip.start_frame, clip.end_frame))
        if name not in WITHOUT_TIMES:
            if clip.frame_times is None:
                assert (times.pts[0], times.tick) == (clip.start_pts, Fraction(clip.time_base))
            assert len(times.pts) == span.frames
            length = float(times.since_start(span.frames - 1))
            assert 0 <= clip.end_s - clip.start_s - length < 0.2


def test_span_mode_writes_no_file(scanned, tmp_path):
    result = scanned("turned_90.mp4")
    work = RenderClips(output=str(tmp_path), mode="span").setup()
    rows = work(RenderBatch(result.source, tuple(result.clips)))
    assert [(row.outcome, row.mode, row.path, row.frames) for row in rows] == [
        ("rendered", "span", None, frames) for frames in (5, 18, 1)
    ]
    assert (rows[0].width, rows[0].height, rows[0].codec) == (180, 320, "h264")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["b_frames.mp4", "pq.mp4", "fields.ts"])
def test_same_bytes_every_time(name, scanned, tmp_path):
    result = scanned(name)
    first, _ = rendered(result, tmp_path / "first")
    second, _ = rendered(result, tmp_path / "second")
    assert first == second


def test_frames_keep_their_own_times(scanned, tmp_path):
    """The rate halves at frame 33, in the middle of the second clip."""
    result = scanned("variable.mp4")
    _, paths = rendered(result, tmp_path)
    times = [float(frame.pts * frame.time_base) for frame in frames_of(paths[1])]
    steps = np.diff(times)
    assert steps[:3] == pytest.approx(1 / 24, abs=1e-4)
    assert steps[4:] == pytest.approx(2 / 24, abs=1e-4)
    clip = result.clips[1]
    assert times[-1] + steps[-1] == pytest.approx(clip.end_s - clip.start_s, abs=1e-3)


def test_resampling_to_another_rate(scanned, tmp_path):
    result = scanned("b_frames.mp4")
    rows, paths = rendered(result, tmp_path, encoding=Encoding(fps=12))
    assert [row.fps for row in rows] == [12] * 3
    frames = frames_of(paths[1])
    assert rows[1].frames == len(frames) == 9
    assert [float(f.pts * f.time_base) for f in frames] == pytest.approx(np.arange(9) / 12)
    shown = [read_number(frame.to_ndarray(format="rgb24")) for frame in frames]
    assert np.diff(shown).tolist() == [2] * 8
    assert shown[0] in (29, 30)


def test_larger_pictures_are_scaled_down(scanned, tmp_path):
    rows, paths = rendered(scanned("turned_90.mp4"), tmp_path, encoding=Encoding(longest_side=200))
    assert (rows[1].width, rows[1].height) == (112, 200)
    frame = frames_of(paths[1])[0]
    assert (frame.width, frame.height) == (112, 200)


def test_audio_stays_in_sync(made, scan_spans, ffmpeg, tmp_path):
    """Silence up to 1.5 s, then a tone: it starts 12 frames into a clip from frame 24 on."""
    picture = made("b_frames.mp4", FRAMES, Coding(b_frames=3))
    source = tmp_path / "sound.mkv"
    tone = "aevalsrc='if(gte(t,1.5),sin(2764*t),0)':s=48000:d=3"
    ffmpeg("-i", picture, "-f", "lavfi", "-i", tone, "-c:v", "copy", "-c:a", "aac", source)
    result = scan_spans(source, (24, 60))
    rows, paths = rendered(result, tmp_path, encoding=Encoding(audio="keep"))
    assert (rows[0].audio, numbers(paths[0])) == (True, list(range(24, 60)))
    with av.open(str(paths[0])) as container:
        loudness = [(f.time, np.abs(f.to_ndarray()).max()) for f in container.decode(audio=0)]
    onset = next(time for time, peak in loudness if peak > 0.3)
    assert onset == pytest.approx(0.5, abs=0.05)
    assert loudness[-1][0] == pytest.approx(1.5, abs=0.06)


def test_hdr_is_shown_as_a_tone_mapped_grey(ffmpeg, scan_spans, tmp_path):
    """Hable's curve maps 100 of 1000 nits to 0.3122, which a gamma of 2.4 shows as 157 of 255."""
    source = tmp_path / "grey.mp4"
    level = round((940 - 64) * 0.5081 + 64)  # PQ code of 100 nits, 10 bits, limited range
    ffmpeg(
        "-f", "lavfi", "-i", "color=black:s=128x96:r=24:d=0.5",
        "-vf", f"format=yuv420p10le,geq=lum={level}:cb=512:cr=512,setparams="
        "color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv",
        "-c:v", "libx265", "-x265-params", "log-level=error:pools=none", source,
    )  # fmt: skip
    result = scan_spans(source, (2, 7))
    assert result.source.hdr
    _, paths = rendered(result, tmp_path)
    shown = frames_of(paths[0])[0].to_ndarray(format="rgb24").reshape(-1, 3).astype(float)
    span = Span.of(result.clips[0], result.source)
    read, _ = read_span(str(source), span, 128, 96, sandbox.Limits())
    middle = shown.mean(axis=0)
    assert np.ptp(middle) < 3
    assert middle.mean() == pytest.approx(157, abs=2)
    assert read[0].reshape(-1, 3).mean(axis=0) == pytest.approx(middle, abs=3)


def test_interlaced_fields_are_woven_into_whole_frames(scanned, tmp_path):
    result = scanned("fields.ts")
    assert result.source.interlaced
    assert result.source.pixel_aspect == "1:1"
    _, paths = rendered(result, tmp_path)
    assert not any(frame.interlaced_frame for frame in frames_of(paths[1]))


def test_a_span_beyond_the_end_fails_and_leaves_no_file(scanned, tmp_path):
    result = scanned("b_frames.mp4")
    clip = dataclasses.replace(result.clips[1], end_frame=FRAMES + 3, end_pts=None)
    (row,) = RenderClips(output=str(tmp_path)).setup()(RenderBatch(result.source, (clip,)))
    assert (row.outcome, row.reason) == ("failed", "corrupt")
    assert row.detail.startswith("cannot cut 46 frames: 43 frames; then")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_span_of_a_clip_has_its_start(scanned):
    result = scanned("transport.ts")
    span = Span.of(result.clips[1], result.source)
    assert (span.frames, span.start_frame, span.time_base) == (18, 29, Fraction(1, 90000))
    assert span.container_start_s == pytest.approx(span.start_pts / 90000)
    raw = Span.of(scanned("raw.h264").clips[1], result.source)
    assert (raw.start_pts, raw.container_start_s) == (None, None)
