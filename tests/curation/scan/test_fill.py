"""A score that is added later is filled by what it needs, and nothing else is done again."""

import dataclasses
from pathlib import Path

import pytest

from curation import scores
from curation.catalog import Catalog
from curation.listing import list_inputs
from curation.records import Clip
from curation.sample import Coding, numbered, sound
from curation.scan.shots import ContentChange
from curation.scan.stage import Scan
from curation.scan.step import ScanStep
from curation.scores import SCORES, SoundScore
from curation.storage import Storage
from pipelines.run.executor import InProcess
from pipelines.run.step_runner import Tally, drive

NAMES = ("Motion", "Borders", "Flicker", "Combing", "Loudness")
WHOLE = Scan(shots=ContentChange(), max_clip_s=1.0, scores=tuple(SCORES[name]() for name in NAMES))


def scan(folder: Path, stage: Scan) -> dict[str, int]:
    step = ScanStep(Catalog(Storage.at(folder / "out")), stage, list_inputs([str(folder / "v")]))
    tally = Tally()
    drive(step, InProcess(), tally)
    return dict(tally.counts)


def rows(folder: Path, name: str) -> list[dict]:
    score = SCORES[name]
    table = Catalog(Storage.at(folder / "out")).read(scores.table_name(score), score.record)
    return table.sort_by("clip_id").to_pylist()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A source with a late sound, scanned with all five scores at once."""
    folder = tmp_path_factory.mktemp("whole")
    wav = sound.write(folder / "a.wav", sound.tone(2.0, peak_db=-30))
    (folder / "v").mkdir()
    coding = Coding(sound_from=str(wav))
    numbered(folder / "v" / "a.mkv", 48, fps=24, size=(128, 72), coding=coding)
    assert scan(folder, WHOLE) == {"scanned": 1}
    return folder


@pytest.fixture
def measured(monkeypatch) -> set[str]:
    """Which scores measure something."""
    seen: set[str] = set()
    for name in NAMES:
        original = SCORES[name].measure

        def measure(self, *given, _name=name, _original=original):
            seen.add(_name)
            return _original(self, *given)

        monkeypatch.setattr(SCORES[name], "measure", measure)
    return seen


@pytest.fixture
def decoded(monkeypatch) -> list[set[str]]:
    """What each decoding of pictures was asked for."""
    import curation.scan.stage as module

    asked: list[set[str]] = []
    original = module.watch

    def watch(*given, **sinks):
        asked.append({name for name, sink in sinks.items() if name.startswith("on_") and sink})
        return original(*given, **sinks)

    monkeypatch.setattr(module, "watch", watch)
    return asked


NEEDS = {
    "Motion": [{"on_low", "on_analysis"}],
    "Borders": [{"on_low", "on_analysis"}],
    "Flicker": [{"on_low"}],
    "Combing": [{"on_low", "on_lines"}],
    "Loudness": [],
}


@pytest.mark.parametrize("name", NAMES)
def test_one_score_that_is_added_is_measured_alone(tmp_path, whole, measured, decoded, name):
    (tmp_path / "v").symlink_to(whole / "v")
    others = tuple(score for score in WHOLE.scores if type(score).__name__ != name)
    assert scan(tmp_path, dataclasses.replace(WHOLE, scores=others)) == {"scanned": 1}
    assert measured == {*NAMES} - {name}
    measured.clear()
    decoded.clear()
    assert scan(tmp_path, WHOLE) == {"filled": 1}
    assert measured == {name}
    assert decoded == NEEDS[name]
    assert rows(tmp_path, name) == rows(whole, name)
    assert len(rows(tmp_path, name)) == 2
    assert scan(tmp_path, WHOLE) == {}


def test_sound_is_heard_from_the_first_frame_on_whatever_is_filled(whole):
    """Clips with times say when the container begins, so that no picture has to be decoded."""
    found = rows(whole, "Loudness")
    assert {row["sound"] for row in found} == {"audible"}
    assert issubclass(SCORES["Loudness"], SoundScore)
    clips = Catalog(Storage.at(whole / "out")).read("clips", Clip)
    assert sorted(clips["clip_id"].to_pylist()) == [row["clip_id"] for row in found]
