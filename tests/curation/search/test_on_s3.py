"""The index of an output on S3: it is in the user's cache and follows the tables there."""

import pytest

from curation.dataset import Dataset
from curation.records import Source
from curation.search import Search, Vector, cursor
from tests import s3
from tests.curation.search.conftest import add_source, looks_of, source_id

pytestmark = pytest.mark.s3


@pytest.fixture
def output(monkeypatch, tmp_path) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return f"{s3.bucket(monkeypatch)}/out"


def uris(search: Search, **query: object) -> set[str]:
    return set(search.query(**{"k": 100, **query})["uri"].to_pylist())


def test_an_output_on_s3_is_indexed_asked_extended_and_exported(output, tmp_path):
    add_source(output, 1)
    search = Search(output)
    assert search.index.store.root.is_relative_to(tmp_path / "cache")
    assert uris(search, text="dark forest") == {"/v/1.mp4"}
    near = search.query(like=Vector(looks_of(1)[3].vector, "frame-dct"), where="motion < 0.5", k=1)
    assert near["clip_id"].to_pylist() == [looks_of(1)[3].clip.clip_id]

    first = search.query("dark", k=3)
    add_source(output, 2)
    assert search.update().new_clips == 8
    assert uris(search, text="dark forest") == {"/v/1.mp4", "/v/2.mp4"}
    rest = search.query("dark", k=3, after=cursor(first))
    assert set(rest["uri"].to_pylist()) == {"/v/1.mp4"}  # as it was at the first page
    shown = first["clip_id"].to_pylist()
    assert not set(shown) & set(rest["clip_id"].to_pylist())

    subset = search.export("dark", first)
    dataset = Dataset(output)
    assert dataset.clips("kept", subset)["clip_id"].to_pylist() == sorted(shown)

    with dataset.catalog.writer("test", {"sources": Source}) as writer:
        writer.drop("sources", "source_id", {source_id(1)})
    assert uris(search, where="true") == {"/v/2.mp4"}
