"""Thumbnails are found in whichever file and row group they are."""

import numpy as np

from curation import records
from curation.dataset import Dataset
from curation.records import Thumbnail
from curation.scan.collector import THUMBNAILS
from pipelines.service import thumbnails
from pipelines.service.thumbnails import Thumbnails

CLIPS = 30


def test_every_thumbnail_is_found_in_its_file(tmp_path, monkeypatch):
    catalog = Dataset(tmp_path / "out").catalog
    names = [f"{number:032x}" for number in np.random.default_rng(0).permutation(CLIPS)]
    for part in (names[:7], names[7:8], names[8:]):
        rows = [Thumbnail(name, "s", 0, name.encode() * 9) for name in part]
        catalog.append(THUMBNAILS, Thumbnail, records.to_table(Thumbnail, rows))
    monkeypatch.setattr(thumbnails, "_MAX_BYTES", 3000)  # room for some of the files
    pictures = Thumbnails(catalog)
    assert [pictures.jpeg(name) for name in names] == [name.encode() * 9 for name in names]
    assert pictures.jpeg("f" * 32) is None
    assert pictures.jpeg(names[0][:16]) is None
    assert len(pictures._cache) < 3


def test_without_any_there_is_none(tmp_path):
    assert Thumbnails(Dataset(tmp_path / "out").catalog).jpeg("0" * 32) is None
