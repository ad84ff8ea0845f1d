"""Sound is decoded once, counted from the first frame, and never a verdict on the pictures."""

import numpy as np
import pytest

from curation.media.audio import PIECE, RATE, listen
from curation.media.probe import probe
from curation.media.sandbox import Limits
from curation.media.segments import Stretch
from curation.sample import Coding, sound
from curation.scores.loudness import integrated


@pytest.fixture(scope="module")
def heard():
    """What is heard of a file from a time on: loudness, and all samples."""

    def hear(path, begin_s=0.0):
        pieces = []
        facts, stretches = probe(str(path), Limits()), (Stretch(0, begin_s, 0.0),)
        found = listen(str(path), facts, Limits(), stretches, pieces.append)
        assert all(len(piece) == PIECE for piece in pieces[:-1])
        return found, np.concatenate([np.zeros(0, np.float32), *pieces])

    return hear


@pytest.fixture
def sounding(tmp_path, made):
    """A numbered source with this sound."""

    def make(name, samples, frames=48, channels=2, **coding):
        wav = sound.write(tmp_path / f"{name}.wav", samples, channels=channels)
        return made(name, frames, Coding(sound_from=str(wav), **coding))

    return make


def test_a_tone_is_as_loud_as_the_standard_says(heard, sounding):
    """A sine of 1 kHz on both channels, peak −23 dB of full scale, has −23 LUFS (EBU Tech 3341)."""
    found, samples = heard(sounding("tone.mkv", sound.tone(2, peak_db=-23)))
    assert integrated(found.momentary) == pytest.approx(-23, abs=0.3)
    assert len(samples) == pytest.approx(2 * RATE, abs=0.1 * RATE)
    middle = samples[RATE // 2 : RATE]
    assert np.sqrt(2 * (middle**2).mean()) == pytest.approx(10 ** (-23 / 20), rel=0.05)


def test_sound_that_begins_late_is_where_it_belongs(heard, sounding):
    late = np.concatenate([sound.silence(1.0), sound.tone(1.0)])
    found, samples = heard(sounding("late.mp4", late))
    assert np.abs(samples[: int(0.9 * RATE)]).max() < 1e-3
    assert np.abs(samples[int(1.1 * RATE) : int(1.8 * RATE)]).max() > 0.09
    _, cut = heard(sounding("late.mp4", late), begin_s=0.5)
    assert np.argmax(np.abs(cut) > 0.05) == pytest.approx(RATE // 2, abs=RATE // 20)
    found_later, _ = heard(sounding("late.mp4", late), begin_s=0.5)
    assert len(found.momentary) - len(found_later.momentary) == pytest.approx(5, abs=1)


def test_a_track_whose_times_begin_after_the_pictures_begins_with_silence(
    heard, sounding, ffmpeg, tmp_path
):
    source = sounding("shift.mp4", sound.tone(2))
    path = tmp_path / "shifted.mkv"
    ffmpeg("-itsoffset", 0.7, "-i", source, "-i", source, "-map", "1:v", "-map", "0:a",
           "-c", "copy", path)  # fmt: skip
    _, samples = heard(path)
    assert np.argmax(np.abs(samples) > 0.05) == pytest.approx(0.7 * RATE, abs=0.05 * RATE)


def test_damage_in_the_sound_leaves_what_could_be_decoded(heard, sounding, tmp_path):
    whole = sounding("damaged.mkv", sound.tone(2)).read_bytes()
    path = tmp_path / "damaged.mkv"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    found, samples = heard(path)
    assert found is not None
    assert 0 < len(samples) < 2 * RATE


def test_a_source_without_sound_has_none(heard, made):
    assert heard(made("mute.mp4", 24))[0] is None
