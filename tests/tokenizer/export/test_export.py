"""An export as a whole: repeated, stopped, refused, on S3."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from curation import records, subset
from curation.dataset import Dataset
from curation.lineage import RenderOrigin
from curation.records import Render, Verdict
from curation.storage import Storage
from tests.outputs import ROOT, environment
from tests.rows import add_run, make_clip
from tests.s3 import bucket
from tests.tokenizer.export.conftest import (
    KEPT,
    RENDERS,
    SELECTION,
    content_of,
    render_of,
)
from tests.tokenizer.feed.tables import add_shards, token_row
from tokenizer.export.clip_rows import ExportError, ExportRows, ExportTables
from tokenizer.export.export import export
from tokenizer.tokenize.shards import BadTokensError

SHARD = 70_000
FORMATS = ["webdataset", "hf"]


def export_rows(output: object, **tables: str) -> ExportRows:
    selection = tables.pop("selection", None)
    return ExportRows(str(output), selection, ExportTables(**tables))


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_export_has_the_same_bytes(output, tmp_path, form):
    for name in "ab":
        export(export_rows(output.place), str(tmp_path / name), form, SHARD)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


@pytest.mark.parametrize("form", FORMATS)
def test_existing_shards_are_not_written_again(output, tmp_path, form):
    export(export_rows(output.place), str(tmp_path), form, SHARD)
    before = digests(tmp_path)
    gone = sorted(path for path in tmp_path.rglob("*") if path.suffix in (".tar", ".parquet"))[1]
    gone.unlink()
    progress: list[tuple[int, int]] = []
    result = export(
        export_rows(output.place), str(tmp_path), form, SHARD, lambda *a: progress.append(a)
    )
    assert (result.written, result.shards) == (1, len(before) - (1 if form == "webdataset" else 2))
    assert progress[-1] == (KEPT, KEPT)
    assert len(progress) == 2
    assert digests(tmp_path) == before


def test_a_subset_is_exported_by_its_name(copy_output, tmp_path):
    output = copy_output(tmp_path / "out")
    dataset = Dataset(output.place)
    kept = dataset.clips("kept").slice(0, 2)
    hits = kept.select(["clip_id", "source_id"]).append_column("score", pa.nulls(2, pa.float64()))
    subset_id = subset.export_subset(dataset.catalog, "two", hits, {}, "")
    result = export_rows(output.place, selection="two")
    assert result.selection == subset_id
    assert export(result, str(tmp_path / "shards"), "webdataset", SHARD).clips == 2
    assert set(result.table["clip_id"].to_pylist()) == set(kept["clip_id"].to_pylist())


@pytest.mark.faults
def test_a_killed_export_leaves_whole_shards_and_resumes(copy_output, tmp_path):
    """One render is a pipe that nobody writes to, so that the export waits in its fifth shard."""
    output, place = copy_output(tmp_path / "out"), tmp_path / "shards"
    slow = output.media(output.clips[5].clip_id)
    slow.unlink()
    os.mkfifo(slow)
    code = (
        "from tests.tokenizer.export.test_export import *;"
        f"export(export_rows({str(output.place)!r}), {str(place)!r}, 'webdataset', SHARD)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment())
    try:
        until = time.monotonic() + 60
        while not list(place.glob(".*-shard-000004.tar")):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    there = {path.name for path in place.iterdir() if not path.name.startswith(".")}
    assert there == {"export.json", *(f"shard-{n:06d}.tar" for n in range(4))}
    slow.unlink()
    slow.write_bytes(content_of(5))
    assert export(export_rows(output.place), str(place), "webdataset", SHARD).written == KEPT - 4
    export(export_rows(output.place), str(tmp_path / "whole"), "webdataset", SHARD)
    assert digests(place) == digests(tmp_path / "whole")


@pytest.mark.s3
def test_an_export_to_s3_is_the_same(output, tmp_path, monkeypatch):
    place = bucket(monkeypatch) + "/some/shards"
    export(export_rows(output.place), place, "webdataset", SHARD)
    export(export_rows(output.place), str(tmp_path), "webdataset", SHARD)
    storage = Storage.at(place)
    assert {name: storage.sha256(name) for name in digests(tmp_path)} == digests(tmp_path)
    assert export(export_rows(output.place), place, "webdataset", SHARD).written == 0


@pytest.mark.parametrize(
    ("more", "form", "words"),
    [
        ({"tokens": "none"}, "webdataset", r"holds another export: tables \{.*, now \{"),
        (
            {},
            "hf",
            'holds another export: format "webdataset", now "hf"; choose an empty des',
        ),
    ],
)
def test_another_export_in_the_same_place_is_refused(output, tmp_path, more, form, words):
    export(export_rows(output.place), str(tmp_path), "webdataset", SHARD)
    before = digests(tmp_path)
    with pytest.raises(ExportError, match=words):
        export(export_rows(output.place, **more), str(tmp_path), form, SHARD)
    assert digests(tmp_path) == before


def test_a_place_with_other_files_is_refused(output, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match="is not empty and holds no export: choose an empty"):
        export(export_rows(output.place), str(tmp_path), "webdataset", SHARD)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_missing_or_changed_renders_are_named(copy_output, tmp_path):
    output = copy_output(tmp_path / "out")
    media = output.media(output.clips[0].clip_id)
    media.write_bytes(content_of(1))
    with pytest.raises(ExportError, match=f"{media.name} was changed; `reelmill verify` says what"):
        export(export_rows(output.place), str(tmp_path / "a"), "webdataset", SHARD)
    media.unlink()
    with pytest.raises(ExportError, match=f"{media.name} is missing; `reelmill verify` says what"):
        export(export_rows(output.place), str(tmp_path / "b"), "hf", SHARD)
    assert set(digests(tmp_path / "a")) == {"export.json"}


def test_clips_that_lack_a_part_are_left_out_and_counted(copy_output, tmp_path):
    """Failed renders, and tokens that no finished commit announced."""
    output = copy_output(tmp_path)
    dataset, clips = Dataset(tmp_path), output.clips
    failed = Render(clips[0].clip_id, clips[0].source_id, "failed", "corrupt")
    half = [clip.clip_id for clip in clips[1:5]]
    columns = {"windows": 1, "frames": 26, "fps": 24.0}
    rows = [token_row(n, 0, (4, 2, 4), clip_id=clip, **columns) for n, clip in enumerate(half)]
    add_shards(tmp_path, [rows[:3]], table="tokens/other-1")
    add_shards(tmp_path, [rows[3:]], table="tokens/other-1", commit=False)
    with dataset.catalog.writer("render", {"renders/new-1": Render}) as writer:
        done = records.from_table(Render, dataset.catalog.read(RENDERS, Render))[1:]
        writer.append("renders/new-1", records.to_table(Render, [failed, *done]))
    result = export_rows(tmp_path, clips="new-1", tokens="tokens/other-1")
    assert result.table["clip_id"].to_pylist() == [half[0], half[2]]
    assert +result.left_out == {"without render": 1, "without tokens": 4}
    assert result.versions.keys() == {"renders/new-1", "captions/facts", "tokens/other-1"}


def test_a_selection_is_found_by_its_first_digits(copy_output, tmp_path):
    output = copy_output(tmp_path)
    other = [Verdict("0ther1", c.clip_id, c.source_id, "kept") for c in output.clips[2:4]]
    Dataset(tmp_path).catalog.append("selection", Verdict, records.to_table(Verdict, other))
    assert export_rows(tmp_path).selection == SELECTION
    result = export_rows(tmp_path, selection="0th")
    assert result.selection == "0ther1"
    assert result.table["clip_id"].to_pylist() == [c.clip_id for c in output.clips[2:4]]
    with pytest.raises(ExportError, match="no selection 'ff'; there are 0ther1, 5e1ec7"):
        export_rows(tmp_path, selection="ff")


def test_missing_tables_are_named(copy_output, tmp_path):
    with pytest.raises(ExportError, match="has no renders: run `reelmill render` first; name one"):
        export_rows(tmp_path)
    nothing = {"clips": "none", "captions": "none", "tokens": "none"}
    with pytest.raises(ExportError, match="has no selection: run `reelmill select` first"):
        export_rows(tmp_path, **nothing)
    output = copy_output(tmp_path / "out")
    with pytest.raises(ExportError, match=r"there are renders/encode-1.*name one with --clips"):
        export_rows(output.place, clips="encode-2")


def test_spans_have_no_files_to_copy(copy_output, tmp_path):
    output = copy_output(tmp_path)
    clip = output.clips[0]
    span = Render(clip.clip_id, clip.source_id, "rendered", mode="span")
    Dataset(tmp_path).catalog.append("renders/span-1", Render, records.to_table(Render, [span]))
    with pytest.raises(ExportError, match="renders/span-1 holds spans of sources, not files"):
        export_rows(tmp_path, clips="span-1")


def digest_of(number: int) -> str:
    return render_of(make_clip("s", 0, 9), content_of(number)).sha256


def origins(output, profile: str = "encode-1", **more: object) -> dict[str, RenderOrigin]:
    known = {"render_frames": 26, "render_fps": 24.0, **more}
    return {
        clip.clip_id: RenderOrigin(profile, digest_of(n), **known)
        for n, clip in enumerate(output.clips)
    }


def tokenized(output, table: str, profile: str = "encode-1", **more: object) -> None:
    """Another table of tokens, one window a clip, of what is rendered under a profile."""
    known = {"windows": 1, "frames": 26, "fps": 24.0, "render_profile": profile, **more}
    rows = [
        token_row(n, 0, (4, 2, 4), clip_id=clip.clip_id, **{"render_sha256": digest_of(n), **known})
        for n, clip in enumerate(output.clips)
    ]
    add_shards(output.place, [rows], table=table, made_from=origins(output, profile))
    add_run(Dataset(output.place), "tokenize", table.replace("tokens", "tokenized"), started=table)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"frames": 109}, "has 109 frames at 24 a second, .* its render has 26 frames at 24 a sec"),
        ({"fps": 30.0}, "has 26 frames at 30 a second, .* its render has 26 frames at 24 a second"),
        ({"render_sha256": "0" * 64}, "file 00000000, its render has .* file "),
    ],
)
def test_tokens_of_another_file_than_the_render_are_refused(copy_output, tmp_path, more, words):
    output = copy_output(tmp_path)
    tokenized(output, "tokens/odd-1", **more)
    with pytest.raises(ExportError, match=f"tokens/odd-1 was made from other renders.*{words}"):
        export_rows(tmp_path)
    assert export_rows(tmp_path, tokens="none").table.num_rows == KEPT


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"codes": bytes(63)}, "63 bytes of codes, where its shape has 64"),
        ({"codes": b""}, "0 bytes of codes, where its shape has 64"),
        ({"codes": b"\xff\xff" * 32}, "code 65535 is beyond the codebook's 64000 entries"),
        ({"latents": bytes(190)}, "190 bytes of latents, where its shape has 192"),
        ({"latents": b"\x00\x7c" * 96}, "latents are NaN or infinite"),
        ({"latent_frames": 0}, "64 bytes of codes, where its shape has 0"),
    ],
)
@pytest.mark.parametrize("form", FORMATS)
def test_tokens_that_cannot_be_are_named(copy_output, tmp_path, form, more, words):
    output = copy_output(tmp_path / "out")
    tokenized(output, "tokens/odd-1", **more)
    rows = export_rows(output.place, tokens="odd-1")
    with pytest.raises(BadTokensError, match=rf"tokens/odd-1: clip \w{{32}}, window 0: {words}"):
        export(rows, str(tmp_path / "shards"), form, SHARD)


def test_tokens_without_a_render_digest_are_compared_by_frames(copy_output, tmp_path):
    """As tables are that were filled by a version that did not record it."""
    output = copy_output(tmp_path)
    tokenized(output, "tokens/odd-1", frames=109, render_sha256=None, render_profile=None)
    with pytest.raises(ExportError, match=r"has 109 frames .* its render has 26 frames"):
        export_rows(tmp_path, tokens="odd-1")


def test_the_newest_renders_are_exported_with_their_own_tokens(copy_output, tmp_path):
    output = copy_output(tmp_path)
    dataset = Dataset(tmp_path)
    tokenized(output, "tokens/own-1")
    for at, (table, content) in enumerate([(RENDERS, 0), ("renders/encode-2", 100)]):
        rows = [render_of(c, content_of(n + content)) for n, c in enumerate(output.clips)]
        if content:
            dataset.catalog.append(table, Render, records.to_table(Render, rows))
        add_run(dataset, "render", table, started=str(at))
    words = "no tokens of renders/encode-2, only tokens/own-1 of encode-1, tokens/test-1 of unknown"
    with pytest.raises(ExportError, match=f"{words}.*or leave them out with --tokens none"):
        export_rows(tmp_path)
    with pytest.raises(
        ExportError, match="tokens/own-1 was made from renders/encode-1, not from r"
    ):
        export_rows(tmp_path, tokens="own-1")
    result = export_rows(tmp_path, clips="encode-1")
    assert result.versions.keys() == {RENDERS, "captions/facts", "tokens/own-1"}
    without_tokens = export_rows(tmp_path, tokens="none")
    assert without_tokens.versions.keys() == {"renders/encode-2", "captions/facts"}


def test_all_clips_are_exported_on_request(output):
    result = export_rows(output.place, selection="all")
    assert (result.selection, result.table.num_rows) == ("all", KEPT + 1)
