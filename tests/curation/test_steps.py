"""What scan and render have to do, and what they commit, over one small source."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from curation import records
from curation.catalog import Catalog
from curation.dataset import Dataset
from curation.listing import Entry, list_inputs
from curation.media.sandbox import Limits
from curation.records import Clip, Embedding, Render, Source, Thumbnail
from curation.render.stage import RenderClips
from curation.render.step import RenderStep
from curation.sample import numbered
from curation.scan.collector import EMBEDDINGS, THUMBNAILS
from curation.scan.shots import ContentChange, FixedWindows
from curation.scan.stage import Scan, ScanItem
from curation.scan.step import ScanStep, SettingsError
from curation.scores import DEFAULT_SCORES, SCORES, table_name
from curation.select.policy import Policy, Range
from curation.select.selection import select
from curation.stage import Done, Failed
from curation.storage import Storage
from pipelines.run.executor import InProcess
from pipelines.run.step_runner import Tally, drive
from tests import rows

STAGE = Scan(shots=ContentChange(), max_clip_s=1.0)
SIDES = STAGE.side_tables


@pytest.fixture(scope="module")
def scanned(tmp_path_factory) -> Path:
    """One source of two seconds and its output; copied by whoever writes to it."""
    folder = tmp_path_factory.mktemp("steps")
    numbered(folder / "v" / "a.mp4", 48, fps=24, size=(128, 72))
    run(folder)
    return folder


@pytest.fixture
def place(scanned, tmp_path) -> Path:
    """The listing has absolute paths, so the source stays where it is."""
    shutil.copytree(scanned / "out", tmp_path / "out")
    return tmp_path


def step(folder: Path, stage: Scan = STAGE, videos: Path | None = None) -> ScanStep:
    entries = list_inputs([str(videos or folder / "v")])
    return ScanStep(Catalog(Storage.at(folder / "out")), stage, entries)


def run(folder: Path, stage: Scan = STAGE, videos: Path | None = None) -> dict[str, int]:
    tally = Tally()
    drive(step(folder, stage, videos), InProcess(), tally)
    return tally.counts


def tables(folder: Path) -> dict[str, list]:
    catalog = Catalog(Storage.at(folder / "out"))
    forms = {"sources": Source, "clips": Clip, **SIDES}
    return {
        name: sorted(records.records(form, catalog.read(name, form)), key=repr)
        for name, form in forms.items()
    }


def test_a_scanned_source_has_rows_in_every_table_and_nothing_left_to_do(scanned):
    found = tables(scanned)
    (source,) = found["sources"]
    assert (source.outcome, source.frames, source.clips) == ("scanned", 48, 2)
    assert {name: len(made) for name, made in found.items() if name != "sources"} == dict.fromkeys(
        ("clips", *SIDES), 2
    )
    assert step(scanned).todo() == []


def test_only_what_has_no_outcome_is_to_do(place, scanned):
    videos = place / "v"
    shutil.copytree(scanned / "v", videos)
    numbered(videos / "new.mp4", 24, fps=24, size=(128, 72))
    (videos / "empty.mp4").touch()
    more = step(place, videos=videos)
    assert [Path(item.entry.uri).name for item in more.todo()] == ["a.mp4", "empty.mp4", "new.mp4"]
    assert run(place, videos=videos) == {"scanned": 2, "empty": 1}
    assert step(place, videos=videos).todo() == []
    (failed,) = (s for s in tables(place)["sources"] if s.outcome == "failed")
    assert (Path(failed.uri).name, failed.reason, failed.clips) == ("empty.mp4", "empty", None)
    assert failed.detail
    os.utime(videos / "new.mp4", ns=(1, 1))
    assert [Path(item.entry.uri).name for item in step(place, videos=videos).todo()] == ["new.mp4"]


def test_the_same_bytes_under_another_name_add_a_source_and_no_clips(place, scanned):
    shutil.copytree(scanned / "v", place / "v")
    before = tables(place)
    assert run(place, videos=place / "v") == {"scanned": 1}
    after = tables(place)
    assert len({s.uri for s in after["sources"]}) == 2
    assert len({s.source_id for s in after["sources"]}) == 1
    assert {n: r for n, r in after.items() if n != "sources"} == {
        n: r for n, r in before.items() if n != "sources"
    }


def test_other_settings_need_another_output(scanned):
    for other in (replace(STAGE, max_clip_s=2.0), replace(STAGE, shots=FixedWindows())):
        with pytest.raises(SettingsError, match=r"out was scanned with other settings .* folder"):
            step(scanned, other).todo()
    assert step(scanned, replace(STAGE, scores=())).todo() == []


@pytest.mark.parametrize("gone", ["scores/sharpness", THUMBNAILS])
def test_a_table_that_is_gone_is_filled_again_and_no_other(place, scanned, gone):
    before = tables(place)
    shutil.rmtree(place / "out" / gone)
    (item,) = step(place, videos=scanned / "v").todo()
    assert (item.tables, [c.clip_id for c in item.known]) == (
        (gone,),
        [c.clip_id for c in sorted(before["clips"], key=lambda c: c.start_frame)],
    )
    assert run(place, videos=scanned / "v") == {"filled": 1}
    assert tables(place) == before
    assert step(place, videos=scanned / "v").todo() == []


def test_a_score_that_is_added_later_fills_its_own_table(tmp_path, scanned):
    first = replace(STAGE, scores=(SCORES["Motion"](),))
    run(tmp_path, first, scanned / "v")
    assert tables(tmp_path)["scores/sharpness"] == []
    (item,) = step(tmp_path, videos=scanned / "v").todo()
    assert set(item.tables) == {table_name(SCORES[name]) for name in DEFAULT_SCORES} - {
        "scores/motion"
    }
    assert run(tmp_path, videos=scanned / "v") == {"filled": 1}
    assert tables(tmp_path) == tables(scanned)


def test_a_source_that_is_gone_or_changed_is_not_filled_and_keeps_its_rows(place, scanned):
    catalog = Catalog(Storage.at(place / "out"))
    (known,) = tables(place)["sources"]
    shutil.rmtree(place / "out" / "scores/sharpness")
    moved = ScanStep(catalog, STAGE, [])
    (item,) = moved.todo()
    other = replace(known, source_id="0" * 64)
    work = STAGE.setup()
    result = work(item)
    with moved.ledger() as ledger:
        gone = ScanItem(Entry("/gone.mp4"), item.known, item.tables)
        assert ledger.commit([(gone, Done(gone.key, work(gone), 0.0))]) == {"not_filled": 1}
        changed = Done(item.key, replace(result, source=other), 0.0)
        assert ledger.commit([(item, changed)]) == {"not_filled": 1}
        assert ledger.commit([(item, Failed(item.key, "internal", "died"))]) == {"not_filled": 1}
    assert tables(place)["sources"] == [known]
    assert tables(place)["scores/sharpness"] == []
    assert len(moved.todo()) == 1


def test_clips_too_short_for_a_thumbnail_are_not_tried_for_ever(tmp_path):
    dataset = Dataset(tmp_path / "out")
    for number, frames in (("1", 6), ("2", 24)):
        looks = [rows.Looks(rows.clip_of(number * 64, 0, frames))]
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(b"v" * 1000)
        os.utime(path, ns=(1, 1))
        rows.scanned(dataset, str(path), looks, scan_digest=STAGE.digest)
    todo = ScanStep(dataset.catalog, STAGE, []).todo()
    assert [(item.entry.uri, item.tables) for item in todo] == [(str(path), (THUMBNAILS,))]


def test_what_a_worker_died_of_becomes_the_outcome_of_its_input(tmp_path):
    entry = Entry("/v/a.mp4", 5, "7", {"licence": "CC0"})
    step_ = ScanStep(Catalog(Storage.at(tmp_path)), STAGE, [entry])
    (item,) = step_.todo()
    with step_.ledger() as ledger:
        assert ledger.commit([(item, Failed(item.key, "internal", "it died"))]) == {"internal": 1}
    (source,) = records.records(Source, step_.catalog.read("sources", Source))
    assert source == Source(
        "/v/a.mp4", 5, "7", "failed", "internal", "it died", extra={"licence": "CC0"}
    )
    assert step_.todo() == []


@pytest.fixture
def render_step(place) -> RenderStep:
    dataset = Dataset(place / "out")
    selection = select(dataset, Policy({}, None))
    stage = RenderClips(output=str(place / "out"), mode="span")
    return RenderStep(dataset, stage, selection.selection_id)


def test_kept_clips_are_rendered_once_in_the_order_of_time(render_step):
    todo = render_step.todo()
    assert [item.clips[0].start_frame for item in todo] == [0, 24]
    assert all(item.source.source_id == item.clips[0].source_id for item in todo)
    tally = Tally()
    drive(render_step, InProcess(), tally)
    assert tally.counts == {"rendered": 2}
    assert render_step.todo() == []
    catalog = render_step.catalog
    renders = records.records(Render, catalog.read(render_step.result, Render))
    assert {(r.outcome, r.mode, r.frames, r.path) for r in renders} == {
        ("rendered", "span", 24, None)
    }
    assert {item.clips[0].clip_id for item in todo} == {r.clip_id for r in renders}


def test_a_render_that_failed_is_a_row_and_is_not_tried_again(render_step):
    first, second = render_step.todo()
    with render_step.ledger() as ledger:
        outcome = Failed(first.key, "corrupt", "bad frame")
        assert ledger.commit([(first, outcome)]) == {"corrupt": 1}
    assert [item.key for item in render_step.todo()] == [second.key]
    (render,) = records.records(Render, render_step.catalog.read(render_step.result, Render))
    assert render == Render(
        first.clips[0].clip_id, first.source.source_id, "failed", "corrupt", "bad frame"
    )


def test_another_profile_renders_anew(render_step):
    drive(render_step, InProcess(), Tally())
    other = replace(render_step, stage=replace(render_step.stage, mode="encode"))
    assert len(other.todo()) == 2
    tally = Tally()
    drive(other, InProcess(), tally)
    assert tally.counts == {"rendered": 2}
    renders = records.records(Render, render_step.catalog.read(other.result, Render))
    for render in renders:
        assert render_step.catalog.storage.sha256(render.path) == render.sha256
        assert render.frames == 24


def test_clips_that_are_not_kept_are_not_rendered(place):
    dataset = Dataset(place / "out")
    selection = select(dataset, Policy({"duration_s": Range(min=5.0)}, None))
    assert selection.funnel == {"too_short": 2}
    assert RenderStep(dataset, RenderClips(mode="span"), selection.selection_id).todo() == []


def test_embeddings_are_one_a_clip(scanned):
    found = tables(scanned)
    assert [e.clip_id for e in found[EMBEDDINGS]] == sorted(c.clip_id for c in found["clips"])
    assert all(isinstance(e, Embedding) for e in found[EMBEDDINGS])
    assert all(isinstance(t, Thumbnail) and t.jpeg[:2] == b"\xff\xd8" for t in found[THUMBNAILS])


def test_a_reason_to_retry_gives_another_chance_to_what_is_listed(tmp_path):
    videos = tmp_path / "videos"
    good = numbered(videos / "good.mp4", 24, size=(160, 96))
    (videos / "text.mp4").write_text("no video\n")
    catalog = Dataset(tmp_path / "out").catalog
    stage = Scan(shots=FixedWindows(1.0), limits=Limits(max_frames=10))
    step = ScanStep(catalog, stage, list_inputs([str(videos)]))
    tally = Tally()
    drive(step, InProcess(), tally)
    assert tally.counts == {"too_many_frames": 1, "not_video": 1}
    able = replace(step, stage=replace(stage, limits=Limits()))
    assert able.todo() == []
    again = replace(able, retry=frozenset({"too_many_frames"}))
    assert [item.entry.uri for item in again.todo()] == [str(good)]
    assert (able.failures_dropped(), again.failures_dropped()) == (0, 1)
    tally = Tally()
    drive(again, InProcess(), tally)
    assert tally.counts == {"scanned": 1}
    rows = records.records(Source, catalog.read("sources", Source))
    assert sorted((row.outcome, row.reason) for row in rows) == [
        ("failed", "not_video"),
        ("scanned", None),
    ]
    assert again.todo() == []


def test_a_second_copy_has_the_clips_of_the_first_whatever_scanned_it(tmp_path):
    stage = Scan(shots=FixedWindows(1.0))
    first = numbered(tmp_path / "a.mp4", 48, size=(160, 96))
    catalog = Dataset(tmp_path / "out").catalog
    drive(ScanStep(catalog, stage, list_inputs([str(first)])), InProcess(), Tally())
    shutil.copy(first, tmp_path / "b.mp4")
    step = ScanStep(catalog, stage, list_inputs([str(tmp_path / "b.mp4")]))
    (item,) = step.todo()
    result = stage.setup()(item)
    other = replace(result.source, clips=1, clips_digest="of another backend")
    with step.ledger() as ledger:
        assert ledger.commit([(item, Done(item.key, replace(result, source=other), 0.0))])
    one, two = records.records(Source, catalog.read("sources", Source).sort_by("uri"))
    assert one.source_id == two.source_id
    assert (two.clips, two.clips_digest) == (2, one.clips_digest)
    assert catalog.read("clips", Clip).num_rows == 2
