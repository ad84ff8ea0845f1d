"""The report's caption statistics, of an output that is written row by row."""

import json

import pytest

from curation import records
from curation.dataset import Dataset
from curation.records import Caption, CaptionedClip
from pipelines.report.captions import QuestionSummary, gather
from pipelines.report.page import write_report
from pipelines.report.snapshot import OutputSnapshot
from tests.rows import MeasuredClip, add_source, make_clip

TEXTS = ("A red car.", "A red car.", "Rain, rain at <b>night</b>", None)
CONFIDENCES = (0.9, 0.2, 0.6)


@pytest.fixture
def dataset(tmp_path):
    """Four clips: three that a model captioned, one that it refused."""
    dataset = Dataset(tmp_path / "out")
    clips = [make_clip("a" * 64, 48 * n, 48 * n + 48) for n in range(4)]
    add_source(dataset, "/v/film.mp4", [MeasuredClip(clip) for clip in clips])
    captions = [
        Caption(clip.clip_id, clip.source_id, text, model="m1", answers=json.dumps({"wet": yes}))
        for clip, text, yes in zip(clips, TEXTS, CONFIDENCES, strict=False)
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
    dataset.catalog.append("captions/api-1", Caption, records.to_table(Caption, captions))
    table = records.to_table(CaptionedClip, outcomes)
    dataset.catalog.append("captioned/api-1", CaptionedClip, table)
    return dataset


def test_captions_are_counted(dataset):
    (table,) = gather(OutputSnapshot.at(dataset))
    assert (table.name, table.models, table.clips, table.windows) == ("api-1", "m1", 3, 3)
    assert table.failed == [("refused", 1)]
    assert (table.unique, table.repeated) == (1, [("A red car.", 2)])
    assert table.distinct_words == 6, "a, red, car, rain, at, and the word in its brackets"
    assert (table.requests, table.tokens) == (7, 27)
    assert table.questions == [QuestionSummary("wet", 3, 2)]
    assert table.length is not None
    assert (table.length.measured, table.length.median) == (3, "3")


def test_captions_without_an_outcome_do_not_count(dataset):
    extra = Caption("f" * 32, "a" * 64, "Left behind.")
    dataset.catalog.append("captions/api-1", Caption, records.to_table(Caption, [extra]))
    assert gather(OutputSnapshot.at(dataset))[0].windows == 3


def test_captions_are_escaped(dataset, tmp_path):
    page = write_report(dataset, tmp_path / "report.html").read_text()
    assert "<b>night" not in page
    assert 'id="captions"' in page


def test_an_output_without_captions_has_no_section(tmp_path):
    dataset = Dataset(tmp_path / "out")
    add_source(dataset, "/v/film.mp4", [MeasuredClip(make_clip("a" * 64, 0, 48))])
    assert 'id="captions"' not in write_report(dataset, tmp_path / "report.html").read_text()
