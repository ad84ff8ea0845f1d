"""Audio is decoded once, counted from the first frame, and its damage never fails the video."""

import numpy as np
import pytest

from curation.media.audio import CHUNK_SAMPLES, SAMPLE_RATE, decode_audio
from curation.media.probe import probe
from curation.media.sandbox import Limits
from curation.media.timeline import TimelineSegment
from curation.sample import Coding, sound
from curation.scores.loudness import integrated_loudness


@pytest.fixture(scope="module")
def decode():
    """Loudness and all samples of a file from a time on."""

    def run(path, start_s=0.0):
        chunks = []
        info, segments = probe(str(path), Limits()), (TimelineSegment(0, start_s, 0.0),)
        loudness = decode_audio(str(path), info, Limits(), segments, chunks.append)
        assert all(len(chunk) == CHUNK_SAMPLES for chunk in chunks[:-1])
        return loudness, np.concatenate([np.zeros(0, np.float32), *chunks])

    return run


@pytest.fixture
def source_with(tmp_path, made):
    """A numbered source with this audio."""

    def make(name, samples, frames=48, channels=2, **coding):
        wav = sound.write_wav(tmp_path / f"{name}.wav", samples, channels=channels)
        return made(name, frames, Coding(sound_from=str(wav), **coding))

    return make


def test_a_tone_is_as_loud_as_the_standard_says(decode, source_with):
    """A sine of 1 kHz on both channels, peak −23 dB of full scale, has −23 LUFS (EBU Tech 3341)."""
    loudness, samples = decode(source_with("tone.mkv", sound.tone(2, peak_db=-23)))
    assert integrated_loudness(loudness.momentary_lufs) == pytest.approx(-23, abs=0.3)
    assert len(samples) == pytest.approx(2 * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)
    middle = samples[SAMPLE_RATE // 2 : SAMPLE_RATE]
    assert np.sqrt(2 * (middle**2).mean()) == pytest.approx(10 ** (-23 / 20), rel=0.05)


def test_audio_that_starts_late_is_placed_correctly(decode, source_with):
    late = np.concatenate([np.zeros(sound.SAMPLE_RATE, np.float32), sound.tone(1.0)])
    loudness, samples = decode(source_with("late.mp4", late))
    assert np.abs(samples[: int(0.9 * SAMPLE_RATE)]).max() < 1e-3
    assert np.abs(samples[int(1.1 * SAMPLE_RATE) : int(1.8 * SAMPLE_RATE)]).max() > 0.09
    _, cut = decode(source_with("late.mp4", late), start_s=0.5)
    assert np.argmax(np.abs(cut) > 0.05) == pytest.approx(SAMPLE_RATE // 2, abs=SAMPLE_RATE // 20)
    later_loudness, _ = decode(source_with("late.mp4", late), start_s=0.5)
    missing = len(loudness.momentary_lufs) - len(later_loudness.momentary_lufs)
    assert missing == pytest.approx(5, abs=1)


def test_a_track_that_starts_after_the_video_starts_with_silence(
    decode, source_with, ffmpeg, tmp_path
):
    source = source_with("shift.mp4", sound.tone(2))
    path = tmp_path / "shifted.mkv"
    ffmpeg("-itsoffset", 0.7, "-i", source, "-i", source, "-map", "1:v", "-map", "0:a",
           "-c", "copy", path)  # fmt: skip
    _, samples = decode(path)
    assert np.argmax(np.abs(samples) > 0.05) == pytest.approx(
        0.7 * SAMPLE_RATE, abs=0.05 * SAMPLE_RATE
    )


def test_damaged_audio_is_used_as_far_as_it_decodes(decode, source_with, tmp_path):
    whole = source_with("damaged.mkv", sound.tone(2)).read_bytes()
    path = tmp_path / "damaged.mkv"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    loudness, samples = decode(path)
    assert loudness is not None
    assert 0 < len(samples) < 2 * SAMPLE_RATE


def test_a_source_without_audio_has_no_loudness(decode, made):
    assert decode(made("mute.mp4", 24))[0] is None
