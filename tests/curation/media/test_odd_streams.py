"""Streams that start midway, restart, stop or change, and files with several streams."""

import dataclasses
from pathlib import Path

import av
import numpy as np
import pytest

from curation import records
from curation.listing import entry_at
from curation.media.encode import Encoding
from curation.records import Clip
from curation.render.stage import RenderBatch, RenderClips
from curation.sample import Coding, read_number, sound
from curation.scan.shots import FixedWindows
from curation.scan.stage import Scan, ScanItem
from curation.scores.loudness import Loudness

pytestmark = pytest.mark.media

CLOSED = Coding(gop=24, b_frames=2)
HERTZ = (500.0, 900.0, 1300.0, 1700.0, 2100.0, 2500.0)
"""The tone of each second."""


def scanned(path, seconds=1.0, **settings):
    extra = settings.pop("extra", {})
    stage = Scan(shots=FixedWindows(seconds), **{"scores": (), **settings})
    return stage.setup()(ScanItem(entry_at(str(path), extra)))


def rendered(result, folder, **settings):
    """The rows of all clips of a source, and the numbers of the frames in each file."""
    clips = tuple(records.from_table(Clip, result.clips))
    rows = RenderClips(output=str(folder), **settings).setup()(RenderBatch(result.source, clips))
    assert [row.detail for row in rows] == [None] * len(rows)
    shown = []
    for row in rows:
        with av.open(str(Path(folder) / row.path)) as container:
            frames = container.decode(video=0)
            shown.append([read_number(frame.to_ndarray(format="rgb24")) for frame in frames])
    return rows, shown


def tones(path):
    """The loudest tone of each whole second of a file's sound."""
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        parts = [frame.to_ndarray().reshape(-1, frame.samples)[0] for frame in
                 container.decode(audio=0)]  # fmt: skip
    samples = np.concatenate(parts)
    loudest_hz = []
    for second in range(round(len(samples) / rate)):
        middle = samples[second * rate + rate // 4 : second * rate + 3 * rate // 4]
        loudest_hz.append(float(np.abs(np.fft.rfft(middle)).argmax() * rate / len(middle)))
    return len(samples) / rate, loudest_hz


@pytest.fixture
def source_with_tones(made, tmp_path):
    """A numbered stream of some seconds, each with a tone of its own."""

    def make(name, hertz, first=0, **more):
        samples = np.concatenate([sound.tone(1.0, hertz=hz) for hz in hertz])
        wav = sound.write_wav(tmp_path / f"{name}.wav", samples)
        coding = dataclasses.replace(CLOSED, sound_from=str(wav))
        return made(name, 24 * len(hertz), coding, **more)

    return make


def from_the_middle(path, target, share=0.4):
    """What a recorder started midway gets: the packets from there on."""
    content = path.read_bytes()
    target.write_bytes(content[round(len(content) * share) // 188 * 188 :])
    return target


@pytest.mark.parametrize(
    ("name", "coding"),
    [
        ("avc.ts", CLOSED),
        ("hevc.ts", Coding("libx265", gop=24, b_frames=2)),
        ("mpeg2.ts", Coding("mpeg2video", gop=12, b_frames=2)),
    ],
)
@pytest.mark.parametrize("mode", ["encode", "copy"])
def test_a_stream_from_the_middle_starts_at_its_first_key_frame(name, coding, mode, made, tmp_path):
    path = from_the_middle(made(f"whole_{name}", 96, coding), tmp_path / name)
    result = scanned(path)
    source = result.source
    assert (source.outcome, source.detail) == ("scanned", None)
    assert source.skipped_packets > 0
    assert "begins inside a group of pictures" in source.remarks
    _, shown = rendered(result, tmp_path, mode=mode)
    numbers = [number for clip in shown for number in clip]
    assert numbers == list(range(96 - source.frames, 96))
    assert 24 < source.frames < 96
    assert source.duration_s == pytest.approx(source.frames / 24, abs=0.01)


def test_streams_joined_byte_by_byte_are_one_source_and_no_clip_spans_the_join(
    source_with_tones, tmp_path
):
    first, second = source_with_tones("one.ts", HERTZ[:2]), source_with_tones("two.ts", HERTZ[2:5])
    path = tmp_path / "joined.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    result = scanned(path, 1.5, scores=(Loudness(),))
    source = result.source
    assert (source.outcome, source.frames, source.timestamps) == ("scanned", 120, "exact")
    assert source.duration_s == pytest.approx(5.0, abs=0.05)
    assert "times restart or a gap ends at frame 48" in source.remarks
    clips = records.from_table(Clip, result.clips)
    assert [(c.start_frame, c.end_frame) for c in clips] == [(0, 36), (36, 48), (48, 72), (72, 108),
                                                             (108, 120)]  # fmt: skip
    loud = result.side_rows["scores/loudness"]["loudness"].to_pylist()
    assert all(value is not None for value in loud)
    rows, shown = rendered(result, tmp_path, encoding=Encoding(audio="keep"))
    numbers = [*range(48), *range(72)]
    assert shown == [numbers[c.start_frame : c.end_frame] for c in clips]
    length, tone_hz = tones(tmp_path / rows[2].path)
    assert (length, tone_hz) == (pytest.approx(1.0, abs=0.05), pytest.approx([HERTZ[2]], abs=9))


def test_a_gap_is_in_no_clip_and_not_in_its_audio(source_with_tones, ffmpeg, tmp_path):
    first, second = (
        source_with_tones("before.ts", HERTZ[:2]),
        source_with_tones("after.ts", HERTZ[2:4]),
    )
    late = tmp_path / "late.ts"
    ffmpeg("-i", second, "-c", "copy", "-output_ts_offset", "600", "-muxdelay", "0", late)
    path = tmp_path / "gap.ts"
    path.write_bytes(first.read_bytes() + late.read_bytes())
    result = scanned(path, 20.0)
    assert (result.source.outcome, result.source.frames) == ("scanned", 96)
    assert result.source.duration_s == pytest.approx(4.0, abs=0.1)
    assert "s without frames left out" in result.source.remarks
    clips = records.from_table(Clip, result.clips)
    assert [(c.start_frame, c.end_frame) for c in clips] == [(0, 48), (48, 96)]
    assert clips[1].end_s == pytest.approx(4.0, abs=0.1)
    rows, _ = rendered(result, tmp_path, encoding=Encoding(audio="keep"))
    for row, expected in zip(rows, (HERTZ[:2], HERTZ[2:4]), strict=True):
        length, tone_hz = tones(tmp_path / row.path)
        assert length == pytest.approx(2.0, abs=0.1)
        assert tone_hz == pytest.approx(expected, abs=12)


def test_the_default_stream_is_scanned_unless_another_is_requested(made, ffmpeg, tmp_path):
    """A thumbnail of one frame, a small proxy, and the video, which is the default."""
    large = made("large.mp4", 48, Coding())
    small, still = tmp_path / "small.mp4", tmp_path / "still.mp4"
    ffmpeg("-i", large, "-vf", "scale=160:-2", small)
    ffmpeg("-i", large, "-frames:v", 1, "-c:v", "mjpeg", still)
    path = tmp_path / "three.mp4"
    maps = ["-map", "0", "-map", "1", "-map", "2"]
    flags = ["-disposition:0", "0", "-disposition:1", "0", "-disposition:2", "0"]
    ffmpeg("-i", still, "-i", small, "-i", large, *maps, "-c", "copy", *flags, path)
    source = scanned(path).source
    assert (source.stream_index, source.width, source.frames) == (2, 320, 48)
    source = scanned(path, extra={"stream": "1"}).source
    assert (source.stream_index, source.width, source.frames) == (1, 160, 48)
    source = scanned(path, stream=0).source
    assert (source.stream_index, source.frames) == (0, 1)
    source = scanned(path, extra={"stream": "7"}).source
    assert (source.reason, source.detail) == (
        "no_video_stream", "stream 7 is no video; there are 0, 1, 2",
    )  # fmt: skip
    assert scanned(path, extra={"stream": "left"}).source.reason == "no_video_stream"


def test_a_source_shorter_than_half_a_second_does_not_continue_itself(made):
    assert scanned(made("brief.mp4", 6, CLOSED)).source.remarks is None


def damaged(path, target):
    """The same file with zeros in the middle."""
    content = bytearray(path.read_bytes())
    middle = len(content) * 6 // 10
    content[middle : middle + 400] = bytes(400)
    target.write_bytes(content)
    return target


def test_damaged_sources_are_salvaged_only_on_request(made, tmp_path):
    path = damaged(made("sound.mkv", 96, CLOSED), tmp_path / "bad.mkv")
    assert scanned(path).source.reason == "corrupt"
    result = scanned(path, damage="salvage")
    source = result.source
    assert (source.outcome, source.reason) == ("scanned", None)
    assert 24 < source.frames < 96
    assert source.end_packet is not None
    assert source.remarks.startswith(f"damaged after frame {source.frames - 1}")
    _, shown = rendered(result, tmp_path)
    numbers = [number for clip in shown for number in clip]
    assert len(numbers) == source.frames
    assert numbers[:24] == list(range(24))
    again = scanned(path, damage="salvage")
    assert again.clips.equals(result.clips)
    assert again.source == source


def test_a_source_damaged_at_its_start_is_not_salvaged(tmp_path, made):
    content = bytearray(made("sound.mkv", 96, CLOSED).read_bytes())
    content[600:] = bytes(len(content) - 600)
    path = tmp_path / "nothing.mkv"
    path.write_bytes(content)
    assert scanned(path, damage="salvage").source.outcome == "failed"


@pytest.mark.parametrize("fps", [10.0, 30.0, 60.0])
def test_resampling_shows_the_nearest_frames_and_records_them(fps, made, tmp_path):
    result = scanned(made("varies.mp4", 72, Coding(slow_from=33, b_frames=2)), 2.0)
    rows, shown = rendered(result, tmp_path, encoding=Encoding(fps=fps))
    times = np.array([n / 24 if n < 33 else (2 * n - 33) / 24 for n in range(72)])
    for row, numbers, clip in zip(rows, shown, records.from_table(Clip, result.clips), strict=True):
        assert np.frombuffer(row.source_frames, "<u4").tolist() == numbers
        assert row.frames == len(numbers) == max(1, round((clip.end_s - clip.start_s) * fps))
        frame_times = times[clip.start_frame : clip.end_frame] - clip.start_s
        off = np.abs(
            frame_times[np.array(numbers) - clip.start_frame] - np.arange(row.frames) / fps
        )
        nearest = [np.abs(frame_times - at / fps).min() for at in range(row.frames)]
        assert off == pytest.approx(nearest, abs=2e-3)


def test_joined_recordings_keep_their_own_rates(made, tmp_path):
    slow, fast = made("slow.ts", 50, CLOSED, fps=25), made("fast.ts", 100, CLOSED, fps=50)
    path = tmp_path / "rates.ts"
    path.write_bytes(slow.read_bytes() + fast.read_bytes())
    result = scanned(path, 20.0)
    rows, _ = rendered(result, tmp_path)
    for row, step in zip(rows, (1 / 25, 1 / 50), strict=True):
        with av.open(str(tmp_path / row.path)) as container:
            times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
        assert np.diff(times) == pytest.approx(step, abs=1e-4)


def test_audio_is_kept_at_another_rate(source_with_tones, tmp_path):
    result = scanned(source_with_tones("tones.mp4", HERTZ[:4]), 2.0)
    rows, _ = rendered(result, tmp_path, encoding=Encoding(fps=10.0, audio="keep"))
    assert [(row.frames, row.audio) for row in rows] == [(20, True)] * 2
    length, tone_hz = tones(tmp_path / rows[1].path)
    assert (length, tone_hz) == (pytest.approx(2.0, abs=0.05), pytest.approx(HERTZ[2:4], abs=9))


def test_audio_that_cannot_be_aligned_is_dropped_with_a_remark(source_with_tones, made, tmp_path):
    """Of three recordings the middle one has no sound: which of two tracks is the third's?"""
    silent = made("silent.ts", 48, CLOSED)
    parts = (
        source_with_tones("first.ts", HERTZ[:2]),
        silent,
        source_with_tones("third.ts", HERTZ[2:4]),
    )
    path = tmp_path / "three.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    result = scanned(path, 20.0)
    assert (result.source.frames, result.source.audio_codec) == (144, None)
    assert "its sound does not restart where its pictures do" in result.source.remarks
    rows, _ = rendered(result, tmp_path, encoding=Encoding(audio="keep"))
    assert [row.audio for row in rows] == [False] * 3


def test_a_lost_packet_in_a_stream_from_the_middle_is_damage(made, tmp_path):
    path = from_the_middle(made("whole_avc.ts", 96, CLOSED), tmp_path / "from.ts")
    content = path.read_bytes()
    packets = [content[at : at + 188] for at in range(0, len(content), 188)]
    lost = len(packets) * 3 // 4
    path.write_bytes(b"".join(packets[:lost] + packets[lost + 1 :]))
    assert scanned(path).source.reason == "corrupt"
    assert scanned(path, damage="salvage").source.outcome == "scanned"


def test_a_gap_is_located_at_its_frame_and_not_at_the_next_key_frame(made, ffmpeg, tmp_path):
    path = tmp_path / "gap.mkv"
    ffmpeg(
        "-i", made("sound.mkv", 96, CLOSED), "-vf", "setpts=PTS+if(gte(N\\,45)\\,25/TB\\,0)",
        "-fps_mode", "passthrough", "-c:v", "libx264", "-g", "24", "-bf", "0", path,
    )  # fmt: skip
    result = scanned(path, 20.0)
    clips = records.from_table(Clip, result.clips)
    assert [(c.start_frame, c.end_frame) for c in clips] == [(0, 45), (45, 96)]
    assert result.source.timestamps == "exact"
    assert result.source.duration_s == pytest.approx(4.0, abs=0.01)


def test_a_still_at_the_end_stays_in_the_clip(tmp_path):
    slides = Path(__file__).parents[2] / "golden" / "media" / "08_slides_last_frame_13s.mp4"
    result = scanned(slides, 60.0)
    clips = tuple(records.from_table(Clip, result.clips))
    (row,) = RenderClips(output=str(tmp_path)).setup()(RenderBatch(result.source, clips))
    with av.open(str(tmp_path / row.path)) as container:
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(20.0, abs=0.05)
