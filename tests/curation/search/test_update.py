import json

import deltalake
import numpy as np
import pytest

from curation import records
from curation.catalog import Catalog
from curation.dataset import Dataset
from curation.records import Embedding
from curation.scan.collector import EMBEDDINGS
from curation.search import Search, Vector, compaction, ivf
from curation.search.index import Index
from curation.search.store import DamagedIndexError, IndexStore
from tests import rows
from tests.curation.search.conftest import add_captions, looks_of, source_id


def uris(search: Search, **question: object) -> set[str]:
    return set(search.query(**{"where": "true", "k": 100, **question})["uri"].to_pylist())


def test_new_clips_are_appended_and_nothing_is_written_twice(search, add):
    old = search.index.manifest
    add(3, captions=False)
    updated = search.update()
    assert (updated.new_clips, updated.new_vectors, updated.rebuild_reason) == (8, 8, None)
    new = search.index.manifest
    assert new.clips[:1] == old.clips
    assert new.vectors[EMBEDDINGS].segments[:1] == old.vectors[EMBEDDINGS].segments
    assert new.version == old.version + 1
    mtime = search.index.store.mtime
    assert search.update().new_clips == 0
    assert search.index.store.mtime == mtime


def test_clips_of_an_uncommitted_source_are_pending(out, search):
    looks = looks_of(3)
    dataset = Dataset(out)
    rows.add_source(dataset, "/v/3.mp4", looks, commit=False)
    assert search.update().new_clips == 0
    assert search.index.manifest.tables_read["clips"].pending
    source = rows.make_source("/v/3.mp4", source_id(3), [look.clip for look in looks])
    dataset.catalog.append("sources", records.Source, records.to_table(records.Source, [source]))
    updated = search.update()
    assert (updated.new_clips, updated.new_vectors) == (8, 8)
    assert search.index.manifest.tables_read["clips"].pending == ()
    assert "/v/3.mp4" in uris(search, where="motion > 0.8")


def test_captions_that_come_later_are_found_and_rows_keep_their_numbers(out, search, add):
    looks = add(3, captions=False)
    search.update()
    ids = search.index.metadata["clip_id"].to_pylist()
    vectors = search.index.manifest.vectors
    assert "/v/3.mp4" not in uris(search, text="walkers", where=None)
    add_captions(Dataset(out), looks)
    search.update()
    assert "/v/3.mp4" in uris(search, text="walkers", where=None)
    assert search.index.metadata["clip_id"].to_pylist() == ids
    assert search.index.manifest.vectors == vectors


def test_merged_files_are_not_read_again(out, search, add):
    add(3)
    search.update()
    before = search.index.manifest
    catalog = Dataset(out).catalog
    merged = [name for name in catalog.table_names() if catalog.compact(name) != (1, 1)]
    assert {"clips", "sources", "embeddings/frame-dct"} <= {*merged}
    search.update()
    after = search.index.manifest
    assert (after.clips, after.vectors, after.text) == (before.clips, before.vectors, before.text)
    add(4)
    catalog.compact("clips")  # what was read with what was not
    assert search.update().new_clips == 8
    assert "/v/4.mp4" in uris(search)


def test_deleted_sources_are_no_hits_from_the_next_query_on(out, search):
    query = Vector(looks_of(1)[0].vector, "frame-dct")
    assert "/v/1.mp4" in uris(search, like=query)
    table = deltalake.DeltaTable(str(out / "sources"))
    table.delete("uri = '/v/1.mp4'")
    for _ in range(2):
        assert uris(search) == uris(search, like=query) == {"/v/2.mp4"}
        assert uris(search, text="walkers", where=None) == {"/v/2.mp4"}
        search.update()
    assert uris(Search(out)) == {"/v/2.mp4"}
    looks = looks_of(1)
    source = rows.make_source("/v/1.mp4", source_id(1), [look.clip for look in looks])
    Dataset(out).catalog.append(
        "sources", records.Source, records.to_table(records.Source, [source])
    )
    search.update()
    assert uris(search) == {"/v/1.mp4", "/v/2.mp4"}


def test_deleted_vectors_are_no_hits_from_the_next_query_on(out, search):
    clip = looks_of(1)[0].clip.clip_id
    query = Vector(looks_of(1)[0].vector, "frame-dct")
    assert search.query(like=query, k=1)["clip_id"].to_pylist() == [clip]
    deltalake.DeltaTable(str(out / EMBEDDINGS)).delete(f"clip_id = '{clip}'")
    for _ in range(2):
        hits = search.query(like=query, k=100)
        assert hits.num_rows == 15
        assert clip not in hits["clip_id"].to_pylist()
        search.update()
    assert search.index.manifest.vectors[EMBEDDINGS].count == 15


@pytest.mark.parametrize("suffix", [".half", ".arrow", "meta.json"])
def test_a_changed_file_is_refused_and_the_index_rebuilt(out, search, suffix):
    file = next(f for f in search.index.manifest.files() if f.name.endswith(suffix))
    path = out / "search" / file.name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedIndexError, match="not what was written: sha256"):
        Index.open(IndexStore(out / "search"), set())
    rebuilt = Search(out)
    assert rebuilt.last_update is not None
    assert rebuilt.last_update.rebuild_reason is not None
    assert file.name in rebuilt.last_update.rebuild_reason
    assert uris(rebuilt) == {"/v/1.mp4", "/v/2.mp4"}
    assert rebuilt.index.manifest.generation != search.index.manifest.generation


@pytest.mark.parametrize("name", ["/etc/passwd", "../sources/x", "files/gone.half"])
def test_a_manifest_cannot_name_files_from_elsewhere(out, search, name):
    path = out / "search" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["clips"][0]["facts"]["name"] = name
    path.write_text(json.dumps(manifest))
    with pytest.raises(DamagedIndexError):
        Index.open(IndexStore(out / "search"), set())
    assert uris(Search(out)) == {"/v/1.mp4", "/v/2.mp4"}


def test_another_process_sees_what_was_published(out, search, add):
    reader = Search(out, refresh=False)
    add(3)
    search.update()
    assert "/v/3.mp4" in uris(reader)


def test_zero_and_nan_vectors_are_left_out_and_counted(out, search):
    looks = looks_of(3)
    looks[0].vector = np.zeros(1144)
    looks[1].vector = np.full(1144, np.nan)
    rows.add_source(Dataset(out), "/v/3.mp4", looks)
    search.update()
    table = search.index.manifest.vectors[EMBEDDINGS]
    assert (table.count, table.empty) == (16 + 6, 2)
    assert len(search.index.metadata) == 24


def test_vectors_of_another_length_are_refused(out, search):
    clip = looks_of(1)[0].clip
    row = Embedding(clip.clip_id, clip.source_id, 4, np.ones(4, "<f2").tobytes())
    Catalog(search.dataset.catalog.storage).append(
        EMBEDDINGS, Embedding, records.to_table(Embedding, [row])
    )
    with pytest.raises(ValueError, match=r"vectors of several lengths: \[4, 1144\]"):
        search.update()


@pytest.mark.slow
def test_many_vectors_get_lists_which_are_rebuilt_only_as_they_grow(out, add, monkeypatch):
    monkeypatch.setattr(ivf, "FLAT_UP_TO", 20)
    monkeypatch.setattr(compaction, "_MAX_SEGMENTS", 2)
    search = Search(out)
    assert search.index.manifest.vectors[EMBEDDINGS].tuning is None
    for number in range(3, 9):
        add(number)
        search.update()
        table = search.index.manifest.vectors[EMBEDDINGS]
        assert table.count == 8 * number
        assert len(table.segments) <= 2
        for queried in (1, number):
            looks = looks_of(queried)
            query = Vector(looks[3].vector, "frame-dct")
            hits = search.query(like=query, k=1)
            assert hits["clip_id"].to_pylist() == [looks[3].clip.clip_id]
    assert table.tuning is not None
    assert table.tuning.trained_on == 24
    assert table.tuning.recall >= ivf.TARGET
