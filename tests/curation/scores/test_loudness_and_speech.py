"""Loudness, silence and speech, of clips of sources whose sound is known."""

from importlib.util import find_spec

import numpy as np
import pytest

from curation.listing import entry_at
from curation.sample import Coding, sound
from curation.scan.shots import FixedWindows
from curation.scan.stage import Scan, ScanItem
from curation.scores.loudness import Loudness, integrated_loudness
from curation.scores.speech import Speech

WORDS = "The camera follows a small boat along the river. Two people walk on the bank."
SILENCE = np.zeros(sound.SAMPLE_RATE, np.float32)


def rows(path, *scores):
    """A row for each second of the source, with the columns of all scores."""
    stage = Scan(shots=FixedWindows(), max_clip_s=1.0, scores=scores, embedders=())
    result = stage.setup()(ScanItem(entry_at(str(path), {})))
    order = [clip["clip_id"] for clip in result.clips.to_pylist()]
    rows = [{} for _ in order]
    for name in result.side_rows:
        if name.startswith("scores/"):
            for row in result.side_rows[name].to_pylist():
                rows[order.index(row["clip_id"])] |= row
    return rows


@pytest.fixture(scope="module")
def sounding(tmp_path_factory, made):
    def make(name, samples, frames):
        wav = sound.write_wav(tmp_path_factory.mktemp("wav") / "a.wav", samples)
        return made(name, frames, Coding(sound_from=str(wav)))

    return make


def test_clips_are_as_loud_and_as_silent_as_their_own_second(sounding):
    parts = (sound.tone(1, peak_db=-20), SILENCE, sound.tone(1, peak_db=-40))
    loud, silent, quiet = rows(sounding("loud.mp4", np.concatenate(parts), 72), Loudness())
    # One channel of two: 3 LU less than the peak, and what the tone's edges cost.
    assert loud["loudness"] == pytest.approx(-23.0, abs=0.5)
    assert quiet["loudness"] == pytest.approx(-43.0, abs=0.5)
    assert (loud["sound"], silent["sound"], quiet["sound"]) == ("audible", "silent", "audible")
    assert loud["silence_share"] == quiet["silence_share"] == 0
    assert silent["silence_share"] >= 0.9


def test_without_a_track_all_fields_are_null(made):
    (row,) = rows(made("mute.mp4", 24), Loudness(), Speech())
    names = ("sound", "loudness", "silence_share", "voice", "speech_share")
    assert [row[name] for name in names] == [None] * 5


def test_loudness_is_gated():
    """The quiet half does not count (EBU Tech 3341, case 3), nor what cannot be heard."""
    loud, quiet = np.full(50, -23.0), np.full(50, -36.0)
    assert integrated_loudness(np.concatenate([loud, quiet])) == pytest.approx(-23.0)
    assert integrated_loudness(np.array([-71.0, -120.0, np.nan])) is None
    assert integrated_loudness(np.array([-20.0, -26.0])) == pytest.approx(-22.04, abs=0.01)


@pytest.mark.skipif(find_spec("espeakng_loader") is None, reason="espeakng-loader is not installed")
@pytest.mark.parametrize("voice", ["en", "de", "fr+m3"])
def test_speech_is_heard_as_speech(sounding, voice):
    spoken = sound.speech(WORDS, voice=voice)
    noisy = spoken[: 2 * sound.SAMPLE_RATE] + sound.noise(2, level_db=-45)
    for row in rows(sounding(f"speech_{voice}.mp4", noisy, 48), Speech()):
        assert row["voice"] == "speech"
        assert row["speech_share"] > 0.5


def test_noise_chords_and_tones_are_not_speech(sounding):
    parts = (sound.noise(1), sound.chords(1), sound.tone(1, hertz=300), SILENCE)
    for row in rows(sounding("other.mp4", np.concatenate(parts), 96), Speech()):
        assert row["voice"] == "none"
        assert row["speech_share"] < 0.25
