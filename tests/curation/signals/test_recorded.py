"""The recording of a source: read with what is declared, placed on its frames."""

import numpy as np
import pytest

from curation.listing import Entry
from curation.media.sandbox import Limits
from curation.records import Clip
from curation.scan.recorded import SourceRecording
from curation.scores.recording import RecordingQuality
from curation.signals.clock import NS, Clock
from curation.signals.read import SignalSettings, find_recording
from curation.signals.recording import Episode, Recording
from curation.signals.resample import NO_TIME
from curation.signals.signal import Signal, SignalError
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
    assert RecordingQuality().summarise(found)["signal_coverage"] == 0.5


def test_rows_by_frame_are_read_up_to_where_times_restart():
    signal = Signal("s", "hold", np.arange(6), np.arange(6)[:, None], ("value",))
    line = timeline(np.arange(7), [(0, 50.0, 0.0), (3, 0.0, 3.0)])
    found = placed(Episode((signal,), Clock(counts_frames=True)), line).of(clip(0, 6))
    assert found.problem is None
    assert found.content.frame_ns[:3].tolist() == [0, NS, 2 * NS]
    assert found.content.signals[0].values[:, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("stated", [{"offset_s": "x"}, {"offset_s": "1e400"}, {"drift_ppm": "nan"}])
def test_what_a_list_states_wrongly_of_a_session_is_a_problem_of_its_signals(tmp_path, stated):
    entry = Entry(str(tmp_path / "v.mp4"), extra={"session": "s", **stated}, root=str(tmp_path))
    found = SourceRecording.read(entry, SignalSettings(), Limits())
    assert f"the list states {next(iter(stated))}" in found.problem


def test_a_session_without_signals_has_its_declared_clock(tmp_path):
    stated = {"session": "s", "offset_s": "7", "drift_ppm": "100"}
    entry = Entry(str(tmp_path / "v.mp4"), extra=stated, root=str(tmp_path))
    (episode,) = SourceRecording.read(entry, SignalSettings(), Limits()).recording.episodes
    assert (episode.clock.offset_s, episode.clock.drift_ppm) == (7.0, 100.0)


def test_signals_are_read_again_once_what_is_declared_changes(tmp_path):
    def key(settings=None, **extra):
        entry = Entry(str(tmp_path / "v.mp4"), extra=extra, root=str(tmp_path))
        return find_recording(entry, settings or SignalSettings())

    (tmp_path / "v.signals.csv").write_text("time_s,a\n0,1\n")
    keys = [
        key(), key(offset_s="0.04"), key(drift_ppm="9"), key(session="s"), key(camera="c"),
        key(SignalSettings(kinds={"a": "delta"})), key(SignalSettings(offset_s=0.04)),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]
    (tmp_path / "v.signals.csv").write_text("time_s,a\n0,1\n1,2\n")
    assert key() not in keys


@pytest.mark.parametrize("fields", [{"offset_s": float("inf")}, {"drift_ppm": float("nan")}])
def test_settings_out_of_range_are_refused(fields):
    with pytest.raises(SignalError, match="out of range"):
        SignalSettings(**fields)
