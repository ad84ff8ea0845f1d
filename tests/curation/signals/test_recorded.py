"""Signals of clips that reach beyond their episode, or into frames without a time."""

import numpy as np

from curation.records import Clip
from curation.scan.recorded import SourceRecording
from curation.scores.recording import Recording as Score
from curation.signals.clock import NS, Clock
from curation.signals.recording import Episode, Recording
from curation.signals.resample import NO_TIME
from curation.signals.signal import Signal
from tests.curation.signals.test_clock import timeline


def clip(start, end):
    return Clip("c", "s", start, end, start / 10, end / 10, start, end)


def placed(episode, line):
    return SourceRecording(Recording((episode,)), None).placed(line)


def test_frames_of_a_clip_beyond_its_episode_have_no_signals():
    values = np.arange(30)[:, None]
    signal = Signal("s", "hold", np.arange(30) * NS // 10, values, ("value",))
    line = timeline(np.arange(61) / 10, [(0, 0.0, 0.0)])
    found = placed(Episode((signal,), Clock(), frames=30), line).of(clip(0, 60))
    times = found.content.frame_ns
    assert len(times) == 61
    assert times[:31].tolist() == (np.arange(31) * NS // 10).tolist()
    assert set(times[31:].tolist()) == {NO_TIME}
    assert Score().summarise(found)["signal_coverage"] == 0.5


def test_rows_by_frame_are_read_up_to_where_times_restart():
    signal = Signal("s", "hold", np.arange(6), np.arange(6)[:, None], ("value",))
    line = timeline(np.arange(7), [(0, 50.0, 0.0), (3, 0.0, 3.0)])
    found = placed(Episode((signal,), Clock(counts_frames=True)), line).of(clip(0, 6))
    assert found.problem is None
    assert found.content.frame_ns[:3].tolist() == [0, NS, 2 * NS]
    assert found.content.signals[0].values[:, 0].tolist() == [0, 1, 2]
