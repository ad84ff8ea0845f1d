"""The work list of captioning, and what it commits."""

import dataclasses

import pytest

from curation import records
from curation.caption import ApiCaption, FactsCaption, facts_caption
from curation.caption.base import CaptionedBatch, captioned_row, failed_row
from curation.caption.step import CaptionStep
from curation.dataset import Dataset
from curation.lineage import LineageError
from curation.records import Caption, CaptionedClip, Render, Verdict
from curation.stage import Done, Failed
from curation.step import open_ledger
from tests import rows

SOURCE, RENDERS = "1" * 64, "renders/encode-1"
CLIPS = [rows.make_clip(SOURCE, 24 * at, 24 * at + 24) for at in range(4)]


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    """Four clips, of which three are kept and two of those rendered."""
    dataset = Dataset(tmp_path / "out")
    looks = [rows.MeasuredClip(clip, scores={"motion": at / 8}) for at, clip in enumerate(CLIPS)]
    rows.add_source(dataset, "/v/a.mp4", looks)
    words = ["kept", "filtered", "kept", "kept"]
    verdicts = [Verdict("s", c.clip_id, SOURCE, w) for c, w in zip(CLIPS, words, strict=True)]
    dataset.catalog.append("selection", Verdict, records.to_table(Verdict, verdicts))
    rows.add_run(dataset, "select", "s")
    facts = {"width": 96, "height": 64, "frames": 24, "fps": 24.0, "mode": "encode"}
    renders = [
        Render(CLIPS[0].clip_id, SOURCE, "rendered", path="0.mp4", **facts),
        Render(CLIPS[1].clip_id, SOURCE, "rendered", path="1.mp4", **facts),
        Render(CLIPS[2].clip_id, SOURCE, "rendered", path="2.mp4", **facts),
        Render(CLIPS[3].clip_id, SOURCE, "failed", "corrupt", "?"),
    ]
    dataset.catalog.append(RENDERS, Render, records.to_table(Render, renders))
    return dataset


def step_of(dataset: Dataset, stage=None, **more) -> CaptionStep:
    stage = stage or ApiCaption(model="tiny", concurrency=1)
    return CaptionStep(dataset, stage, "s", renders=RENDERS, **more)


def done_with_captions(batch, *, outcome="captioned") -> Done:
    """As a worker returns it, with two captions a clip."""
    result = CaptionedBatch()
    for clip in batch.clips:
        if outcome != "captioned":
            result.clips.append(failed_row(clip, Failed("", outcome, "?"), requests=3, tokens_in=5))
            continue
        texts = [Caption(clip.clip_id, SOURCE, f"w{n}", n, tokens_in=10) for n in range(2)]
        result.captions.extend(texts)
        result.clips.append(captioned_row(clip, texts, requests=2))
    return Done(batch.key, result, 0.0)


def commit(step: CaptionStep, *outcomes) -> dict[str, int]:
    with open_ledger(step) as ledger:
        return dict(ledger.commit(list(outcomes)))


def replan(step: CaptionStep) -> CaptionStep:
    """The step as the next run plans it."""
    return dataclasses.replace(step)


def ids(step: CaptionStep) -> list[str]:
    return [clip.clip_id for batch in step.todo() for clip in batch.clips]


def test_every_kept_clip_gets_a_facts_caption(dataset):
    step = step_of(dataset, FactsCaption())
    (batch,) = step.todo()
    kept = [CLIPS[at].clip_id for at in (0, 2, 3)]
    assert [clip.clip_id for clip in batch.clips] == kept
    assert commit(step, (batch, Done(batch.key, step.stage.setup()(batch), 0.0))) == {
        "captioned": 3
    }
    found = dataset.captions(step.captions)
    rows_of = {row["clip_id"]: row for row in dataset.clips("kept").to_pylist()}
    assert {row["clip_id"]: row["text"] for row in found.to_pylist()} == {
        name: facts_caption(rows_of[name]) for name in kept
    }
    assert replan(step).todo() == []


def test_frames_are_read_of_every_rendered_kept_clip(dataset):
    step = step_of(dataset)
    batches = step.todo()
    (batch,) = batches
    assert [clip.clip_id for clip in batch.clips] == [CLIPS[0].clip_id, CLIPS[2].clip_id]
    first, last = batch.clips
    assert first.file.uri == dataset.catalog.storage.uri("0.mp4")
    assert (last.start_frame, last.end_frame, last.duration_s) == (48, 72, 1.0)
    assert (batch.key, step.weight(batch)) == (f"{first.clip_id}+2", 2)
    assert [part.key for part in step.split(batch)] == [f"{c.clip_id}+1" for c in batch.clips]


def test_a_batch_holds_as_many_clips_as_the_captioner_says(dataset):
    stage = ApiCaption(model="tiny", concurrency=1, request_limit=9)
    assert [len(batch.clips) for batch in step_of(dataset, stage).todo()] == [1, 1]


def test_committed_captions_are_not_repeated_and_name_their_model(dataset):
    step = step_of(dataset)
    (batch,) = step.todo()
    assert commit(step, (batch, done_with_captions(batch))) == {"captioned": 2}
    assert replan(step).todo() == []
    identity = step.stage.identity()
    for row in records.from_table(Caption, dataset.catalog.read(step.captions, Caption)):
        identity_columns = (row.model, row.model_digest, row.prompt_digest)
        assert identity_columns == ("tiny", None, identity.prompt_digest)
    assert step.spent() == (4, 40)
    other = step_of(dataset, dataclasses.replace(step.stage, domain="driving"))
    assert len(ids(other)) == 2
    assert other.captions != step.captions


def test_a_captioner_of_frames_has_a_table_per_profile_of_renders(dataset):
    rows_of = [Render(CLIPS[0].clip_id, SOURCE, "rendered", path="0.mp4", mode="encode",
                      sha256="b" * 64, width=96, height=64, frames=10, fps=10.0)]  # fmt: skip
    dataset.catalog.append("renders/encode-2", Render, records.to_table(Render, rows_of))
    first = step_of(dataset)
    commit(first, *((batch, done_with_captions(batch)) for batch in first.todo()))
    blurred = dataclasses.replace(step_of(dataset), renders="renders/encode-2")
    assert blurred.captions != first.captions
    assert ids(blurred) == [CLIPS[0].clip_id]
    commit(blurred, *((batch, done_with_captions(batch)) for batch in blurred.todo()))
    found = records.from_table(Caption, dataset.catalog.read(blurred.captions, Caption))
    assert {(c.render_profile, c.render_sha256) for c in found} == {("encode-2", "b" * 64)}
    (done,) = records.from_table(CaptionedClip, dataset.catalog.read(blurred.result, CaptionedClip))
    origin = (done.render_profile, done.render_sha256, done.render_frames, done.render_fps)
    assert origin == ("encode-2", "b" * 64, 10, 10.0)
    assert len(dataset.catalog.read(first.result, CaptionedClip)) == 2


@pytest.mark.parametrize("stage", [FactsCaption(), ApiCaption(model="tiny", rewrite="facts-1")])
def test_a_captioner_without_frames_has_one_table(dataset, stage):
    first = step_of(dataset, stage)
    assert dataclasses.replace(first, renders="renders/encode-2").captions == first.captions


def test_missing_renders_are_named(dataset):
    step = dataclasses.replace(step_of(dataset), renders="renders/encode-2")
    with pytest.raises(ValueError, match=f"no renders/encode-2, .* it has {RENDERS}: give the set"):
        step.check()
    dataclasses.replace(step, stage=FactsCaption()).check()


def test_failures_stay_failed_unless_retried(dataset):
    step = step_of(dataset)
    parts = step.split(step.todo()[0])
    assert commit(step, (parts[0], done_with_captions(parts[0], outcome="no_caption")),
                  (parts[1], Failed(parts[1].key, "internal", "?"))) == {
        "no_caption": 1, "internal": 1,
    }  # fmt: skip
    assert replan(step).todo() == []
    assert step.spent() == (3, 5)
    again = step_of(dataset, retry=frozenset({"no_caption", "missing"}))
    (batch,) = again.todo()
    assert batch.key == parts[0].key
    assert commit(again, (batch, done_with_captions(batch))) == {"captioned": 1}
    found = records.from_table(CaptionedClip, dataset.catalog.read(step.result, CaptionedClip))
    assert {row.clip_id: row.reason for row in found} == {
        CLIPS[0].clip_id: None, CLIPS[2].clip_id: "internal",
    }  # fmt: skip


def test_a_failure_is_dropped_only_where_the_clip_can_be_tried_again(dataset):
    """The render of one of two failed clips is gone: its reason stays known."""
    step = step_of(dataset)
    (batch,) = step.todo()
    assert commit(step, (batch, done_with_captions(batch, outcome="no_caption"))) == {
        "no_caption": 2
    }
    with dataset.catalog.writer("render", {RENDERS: Render}) as writer:
        writer.drop(RENDERS, "clip_id", {CLIPS[0].clip_id})
    again = step_of(dataset, retry=frozenset({"no_caption"}))
    (batch,) = again.todo()
    assert (batch.key, again.retried([batch])) == (f"{CLIPS[2].clip_id}+1", 1)
    assert commit(again, (batch, done_with_captions(batch))) == {"captioned": 1}
    found = records.from_table(CaptionedClip, dataset.catalog.read(step.result, CaptionedClip))
    assert {row.clip_id: row.reason for row in found} == {
        CLIPS[0].clip_id: "no_caption", CLIPS[2].clip_id: None,
    }  # fmt: skip


def test_deferred_clips_are_counted_and_not_committed(dataset):
    step = step_of(dataset)
    (batch,) = step.todo()
    done = done_with_captions(step.split(batch)[0])
    done.value.deferred.append("the server is busy")
    assert commit(step, (batch, done)) == {"captioned": 1, "unavailable": 1}
    assert step.deferred == ["the server is busy"]
    assert ids(replan(step)) == [CLIPS[2].clip_id]


def test_captions_without_a_commit_marker_are_ignored_and_dropped(dataset):
    step = step_of(dataset)
    first, second = step.split(step.todo()[0])
    commit(step, (first, done_with_captions(first)))
    cut_off = [Caption(CLIPS[2].clip_id, SOURCE, "half")]
    dataset.catalog.append(step.captions, Caption, records.to_table(Caption, cut_off))
    assert dataset.captions(step.captions)["clip_id"].to_pylist() == [CLIPS[0].clip_id]
    commit(step, (second, done_with_captions(second)))
    texts = dataset.catalog.read(step.captions, Caption)["text"].to_pylist()
    assert sorted(texts) == ["w0", "w0", "w1", "w1"]


def test_captions_are_rewritten_where_there_are_some(dataset):
    stage = ApiCaption(model="tiny", rewrite="facts-1")
    with pytest.raises(LineageError, match="no captions 'facts-1'; there are none"):
        step_of(dataset, stage).check()
    texts = [Caption(CLIPS[2].clip_id, SOURCE, f"w{n}", n) for n in range(2)]
    dataset.catalog.append("captions/facts-1", Caption, records.to_table(Caption, texts))
    step = step_of(dataset, stage)
    step.check()
    (batch,) = step.todo()
    assert [(c.clip_id, c.captions, c.file) for c in batch.clips] == [
        (CLIPS[2].clip_id, ("w0", "w1"), None)
    ]
