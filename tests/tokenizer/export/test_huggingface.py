"""Parquet shards for `datasets`, and the card beside them."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.tokenizer.export.conftest import KEPT, content_of
from tests.tokenizer.feed.tables import codes_of, latents_of
from tokenizer.export import huggingface
from tokenizer.export.clip_rows import ExportRows, ExportTables
from tokenizer.export.export import export


@pytest.fixture(scope="module")
def folder(output, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("hf") / "data set"
    export(ExportRows(output.place, None, ExportTables()), str(place), "hf", 180_000)
    return place


def test_a_row_holds_a_clip(output, folder):
    paths = sorted((folder / "data").iterdir())
    assert [p.name for p in paths] == [
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
    ]
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    assert len(rows) == KEPT
    row = rows[1]
    assert row["mp4"] == content_of(1)
    codes = np.frombuffer(row["codes"], "<u2").reshape(row["codes_shape"])
    latents = np.frombuffer(row["latents"], "<f2").reshape(row["latents_shape"])
    assert codes.shape == (5, 2, 4)
    np.testing.assert_array_equal(codes[3:], codes_of(1, 1, (2, 2, 4)))
    np.testing.assert_array_equal(latents[:, :3], latents_of(1, 0, (3, 2, 4)))
    assert (row["caption"], row["licence"], row["uri"]) == ("clip 1", "CC-BY-4.0", "s3://raw/a.mp4")
    assert row["extra"]["city"] == "Köln"
    assert row["windows"][1]["latent_frames"] == 2


def test_the_card_names_licences_and_columns(folder):
    card = (folder / "README.md").read_text()
    assert "7 clips of 2 sources" in card
    assert "| CC-BY-4.0 | 3 |\n| CC0 | 4 |" in card
    assert "path: data/train-*.parquet" in card
    assert 'np.frombuffer(clip["codes"], "<u2")' in card
    assert "| `latents_shape` | list<item: int64> |" in card


def test_row_groups_have_a_bounded_size(output, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface, "_GROUP_BYTES", 50_000)
    export(ExportRows(output.place, None, ExportTables()), str(tmp_path), "hf", 10**9)
    file = pq.ParquetFile(tmp_path / "data" / "train-00000-of-00001.parquet")
    assert [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)] == [2, 2, 2, 1]


def test_datasets_reads_it(folder, tmp_path):
    datasets = pytest.importorskip("datasets")
    cache = str(tmp_path)
    for arguments in (("parquet", None, str(folder)), (str(folder),)):
        result = datasets.load_dataset(*arguments, split="train", cache_dir=cache)
        assert result.num_rows == KEPT
        assert result[1]["caption"] == "clip 1"
