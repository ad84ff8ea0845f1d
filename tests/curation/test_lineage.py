"""Which renders a table was made from, and which of several tables is the current one."""

from dataclasses import asdict

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from curation import lineage, records
from curation.dataset import Dataset
from curation.lineage import LineageError, RenderOrigin
from curation.records import Caption, CaptionedClip, Render
from tests.rows import add_run

PLAIN, BLURRED = "renders/encode-1", "renders/encode-2"


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    return Dataset(tmp_path)


def make_render(clip: str, frames: int = 24, fps: float = 24.0, sha256: str = "a" * 64) -> Render:
    return Render(clip, "s", "rendered", mode="encode", sha256=sha256, fps=fps, frames=frames)


def add_renders(dataset: Dataset, table: str, *renders: Render, at: str = "", of=None) -> None:
    dataset.catalog.append(table, Render, records.to_table(Render, renders or [make_render("c")]))
    add_run(dataset, "render", table, started=at, selection=of)


def add_captions(dataset: Dataset, name: str, origin: RenderOrigin, at: str = "", clip="c") -> None:
    """A table of one caption, as a captioner of renders writes it."""
    rows = {
        f"captions/{name}": (Caption, Caption(clip, "s", name)),
        f"captioned/{name}": (CaptionedClip, CaptionedClip(clip, "s", "captioned", windows=1,
                                                           **asdict(origin))),
    }  # fmt: skip
    for table, (record, row) in rows.items():
        dataset.catalog.append(table, record, records.to_table(record, [row]))
    add_run(dataset, "caption", f"captioned/{name}", started=at)


def test_other_renders_give_another_name():
    names = {
        lineage.name_with_profile("pca-8x8x8-1a2b3c4d", renders) for renders in (PLAIN, BLURRED)
    }
    assert len(names) == 2
    assert all(name.startswith("pca-8x8x8-") and len(name) == 18 for name in names)
    assert lineage.name_with_profile("pca-8x8x8-1a2b3c4d", "encode-1") in names


def test_the_current_renders_are_those_last_asked_for(dataset):
    assert lineage.current_renders(dataset.catalog, None) is None
    dataset.catalog.append(PLAIN, Render, records.to_table(Render, [make_render("c")]))
    assert lineage.current_renders(dataset.catalog, "s1") == PLAIN
    add_renders(dataset, BLURRED, at="1", of="s1")
    add_renders(dataset, PLAIN, at="2", of="a-subset")
    assert lineage.current_renders(dataset.catalog, "s1") == BLURRED
    assert lineage.current_renders(dataset.catalog, "a-subset") == PLAIN
    add_run(dataset, "select", "s1", started="3")
    add_run(dataset, "select", "s2", started="4")
    add_renders(dataset, PLAIN, at="5", of="s2")
    assert lineage.current_renders(dataset.catalog, "s1") == PLAIN
    add_renders(dataset, BLURRED, at="6", of="s1")
    assert lineage.newest_first(dataset.catalog, "renders", "s1") == [BLURRED, PLAIN]


def test_renders_of_a_subset_are_current_for_that_subset_alone(dataset):
    add_run(dataset, "select", "s1", started="0")
    add_renders(dataset, BLURRED, at="1", of="s1")
    add_renders(dataset, PLAIN, at="2", of="a-subset")
    add_run(dataset, "select", "s2", started="3")
    assert lineage.current_renders(dataset.catalog, "a-subset") == PLAIN
    for selection in ("s1", "s2", None):
        assert lineage.current_renders(dataset.catalog, selection) == BLURRED


def test_without_runs_none_of_several_tables_of_renders_is_current(dataset):
    for table in (PLAIN, BLURRED):
        dataset.catalog.append(table, Render, records.to_table(Render, [make_render("c")]))
    assert lineage.current_renders(dataset.catalog, None) is None


def test_the_default_is_made_from_the_newest_renders_or_from_none(dataset):
    add_renders(dataset, PLAIN, at="1")
    add_captions(dataset, "vlm-1", RenderOrigin.of(PLAIN, make_render("c")), at="2")
    assert lineage.resolve_table(dataset.catalog, "captions", None, None) == "captions/vlm-1"
    add_renders(dataset, BLURRED, at="3")
    words = f"no captions of {BLURRED}, its newest renders, only captions/vlm-1 of encode-1: run"
    with pytest.raises(LineageError, match=words):
        lineage.resolve_table(dataset.catalog, "captions", None, None)
    add_captions(dataset, "facts-1", RenderOrigin(), at="1")
    assert lineage.resolve_table(dataset.catalog, "captions", None, None) == "captions/facts-1"
    assert (
        lineage.resolve_table(dataset.catalog, "captions", None, None, of=PLAIN) == "captions/vlm-1"
    )
    add_captions(dataset, "vlm-2", RenderOrigin.of(BLURRED, make_render("c")), at="4")
    assert lineage.resolve_table(dataset.catalog, "captions", None, None) == "captions/vlm-2"
    assert dataset.caption_tables() == ["captions/vlm-2", "captions/facts-1", "captions/vlm-1"]
    assert dataset.captions()["text"].to_pylist() == ["vlm-2"]


@pytest.mark.parametrize(
    ("render", "message"),
    [
        (make_render("c", frames=36), "clip c has 24 frames .* its render has 36 frames at 24 a"),
        (make_render("c", fps=10.0), "its render has 24 frames at 10 a second"),
        (make_render("c", sha256="b" * 64), "file aaaaaaaa, its render has .* file bbbbbbbb"),
    ],
)
def test_changed_renders_are_an_error(dataset, render, message):
    add_captions(dataset, "vlm-1", RenderOrigin.of(PLAIN, make_render("c")))
    lineage.check_fresh(dataset.catalog, "captions/vlm-1")
    add_renders(dataset, PLAIN, render)
    with pytest.raises(LineageError, match=message):
        lineage.check_fresh(dataset.catalog, "captions/vlm-1")


def test_unknown_renders_do_not_differ(dataset):
    add_renders(dataset, PLAIN, make_render("c", frames=36))
    add_captions(dataset, "facts-1", RenderOrigin())
    lineage.check_fresh(dataset.catalog, "captions/facts-1")
    add_captions(dataset, "vlm-1", RenderOrigin("encode-1"))
    lineage.check_fresh(dataset.catalog, "captions/vlm-1")


def test_a_table_older_than_these_columns_is_of_unknown_renders(dataset):
    add_renders(dataset, PLAIN)
    add_captions(dataset, "old-1", RenderOrigin())
    old = records.to_table(CaptionedClip, [CaptionedClip("c", "s", "captioned", windows=1)])
    columns = [name for name in old.column_names if not name.startswith("render_")]
    uri = dataset.catalog.storage.uri("captioned/old-2")
    write_deltalake(uri, old.select(columns))
    assert lineage.render_profile(dataset.catalog, "captions/old-2") is None
    lineage.check_fresh(dataset.catalog, "captions/old-2")


def test_missing_renders_are_an_error_that_says_what_to_run(dataset):
    kept = records.to_table(Render, [make_render("c")])["clip_id"]
    lineage.check_rendered(dataset.catalog, PLAIN, kept.slice(1))
    with pytest.raises(LineageError, match=f"no {PLAIN}, which the settings ask for: run `reelmil"):
        lineage.check_rendered(dataset.catalog, PLAIN, kept)
    add_renders(dataset, BLURRED)
    with pytest.raises(LineageError, match=f"it has {BLURRED}: give the settings that made them"):
        lineage.check_rendered(dataset.catalog, PLAIN, kept)


def test_tokens_of_unknown_renders_are_current_while_no_table_names_its_renders(dataset):
    add_renders(dataset, BLURRED, at="9")
    ids = {"clip_id": pa.array(["c"]), "outcome": pa.array(["tokenized"])}
    for name in ("tokens/old-1", "tokenized/old-1"):
        write_deltalake(dataset.catalog.storage.uri(name), pa.table(ids))
    assert lineage.resolve_table(dataset.catalog, "tokens", None, None) == "tokens/old-1"
    named = pa.table({**ids, "render_profile": pa.array(["encode-1"])})
    for name in ("tokens/new-1", "tokenized/new-1"):
        write_deltalake(dataset.catalog.storage.uri(name), named)
    words = (
        f"no tokens of {BLURRED}, its newest renders, only tokens/new-1 of encode-1, tokens/old-1"
    )
    with pytest.raises(LineageError, match=words):
        lineage.resolve_table(dataset.catalog, "tokens", None, None)
    assert lineage.resolve_table(dataset.catalog, "tokens", None, None, of=PLAIN) == "tokens/new-1"
