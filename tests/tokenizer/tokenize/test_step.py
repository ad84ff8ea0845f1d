"""What tokenize has to do, and what it commits, over clips that stand for renders."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from curation import records
from curation.dataset import Dataset
from curation.lineage import LineageError
from curation.media.cut import Span
from curation.records import Render, TokenizedClip, Verdict
from curation.stage import Done, Failed
from curation.step import open_ledger
from tests import rows
from tokenizer.tokenize import step as module
from tokenizer.tokenize.decode import decode_stored
from tokenizer.tokenize.psnr import psnr_db
from tokenizer.tokenize.shards import TokenWindow
from tokenizer.tokenize.stage import Tokenize, TokenizedBatch
from tokenizer.tokenize.step import TokenizeStep

SOURCE, RENDERS = "1" * 64, "renders/encode-1"
CLIPS = [rows.make_clip(SOURCE, 24 * at, 24 * at + 9) for at in range(3)]


def rendered(clip, path: str | None, **more) -> Render:
    facts = {"width": 96, "height": 64, "frames": 9, "fps": 24.0, "mode": "encode"}
    return Render(clip.clip_id, SOURCE, "rendered", path=path, **{**facts, **more})


def commit_renders(dataset: Dataset, *renders: Render) -> None:
    dataset.catalog.append(RENDERS, Render, records.to_table(Render, renders))


def step_on(dataset: Dataset) -> TokenizeStep:
    return TokenizeStep(dataset, Tokenize("pca-8x8x8", max_frames=9), "s", renders=RENDERS)


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """Three clips, of which two are kept."""
    place = tmp_path_factory.mktemp("kept")
    made = Dataset(place)
    looks = [rows.MeasuredClip(clip) for clip in CLIPS]
    rows.add_source(made, "/v/a.mp4", looks, tables={"clips": records.Clip})
    words = ["kept", "kept", "filtered"]
    verdicts = [Verdict("s", c.clip_id, SOURCE, w) for c, w in zip(CLIPS, words, strict=True)]
    made.catalog.append("selection", Verdict, records.to_table(Verdict, verdicts))
    rows.add_run(made, "select", "s")
    return place


@pytest.fixture(scope="module")
def all_rendered(kept, tmp_path_factory, pattern, write_clip) -> Path:
    """Both kept clips are rendered, and one that a former selection kept."""
    place = tmp_path_factory.mktemp("rendered") / "out"
    shutil.copytree(kept, place)
    for at in range(len(CLIPS)):
        write_clip(place / f"{at}.mp4", pattern(9))
    commit_renders(
        Dataset(place),
        *(
            rendered(c, f"{at}.mp4", **rows.file_facts(place / f"{at}.mp4"))
            for at, c in enumerate(CLIPS)
        ),
    )
    return place


@pytest.fixture
def dataset(kept, tmp_path) -> Dataset:
    shutil.copytree(kept, tmp_path / "kept")
    return Dataset(tmp_path / "kept")


@pytest.fixture
def step(all_rendered, tmp_path) -> TokenizeStep:
    shutil.copytree(all_rendered, tmp_path / "out")
    return step_on(Dataset(tmp_path / "out"))


def replan(step: TokenizeStep) -> TokenizeStep:
    """The step as the next run plans it."""
    return dataclasses.replace(step)


def work(step: TokenizeStep, batch) -> Done:
    return Done(batch.key, step.stage.setup()(batch), 0.0)


def tokenized(step: TokenizeStep) -> dict[str, TokenizedClip]:
    table = step.catalog.read(step.result, TokenizedClip)
    return {clip.clip_id: clip for clip in records.from_table(TokenizedClip, table)}


def windows(step: TokenizeStep) -> list[str]:
    return sorted(step.catalog.read(step.tokens, TokenWindow)["clip_id"].to_pylist())


def test_kept_and_rendered_clips_are_tokenized_once_in_the_order_of_time(step):
    todo = step.todo()
    assert [c.clip_id for batch in todo for c in batch.clips] == [c.clip_id for c in CLIPS[:2]]
    assert all(batch.directory == step.tokens for batch in todo)
    with open_ledger(step) as ledger:
        results = [(batch, work(step, batch)) for batch in todo]
        assert ledger.commit(results) == {"tokenized": 2}
    assert replan(step).todo() == []
    assert windows(step) == sorted(c.clip_id for c in CLIPS[:2])
    assert {c.windows for c in tokenized(step).values()} == {1}


def test_clips_whose_render_failed_are_not_on_the_work_list(dataset):
    failed = Render(CLIPS[0].clip_id, SOURCE, "failed", "corrupt", "bad")
    commit_renders(dataset, failed)
    assert step_on(dataset).todo() == []


def test_each_mode_of_render_is_read_in_its_own_way(dataset):
    """Our own encodes whole by decord; foreign packets and spans in a confined child."""
    commit_renders(dataset, rendered(CLIPS[0], "c.mp4", mode="copy"))
    commit_renders(dataset, rendered(CLIPS[1], None, mode="span"))
    copied, spanned = (clip for batch in step_on(dataset).todo() for clip in batch.clips)
    root = dataset.catalog.storage.root
    assert (copied.uri, copied.span.start_frame, copied.span.frames) == (f"{root}/c.mp4", 0, 9)
    assert copied.span.start_pts is None
    (source,) = records.from_table(records.Source, dataset.sources())
    assert (spanned.uri, spanned.span) == ("/v/a.mp4", Span.of(CLIPS[1], source))


def test_many_clips_make_batches_of_a_bounded_size(step, monkeypatch):
    monkeypatch.setattr(module, "_BATCHES", 1)
    (batch,) = step.todo()
    assert step.weight(batch) == 2
    assert [part.key for part in step.split(batch)] == [f"{c.clip_id}+1" for c in CLIPS[:2]]
    monkeypatch.setattr(module, "_LARGEST_BATCH", 1)
    assert [step.weight(batch) for batch in step.todo()] == [1, 1]


def test_a_batch_that_killed_its_worker_fails_and_is_not_retried(step, monkeypatch):
    monkeypatch.setattr(module, "_BATCHES", 1)
    (batch,) = step.todo()
    with open_ledger(step) as ledger:
        assert ledger.commit([(batch, Failed(batch.key, "internal", "died"))]) == {"internal": 2}
    assert {(c.outcome, c.reason, c.detail, c.windows) for c in tokenized(step).values()} == {
        ("failed", "internal", "died", None)
    }
    assert replan(step).todo() == []
    assert windows(step) == []


def test_a_batch_without_a_good_clip_has_outcomes_and_no_shard(step):
    batch = step.todo()[0]
    failed = TokenizedClip(batch.clips[0].clip_id, SOURCE, "failed", "truncated", "8 of 9")
    with open_ledger(step) as ledger:
        outcome = Done(batch.key, TokenizedBatch(None, [failed]), 0.0)
        assert ledger.commit([(batch, outcome)]) == {"truncated": 1}
    assert windows(step) == []


def test_windows_without_a_commit_marker_are_dropped_and_encoded_again(step):
    first, second = step.todo()
    with open_ledger(step) as ledger:
        ledger.commit([(first, work(step, first))])
        shard = work(step, second).value.shard
        ledger._writer.add_files(step.tokens, [shard])
    assert len(windows(step)) == 2
    step = replan(step)
    assert [batch.key for batch in step.todo()] == [second.key]
    with open_ledger(step) as ledger:
        assert windows(step) == [first.clips[0].clip_id]
        ledger.commit([(second, work(step, second))])
    assert windows(step) == sorted(c.clip_id for c in CLIPS[:2])
    assert replan(step).todo() == []


def test_tokens_decode_without_clips_and_sources(step, pattern):
    clip = CLIPS[0]
    with open_ledger(step) as ledger:
        ledger.commit([(batch, work(step, batch)) for batch in step.todo()])
    root = Path(step.catalog.storage.root)
    for path in root.iterdir():
        if path.name != "tokens":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    video, fps = decode_stored(Dataset(root), clip.clip_id[:6], "latents")
    assert (video.shape, fps) == ((9, 64, 96, 3), 24.0)
    assert psnr_db(pattern(9), video) > 20


def test_a_clip_knows_where_it_starts_in_its_source(step):
    files = [file for batch in step.todo() for file in batch.clips]
    assert [(f.start_frame, f.start_pts, f.time_base) for f in files] == [
        (0, 0, "1/24"),
        (24, 24, "1/24"),
    ]


def test_other_renders_fill_another_table_and_rows_name_them(step):
    """As after blurring faces or changing the rate: nothing of the first tokens is taken over."""
    with open_ledger(step) as ledger:
        ledger.commit([(batch, work(step, batch)) for batch in step.todo()])
    root = Path(step.catalog.storage.root)
    blurred = root / "blurred.mp4"
    blurred.write_bytes((root / "0.mp4").read_bytes() + b"\0\0\0\x08free")
    facts = rows.file_facts(blurred)
    clip = rendered(CLIPS[0], "blurred.mp4", **facts)
    step.catalog.append("renders/encode-2", Render, records.to_table(Render, [clip]))
    other = dataclasses.replace(step, renders="renders/encode-2")
    assert (other.tokens == step.tokens, other.result == step.result) == (False, False)
    (batch,) = other.todo()
    assert [file.uri for file in batch.clips] == [str(blurred)]
    assert [part.origins for part in other.split(batch)] == [batch.origins]
    with open_ledger(other) as ledger:
        ledger.commit([(batch, work(other, batch))])
    (done,) = tokenized(other).values()
    told = (done.render_profile, done.render_sha256, done.render_frames, done.render_fps)
    assert told == ("encode-2", facts["sha256"], 9, 24.0)
    (row,) = records.from_table(TokenWindow, other.catalog.read(other.tokens, TokenWindow))
    assert (row.render_profile, row.render_sha256) == ("encode-2", facts["sha256"])
    assert {c.render_profile for c in tokenized(step).values()} == {"encode-1"}
    assert len(windows(step)) == 2


def test_a_clip_that_fails_says_of_which_render(step):
    batch = step.todo()[0]
    with open_ledger(step) as ledger:
        ledger.commit([(batch, Failed(batch.key, "internal", "died"))])
    assert {c.render_profile for c in tokenized(step).values()} == {"encode-1"}


def test_missing_renders_are_named(step, dataset):
    other = dataclasses.replace(step, renders="renders/encode-2")
    with pytest.raises(LineageError, match=f"no renders/encode-2, .* it has {RENDERS}: give the"):
        other.check()
    with pytest.raises(LineageError, match=f"no {RENDERS}, .*: run `reelmill render` first"):
        step_on(dataset).check()


def test_other_settings_fill_another_table(step):
    other = TokenizeStep(step.dataset, Tokenize("pca-8x8x8", max_frames=17), "s", renders=RENDERS)
    assert other.result != step.result
    assert other.tokens.split("/")[1] == other.result.split("/")[1]
