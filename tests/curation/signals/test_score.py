"""What the score of a recording says of faults that were planted."""

import numpy as np
import pytest

from curation.scores.recording import RecordingQuality
from curation.signals.blocks import clip_signals
from curation.signals.clock import NS, Clock
from curation.signals.recorded_clip import RecordedClip, deviations
from curation.signals.recording import Episode
from curation.signals.signal import Signal

FRAMES = np.arange(301, dtype=np.int64) * NS // 30


def measured(stamps, values, kind="linear", drift=None, frame_ns=FRAMES):
    array = np.asarray(values, float)[:, None]
    signal = Signal("s", kind, np.asarray(stamps, np.int64), array, ("value",))
    episode = Episode((signal,), Clock())
    content = clip_signals((signal,), frame_ns)
    return RecordingQuality().summarise(RecordedClip(episode, content, deviations(episode), drift))


def smooth(count, rate):
    n = np.arange(count)
    return np.rint(n * NS / rate).astype(np.int64), np.sin(n / rate)


@pytest.mark.parametrize("rate", [30, 100, 1000])
def test_a_smooth_signal_is_good_at_any_rate(rate):
    row = measured(*smooth(11 * rate, rate))
    assert row == {
        "recording": "good", "signal_coverage": 1.0, "idle_share": row["idle_share"],
        "dropped_share": 0.0, "spike_share": 0.0, "clock_drift_ppm": None,
    }  # fmt: skip
    assert row["idle_share"] < 0.05


def test_dropped_samples_are_counted():
    stamps, values = smooth(1100, 100)
    kept = np.arange(1100) % 10 != 3
    row = measured(stamps[kept], values[kept])
    assert row["dropped_share"] == pytest.approx(0.1, abs=0.002)
    assert row["recording"] in ("gaps", "short")


def test_of_a_gap_only_the_part_in_the_clip_counts():
    """100 s of samples are missing, 0.1 s of these in the clip of ten seconds."""
    stamps, values = smooth(11_100, 100)
    kept = (stamps < NS) | (stamps >= 100 * NS)
    row = measured(stamps[kept], values[kept], frame_ns=FRAMES + 99_900_000_000)
    assert row["dropped_share"] == pytest.approx(0.01, abs=0.001)
    assert row["recording"] == "good"


@pytest.mark.parametrize("kind", ["hold", "linear"])
def test_where_a_signal_is_invalid_it_is_not_idle(kind):
    stamps, values = smooth(200, 100)
    row = measured(stamps + 9 * NS, values, kind)
    assert (row["signal_coverage"], row["idle_share"]) == (pytest.approx(0.1, abs=0.01), 0.0)


def test_a_rotation_that_trembles_less_than_a_thousandth_is_idle_in_either_order():
    turn = np.zeros(1100)
    turn[:550] = np.linspace(0, 1, 550)
    turn[550:] = 1 + 1e-5 * (-1.0) ** np.arange(550)
    stamps, none = smooth(1100, 100)[0], np.zeros(1100)
    parts = {"x": none, "y": none, "z": np.sin(turn / 2), "w": np.cos(turn / 2)}
    shares = []
    for channels in ("wxyz", "xyzw"):
        values = np.stack([parts[name] for name in channels], axis=1)
        signal = Signal("s", "rotation", stamps, values, tuple(channels))
        episode = Episode((signal,), Clock())
        content = clip_signals((signal,), FRAMES)
        row = RecordingQuality().summarise(RecordedClip(episode, content, deviations(episode)))
        shares.append(row["idle_share"])
    assert shares == [pytest.approx(0.45, abs=0.01)] * 2


def test_a_signal_that_ends_early_is_short():
    stamps, values = smooth(500, 100)
    row = measured(stamps, values)
    assert row["signal_coverage"] == pytest.approx(0.5, abs=0.01)
    assert row["recording"] == "short"


def test_spikes():
    stamps, values = smooth(1100, 100)
    values[np.arange(1100) % 33 == 5] += 9
    row = measured(stamps, values)
    assert row["spike_share"] == pytest.approx(2 / 33, abs=0.003)
    assert row["recording"] == "spikes"


def test_idle_and_drift():
    stamps, values = smooth(1100, 100)
    values[stamps > 5 * NS] = values[500]
    row = measured(stamps, values, drift=-900.0)
    assert row["idle_share"] == pytest.approx(0.5, abs=0.02)
    assert (row["recording"], row["clock_drift_ppm"]) == ("desynchronised", 900.0)


def test_without_a_recording_all_is_null_and_a_bad_one_is_unreadable():
    assert set(RecordingQuality().summarise(RecordedClip()).values()) == {None}
    row = RecordingQuality().summarise(RecordedClip(problem="stamps go back"))
    assert row.pop("recording") == "unreadable"
    assert set(row.values()) == {None}
