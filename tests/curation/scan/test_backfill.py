"""A score added later decodes only the streams that it needs and computes nothing else again."""

import dataclasses
from pathlib import Path

import pytest

from curation import scores
from curation.catalog import Catalog
from curation.listing import list_videos
from curation.records import Clip
from curation.sample import Coding, sound, write_numbered_video
from curation.scan.shots import ContentChange
from curation.scan.stage import Scan
from curation.scan.step import ScanStep
from curation.scores import SCORES, SoundScore
from curation.storage import Storage
from pipelines.run.engine import in_process
from pipelines.run.step_runner import Progress, run_step

NAMES = ("Motion", "Borders", "Flicker", "Combing", "Loudness")
ALL_SCORES = Scan(
    shots=ContentChange(), max_clip_s=1.0, scores=tuple(SCORES[name]() for name in NAMES)
)


def scan(folder: Path, stage: Scan) -> dict[str, int]:
    step = ScanStep(
        Catalog(Storage.at(folder / "out")), stage, list_videos([str(folder / "v")]).entries
    )
    progress = Progress()
    run_step(step, in_process(), progress)
    return dict(progress.counts)


def rows(folder: Path, name: str) -> list[dict]:
    score = SCORES[name]
    table = Catalog(Storage.at(folder / "out")).read(scores.table_name(score), score.record)
    return table.sort_by("clip_id").to_pylist()


@pytest.fixture(scope="module")
def complete(tmp_path_factory) -> Path:
    """A source with a late sound, scanned with all five scores at once."""
    folder = tmp_path_factory.mktemp("whole")
    wav = sound.write_wav(folder / "a.wav", sound.tone(2.0, peak_db=-30))
    (folder / "v").mkdir()
    coding = Coding(sound_from=str(wav))
    write_numbered_video(folder / "v" / "a.mkv", 48, fps=24, size=(128, 72), coding=coding)
    assert scan(folder, ALL_SCORES) == {"scanned": 1}
    return folder


@pytest.fixture
def measured(monkeypatch) -> set[str]:
    """Which scores measure something."""
    names: set[str] = set()
    for name in NAMES:
        original = SCORES[name].measure

        def measure(self, *args, _name=name, _original=original):
            names.add(_name)
            return _original(self, *args)

        monkeypatch.setattr(SCORES[name], "measure", measure)
    return names


@pytest.fixture
def decoded(monkeypatch) -> list[set[str]]:
    """The streams that each decode was asked for."""
    import curation.scan.stage as module

    streams: list[set[str]] = []
    original = module.decode_streams

    def decode_streams(*args, **sinks):
        streams.append({name for name, sink in sinks.items() if name.startswith("on_") and sink})
        return original(*args, **sinks)

    monkeypatch.setattr(module, "decode_streams", decode_streams)
    return streams


NEEDS = {
    "Motion": [{"on_analysis"}],
    "Borders": [{"on_analysis"}],
    "Flicker": [{"on_lowres"}],
    "Combing": [{"on_columns"}],
    "Loudness": [],
}


@pytest.mark.parametrize("name", NAMES)
def test_only_the_added_score_is_measured(tmp_path, complete, measured, decoded, name):
    (tmp_path / "v").symlink_to(complete / "v")
    all_but_one = tuple(score for score in ALL_SCORES.scores if type(score).__name__ != name)
    assert scan(tmp_path, dataclasses.replace(ALL_SCORES, scores=all_but_one)) == {"scanned": 1}
    assert measured == {*NAMES} - {name}
    measured.clear()
    decoded.clear()
    assert scan(tmp_path, ALL_SCORES) == {"filled": 1}
    assert measured == {name}
    assert decoded == NEEDS[name]
    assert rows(tmp_path, name) == rows(complete, name)
    assert len(rows(tmp_path, name)) == 2
    assert scan(tmp_path, ALL_SCORES) == {}


def test_sound_is_measured_from_the_first_frame_on_in_a_backfill(complete):
    """Clips with times say when the container begins, so that no picture has to be decoded."""
    loudness = rows(complete, "Loudness")
    assert {row["sound"] for row in loudness} == {"audible"}
    assert issubclass(SCORES["Loudness"], SoundScore)
    clips = Catalog(Storage.at(complete / "out")).read("clips", Clip)
    assert sorted(clips["clip_id"].to_pylist()) == [row["clip_id"] for row in loudness]
