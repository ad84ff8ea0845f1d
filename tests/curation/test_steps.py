"""The work lists and commits of the scan and render steps, over one small source."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from curation import records
from curation.catalog import Catalog
from curation.dataset import Dataset
from curation.embed.descriptor import FrameDct
from curation.listing import Entry, list_videos
from curation.media.sandbox import Limits
from curation.records import Clip, Embedding, Render, Source, Thumbnail
from curation.render.stage import RenderClips
from curation.render.step import RenderStep
from curation.sample import write_numbered_video
from curation.scan.collector import EMBEDDINGS, THUMBNAILS
from curation.scan.shots import ContentChange, FixedWindows
from curation.scan.stage import Scan, ScanItem
from curation.scan.step import ScanStep, SettingsError
from curation.scores import DEFAULT_SCORES, SCORES, table_name
from curation.select.policy import Policy, Range
from curation.select.selection import select
from curation.signals.blocks import SIGNAL_TABLES
from curation.stage import Done, Failed
from curation.step import open_ledger
from curation.storage import Storage
from pipelines.run.engine import in_process
from pipelines.run.step_runner import Progress, run_step
from tests import rows

STAGE = Scan(shots=ContentChange(), max_clip_s=1.0, embedders=(FrameDct(),))
SIDES = STAGE.side_tables


@pytest.fixture(scope="module")
def scanned(tmp_path_factory) -> Path:
    """One source of two seconds and its output; tests that write copy it."""
    folder = tmp_path_factory.mktemp("steps")
    write_numbered_video(folder / "v" / "a.mp4", 48, fps=24, size=(128, 72))
    run(folder)
    return folder


@pytest.fixture
def output(scanned, tmp_path) -> Path:
    """The listing has absolute paths, so the source stays where it is."""
    shutil.copytree(scanned / "out", tmp_path / "out")
    return tmp_path


def new_step(folder: Path, stage: Scan = STAGE, videos: Path | None = None) -> ScanStep:
    entries = list_videos([str(videos or folder / "v")]).entries
    return ScanStep(Catalog(Storage.at(folder / "out")), stage, entries)


def run(folder: Path, stage: Scan = STAGE, videos: Path | None = None) -> dict[str, int]:
    progress = Progress()
    run_step(new_step(folder, stage, videos), in_process(), progress)
    return progress.counts


def tables(folder: Path) -> dict[str, list]:
    catalog = Catalog(Storage.at(folder / "out"))
    forms = {"sources": Source, "clips": Clip, **SIDES}
    return {
        name: sorted(records.from_table(form, catalog.read(name, form)), key=repr)
        for name, form in forms.items()
    }


def test_a_scanned_source_has_rows_in_every_table_and_nothing_left_to_do(scanned):
    rows_by_table = tables(scanned)
    (source,) = rows_by_table["sources"]
    assert (source.outcome, source.frames, source.clips) == ("scanned", 48, 2)
    assert {
        name: len(rows_of_table)
        for name, rows_of_table in rows_by_table.items()
        if name != "sources"
    } == {name: 0 if name in SIGNAL_TABLES else 2 for name in ("clips", *SIDES)}
    assert new_step(scanned).todo() == []


def test_only_inputs_without_an_outcome_are_to_do(output, scanned):
    videos = output / "v"
    shutil.copytree(scanned / "v", videos)
    write_numbered_video(videos / "new.mp4", 24, fps=24, size=(128, 72))
    (videos / "empty.mp4").touch()
    more = new_step(output, videos=videos)
    assert [Path(item.entry.uri).name for item in more.todo()] == ["a.mp4", "empty.mp4", "new.mp4"]
    assert run(output, videos=videos) == {"scanned": 2, "empty": 1}
    assert new_step(output, videos=videos).todo() == []
    (failed,) = (s for s in tables(output)["sources"] if s.outcome == "failed")
    assert (Path(failed.uri).name, failed.reason, failed.clips) == ("empty.mp4", "empty", None)
    assert failed.detail
    os.utime(videos / "new.mp4", ns=(1, 1))
    assert [Path(item.entry.uri).name for item in new_step(output, videos=videos).todo()] == [
        "new.mp4"
    ]


def test_the_same_bytes_under_another_name_add_a_source_and_no_clips(output, scanned):
    shutil.copytree(scanned / "v", output / "v")
    before = tables(output)
    assert run(output, videos=output / "v") == {"scanned": 1}
    after = tables(output)
    assert len({s.uri for s in after["sources"]}) == 2
    assert len({s.source_id for s in after["sources"]}) == 1
    assert {n: r for n, r in after.items() if n != "sources"} == {
        n: r for n, r in before.items() if n != "sources"
    }


def test_other_settings_need_another_output(scanned):
    for other in (replace(STAGE, max_clip_s=2.0), replace(STAGE, shots=FixedWindows())):
        with pytest.raises(SettingsError, match=r"out was scanned with other settings .* folder"):
            new_step(scanned, other).check()
    assert new_step(scanned, replace(STAGE, scores=())).todo() == []


@pytest.mark.parametrize("gone", ["scores/sharpness", THUMBNAILS])
def test_only_a_missing_table_is_backfilled(output, scanned, gone):
    before = tables(output)
    shutil.rmtree(output / "out" / gone)
    (item,) = new_step(output, videos=scanned / "v").todo()
    assert (item.tables, [c.clip_id for c in item.known_clips]) == (
        (gone,),
        [c.clip_id for c in sorted(before["clips"], key=lambda c: c.start_frame)],
    )
    assert run(output, videos=scanned / "v") == {"filled": 1}
    assert tables(output) == before
    assert new_step(output, videos=scanned / "v").todo() == []


def test_a_score_added_later_fills_its_own_table(tmp_path, scanned):
    first = replace(STAGE, scores=(SCORES["Motion"](),))
    run(tmp_path, first, scanned / "v")
    assert tables(tmp_path)["scores/sharpness"] == []
    (item,) = new_step(tmp_path, videos=scanned / "v").todo()
    assert set(item.tables) == {table_name(SCORES[name]) for name in DEFAULT_SCORES} - {
        "scores/motion"
    }
    assert run(tmp_path, videos=scanned / "v") == {"filled": 1}
    assert tables(tmp_path) == tables(scanned)


def test_a_missing_or_changed_source_is_not_backfilled_and_keeps_its_rows(output, scanned):
    catalog = Catalog(Storage.at(output / "out"))
    (known,) = tables(output)["sources"]
    shutil.rmtree(output / "out" / "scores/sharpness")
    moved = ScanStep(catalog, STAGE, [])
    (item,) = moved.todo()
    other = replace(known, source_id="0" * 64)
    work = STAGE.setup()
    result = work(item)
    with open_ledger(moved) as ledger:
        gone = ScanItem(Entry("/gone.mp4"), item.known_clips, item.tables)
        assert ledger.commit([(gone, Done(gone.key, work(gone), 0.0))]) == {"not_filled": 1}
        changed = Done(item.key, replace(result, source=other), 0.0)
        assert ledger.commit([(item, changed)]) == {"not_filled": 1}
        assert ledger.commit([(item, Failed(item.key, "internal", "died"))]) == {"not_filled": 1}
    assert tables(output)["sources"] == [known]
    assert tables(output)["scores/sharpness"] == []
    assert len(moved.todo()) == 1


def test_clips_too_short_for_a_thumbnail_are_not_backfilled_again_and_again(tmp_path):
    dataset = Dataset(tmp_path / "out")
    for number, frames in (("1", 6), ("2", 24)):
        looks = [rows.MeasuredClip(rows.make_clip(number * 64, 0, frames))]
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(b"v" * 1000)
        os.utime(path, ns=(1, 1))
        rows.add_source(dataset, str(path), looks, scan_digest=STAGE.digest)
    todo = ScanStep(dataset.catalog, STAGE, []).todo()
    assert [(item.entry.uri, item.tables) for item in todo] == [(str(path), (THUMBNAILS,))]


def test_the_death_of_a_worker_becomes_the_outcome_of_its_input(tmp_path):
    entry = Entry("/v/a.mp4", 5, "7", {"licence": "CC0"})
    scan_step = ScanStep(Catalog(Storage.at(tmp_path)), STAGE, [entry])
    (item,) = scan_step.todo()
    with open_ledger(scan_step) as ledger:
        assert ledger.commit([(item, Failed(item.key, "internal", "it died"))]) == {"internal": 1}
    (source,) = records.from_table(Source, scan_step.catalog.read("sources", Source))
    assert source == Source(
        "/v/a.mp4", 5, "7", "failed", "internal", "it died", extra={"licence": "CC0"}
    )
    assert scan_step.todo() == []


@pytest.fixture
def render_step(output) -> RenderStep:
    dataset = Dataset(output / "out")
    selection = select(dataset, Policy({}, None))
    stage = RenderClips(output=str(output / "out"), mode="span")
    return RenderStep(dataset, stage, selection.selection_id)


def test_kept_clips_are_rendered_once_by_start_time(render_step):
    todo = render_step.todo()
    assert [item.clips[0].start_frame for item in todo] == [0, 24]
    assert all(item.source.source_id == item.clips[0].source_id for item in todo)
    progress = Progress()
    run_step(render_step, in_process(), progress)
    assert progress.counts == {"rendered": 2}
    assert replace(render_step).todo() == []
    catalog = render_step.catalog
    renders = records.from_table(Render, catalog.read(render_step.result, Render))
    assert {(r.outcome, r.mode, r.frames, r.path) for r in renders} == {
        ("rendered", "span", 24, None)
    }
    assert {item.clips[0].clip_id for item in todo} == {r.clip_id for r in renders}


def test_a_failed_render_is_a_row_and_is_not_retried(render_step):
    first, second = render_step.todo()
    with open_ledger(render_step) as ledger:
        outcome = Failed(first.key, "corrupt", "bad frame")
        assert ledger.commit([(first, outcome)]) == {"corrupt": 1}
    assert [item.key for item in replace(render_step).todo()] == [second.key]
    (render,) = records.from_table(Render, render_step.catalog.read(render_step.result, Render))
    assert render == Render(
        first.clips[0].clip_id, first.source.source_id, "failed", "corrupt", "bad frame"
    )


def test_another_profile_renders_again(render_step):
    run_step(render_step, in_process(), Progress())
    other = replace(render_step, stage=replace(render_step.stage, mode="encode"))
    assert len(other.todo()) == 2
    progress = Progress()
    run_step(other, in_process(), progress)
    assert progress.counts == {"rendered": 2}
    renders = records.from_table(Render, render_step.catalog.read(other.result, Render))
    for render in renders:
        assert render_step.catalog.storage.sha256(render.path) == render.sha256
        assert render.frames == 24


def test_clips_that_are_not_kept_are_not_rendered(output):
    dataset = Dataset(output / "out")
    selection = select(dataset, Policy({"duration_s": Range(min=5.0)}, None))
    assert selection.funnel == {"too_short": 2}
    assert RenderStep(dataset, RenderClips(mode="span"), selection.selection_id).todo() == []


def test_embeddings_are_one_a_clip(scanned):
    rows_by_table = tables(scanned)
    assert [e.clip_id for e in rows_by_table[EMBEDDINGS]] == sorted(
        c.clip_id for c in rows_by_table["clips"]
    )
    assert all(isinstance(e, Embedding) for e in rows_by_table[EMBEDDINGS])
    assert all(
        isinstance(t, Thumbnail) and t.jpeg[:2] == b"\xff\xd8" for t in rows_by_table[THUMBNAILS]
    )


def test_listed_failures_are_retried_for_the_given_reasons(tmp_path):
    videos = tmp_path / "videos"
    good = write_numbered_video(videos / "good.mp4", 24, size=(160, 96))
    (videos / "text.mp4").write_text("no video\n")
    catalog = Dataset(tmp_path / "out").catalog
    stage = Scan(shots=FixedWindows(1.0), limits=Limits(max_frames=10))
    step = ScanStep(catalog, stage, list_videos([str(videos)]).entries)
    progress = Progress()
    run_step(step, in_process(), progress)
    assert progress.counts == {"too_many_frames": 1, "not_video": 1}
    able = replace(step, stage=replace(stage, limits=Limits()))
    assert able.todo() == []
    again = replace(able, retry=frozenset({"too_many_frames"}))
    assert [item.entry.uri for item in again.todo()] == [str(good)]
    assert (able.retried(again.todo()), again.retried(again.todo())) == (0, 1)
    progress = Progress()
    run_step(again, in_process(), progress)
    assert progress.counts == {"scanned": 1}
    rows = records.from_table(Source, catalog.read("sources", Source))
    assert sorted((row.outcome, row.reason) for row in rows) == [
        ("failed", "not_video"),
        ("scanned", None),
    ]
    assert again.todo() == []


def test_a_retry_drops_the_failures_of_its_reasons_alone(tmp_path):
    """A file that was empty, then text, and is a video now; another is gone from the list."""
    place, other = tmp_path / "a.mp4", tmp_path / "b.mp4"
    catalog = Dataset(tmp_path / "out").catalog
    step = ScanStep(catalog, Scan(shots=FixedWindows(1.0)), [])
    for content in (b"", b"no video"):
        place.write_bytes(content)
        other.write_bytes(content)
        listed = list_videos([str(place), str(other)]).entries
        run_step(replace(step, entries=listed), in_process(), Progress())
    write_numbered_video(place, 24, size=(160, 96))
    again = replace(
        step, entries=list_videos([str(place)]).entries, retry=frozenset({"empty", "corrupt"})
    )
    retried: list[int] = []
    run_step(
        again, in_process(), Progress(),
        on_start=lambda items: retried.append(again.retried(items)),
    )  # fmt: skip
    rows = records.from_table(Source, catalog.read("sources", Source))
    assert retried == [1]
    assert sorted((Path(row.uri).name, row.reason or row.outcome) for row in rows) == [
        ("a.mp4", "not_video"), ("a.mp4", "scanned"), ("b.mp4", "empty"), ("b.mp4", "not_video"),
    ]  # fmt: skip


def test_a_second_copy_has_the_clips_of_the_first_whatever_scanned_it(tmp_path):
    stage = Scan(shots=FixedWindows(1.0))
    first = write_numbered_video(tmp_path / "a.mp4", 48, size=(160, 96))
    catalog = Dataset(tmp_path / "out").catalog
    run_step(ScanStep(catalog, stage, list_videos([str(first)]).entries), in_process(), Progress())
    shutil.copy(first, tmp_path / "b.mp4")
    step = ScanStep(catalog, stage, list_videos([str(tmp_path / "b.mp4")]).entries)
    (item,) = step.todo()
    result = stage.setup()(item)
    other = replace(result.source, clips=1, clips_digest="of another backend")
    with open_ledger(step) as ledger:
        assert ledger.commit([(item, Done(item.key, replace(result, source=other), 0.0))])
    one, two = records.from_table(Source, catalog.read("sources", Source).sort_by("uri"))
    assert one.source_id == two.source_id
    assert (two.clips, two.clips_digest) == (2, one.clips_digest)
    assert catalog.read("clips", Clip).num_rows == 2
