"""What the report says of captions, of an output that is written row by row."""

import json

import pytest

from curation import records
from curation.dataset import Dataset
from curation.records import Caption, CaptionedClip
from pipelines.report import write_report
from pipelines.report.captions import Answers, gather
from pipelines.report.snapshot import Output
from tests.rows import Looks, clip_of, scanned

SAID = ("A red car.", "A red car.", "Rain, rain at <b>night</b>", None)
SURE = (0.9, 0.2, 0.6)


@pytest.fixture
def dataset(tmp_path):
    """Four clips: three that a model described, one that it refused."""
    made = Dataset(tmp_path / "out")
    clips = [clip_of("a" * 64, 48 * n, 48 * n + 48) for n in range(4)]
    scanned(made, "/v/film.mp4", [Looks(clip) for clip in clips])
    described = [
        Caption(clip.clip_id, clip.source_id, text, model="m1", answers=json.dumps({"wet": sure}))
        for clip, text, sure in zip(clips, SAID, SURE, strict=False)
        if text
    ]
    outcomes = [
        CaptionedClip(clip.clip_id, clip.source_id, "captioned", windows=1, requests=2, tokens_in=9)
        for clip in clips[:3]
    ]
    refused = clips[3]
    outcomes.append(
        CaptionedClip(refused.clip_id, refused.source_id, "failed", "refused", "no", requests=1)
    )
    made.catalog.append("captions/api-1", Caption, records.table(Caption, described))
    made.catalog.append("captioned/api-1", CaptionedClip, records.table(CaptionedClip, outcomes))
    return made


def test_captions_are_counted(dataset):
    (found,) = gather(Output.at(dataset))
    assert (found.name, found.models, found.clips, found.windows) == ("api-1", "m1", 3, 3)
    assert found.failed == [("refused", 1)]
    assert (found.alone, found.repeated) == (1, [("A red car.", 2)])
    assert found.vocabulary == 6, "a, red, car, rain, at, and the word in its brackets"
    assert (found.requests, found.tokens) == (7, 27)
    assert found.answers == [Answers("wet", 3, 2)]
    assert found.words is not None
    assert (found.words.measured, found.words.median) == (3, "3")


def test_what_no_outcome_announces_does_not_count(dataset):
    extra = Caption("f" * 32, "a" * 64, "Left behind.")
    dataset.catalog.append("captions/api-1", Caption, records.table(Caption, [extra]))
    assert gather(Output.at(dataset))[0].windows == 3


def test_captions_are_inert_text(dataset, tmp_path):
    page = write_report(dataset, tmp_path / "report.html").read_text()
    assert "<b>night" not in page
    assert 'id="captions"' in page


def test_an_output_without_captions_says_nothing_of_them(tmp_path):
    made = Dataset(tmp_path / "out")
    scanned(made, "/v/film.mp4", [Looks(clip_of("a" * 64, 0, 48))])
    assert 'id="captions"' not in write_report(made, tmp_path / "report.html").read_text()
