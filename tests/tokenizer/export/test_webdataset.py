"""Tar shards: what is in them, whatever reads them."""

import io
import json
import tarfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from tests.tokenizer.export.conftest import KEPT, SELECTION, content_of
from tests.tokenizer.feed.tables import FACTS, codes_of, latents_of
from tokenizer.export.clip_rows import ExportRows, ExportTables
from tokenizer.export.export import export


@pytest.fixture(scope="module")
def shards(output, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("tars") / "shards"
    export(ExportRows(output.place, None, ExportTables()), str(place), "webdataset", 100_000)
    return place


def members(folder: Path) -> dict[str, dict[str, bytes]]:
    """Every clip's files by suffix, as tar files hold them."""
    result: dict[str, dict[str, bytes]] = defaultdict(dict)
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for info in tar:
                clip, suffix = info.name.split(".", 1)
                content = tar.extractfile(info)
                assert content is not None
                result[clip][suffix] = content.read()
    return dict(result)


def test_a_clip_has_all_its_parts(output, shards):
    result = members(shards)
    kept = [clip.clip_id for n, clip in enumerate(output.clips) if n != 2]
    assert list(result) == kept
    for n, clip in enumerate(output.clips):
        if n == 2:
            continue
        files = result[clip.clip_id]
        assert list(files) == ["json", "mp4", "txt", "codes.npy", "latents.npy"]
        assert files["mp4"] == content_of(n)
        assert files["txt"] == f"clip {n}".encode()


def test_windows_are_concatenated(output, shards):
    files = members(shards)[output.clips[5].clip_id]
    shapes = [(3, 2, 4), (2, 2, 4)]
    codes = [codes_of(5, window, shape) for window, shape in enumerate(shapes)]
    latents = [latents_of(5, window, shape) for window, shape in enumerate(shapes)]
    stored = {head: np.load(io.BytesIO(files[f"{head}.npy"])) for head in ("codes", "latents")}
    assert stored["codes"].dtype == np.uint16
    assert stored["latents"].dtype == np.float16
    np.testing.assert_array_equal(stored["codes"], np.concatenate(codes))
    np.testing.assert_array_equal(stored["latents"], np.concatenate(latents, 1))
    windows = json.loads(files["json"])["windows"]
    assert [w["latent_frames"] for w in windows] == [3, 2]
    assert [w["frames"] for w in windows] == [17, 9]
    assert [w["start_frame"] for w in windows] == [0, 17]


def test_a_row_has_the_source_of_its_clip(output, shards):
    result = members(shards)
    first = json.loads(result[output.clips[1].clip_id]["json"])
    assert first["uri"] == "s3://raw/a.mp4"
    assert first["licence"] == "CC-BY-4.0"
    assert first["extra"] == {
        "licence": "CC-BY-4.0", "city": "Köln", "License": None, "camera": None
    }  # fmt: skip
    assert (first["start_frame"], first["end_frame"], first["start_pts"]) == (100, 124, 100)
    assert (first["motion"], first["sharpness"]) == (0.125, None)
    assert (first["width"], first["height"], first["fps"], first["frames"]) == (96, 64, 24.0, 26)
    assert (first["tokenizer"], first["rate"]) == ("test", FACTS["rate"])
    assert first["latent_mean"] == [0.5, -1.0, 2.0]
    assert first["levels"] == [8, 8, 8, 5, 5, 5]
    assert "verdict" not in first
    assert json.loads(result[output.clips[4].clip_id]["json"])["licence"] == "CC0"


def test_shards_keep_to_their_size(shards):
    paths = sorted(shards.glob("*.tar"))
    assert [path.name for path in paths] == [f"shard-{n:06d}.tar" for n in range(4)]
    assert all(path.stat().st_size <= 100_000 for path in paths)
    plan = json.loads((shards / "export.json").read_text())
    assert plan["shards"] == {path.name: n for path, n in zip(paths, (2, 2, 2, 1), strict=True)}
    assert (plan["clips"], plan["selection"]) == (KEPT, SELECTION)
    assert plan["licences"] == {"CC-BY-4.0": 3, "CC0": 4}


def test_a_clip_larger_than_a_shard_gets_one_of_its_own(output, tmp_path):
    rows = ExportRows(output.place, None, ExportTables())
    result = export(rows, str(tmp_path), "webdataset", 1000)
    assert (result.shards, result.written, result.clips) == (KEPT, KEPT, KEPT)


def test_tars_have_no_owner_and_no_time(shards):
    with tarfile.open(shards / "shard-000000.tar") as tar:
        assert {(i.mtime, i.uid, i.gid, i.uname, i.gname, i.mode) for i in tar} == {
            (0, 0, 0, "", "", 0o644)
        }


def test_the_webdataset_library_reads_them(output, shards):
    webdataset = pytest.importorskip("webdataset")
    pattern = str(shards / "shard-{000000..000003}.tar")
    samples = list(webdataset.WebDataset(pattern, shardshuffle=False).decode())
    assert [s["__key__"] for s in samples] == [
        clip.clip_id for n, clip in enumerate(output.clips) if n != 2
    ]
    assert samples[0]["codes.npy"].shape == (5, 2, 4)
    assert samples[0]["json"]["caption"] == samples[0]["txt"] == "clip 0"
    assert samples[0]["mp4"] == content_of(0)


@pytest.mark.parametrize(
    ("parts", "suffixes"),
    [
        (ExportTables(clips="none"), ["json", "txt", "codes.npy", "latents.npy"]),
        (ExportTables(captions="none", tokens="none"), ["json", "mp4"]),
        (ExportTables(clips="none", captions="none", tokens="none"), ["json"]),
    ],
)
def test_parts_may_be_left_out(output, tmp_path, parts, suffixes):
    export(ExportRows(output.place, None, parts), str(tmp_path), "webdataset", 10**9)
    assert {tuple(files) for files in members(tmp_path).values()} == {tuple(suffixes)}
