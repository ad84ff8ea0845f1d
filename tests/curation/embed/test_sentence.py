"""Vectors of captions by the real MiniLM."""

import numpy as np
import pytest

from curation import records
from curation.dataset import Dataset
from curation.dedup.vectors import unpack
from curation.embed import embed_captions, query_encoder
from curation.embed.minilm import encode_sentences
from curation.lineage import LineageError
from curation.records import Caption, Embedding
from tests.outputs import versions
from tests.rows import MeasuredClip, add_source, make_clip

CAPTIONS = {
    0: "A man walks across a street at night.",
    1: "A dog runs over a green meadow.",
    2: "Close view of hands that assemble a gearbox.",
    3: "A dog runs over a green meadow.",
}


def add_captions(dataset, captions, table="captions/facts-1"):
    rows = [
        Caption(make_clip("a" * 64, at * 24, at * 24 + 24).clip_id, "a" * 64, text)
        for at, text in captions.items()
    ]
    dataset.catalog.append(table, Caption, records.to_table(Caption, rows))
    return [row.clip_id for row in rows]


@pytest.fixture
def dataset(tmp_path):
    dataset = Dataset(tmp_path / "out")
    add_source(
        dataset,
        "a.mp4",
        [MeasuredClip(make_clip("a" * 64, at * 24, at * 24 + 24)) for at in CAPTIONS],
    )
    return dataset


def stored(dataset, table):
    rows = dataset.catalog.read(table, Embedding)
    assert set(rows["dim"].to_pylist()) == {384}
    vectors = unpack(rows["vector"].to_pylist(), 384)
    return dict(zip(rows["clip_id"].to_pylist(), vectors, strict=True))


@pytest.mark.models
def test_another_wording_finds_the_caption(dataset):
    ids = add_captions(dataset, CAPTIONS)
    table = embed_captions(dataset)
    assert table == "embeddings/captions-minilm-facts-1"
    vectors = stored(dataset, table)
    queries = query_encoder(table)
    for words, clip in [
        ("a pedestrian crossing the road in the dark", 0),
        ("puppy playing on grass", 1),
        ("somebody puts a machine together", 2),
    ]:
        query = queries.encode_text(words)
        assert query.shape == (queries.dim,)
        assert np.linalg.norm(query) == pytest.approx(1, abs=1e-5)
        assert max(vectors, key=lambda clip_id: float(vectors[clip_id] @ query)) in (
            {ids[1], ids[3]} if clip == 1 else {ids[clip]}
        )
    np.testing.assert_array_equal(vectors[ids[1]], vectors[ids[3]])


def test_only_captions_without_a_vector_are_embedded(dataset, tmp_path):
    add_captions(dataset, {0: CAPTIONS[0]})
    table = embed_captions(dataset)
    before = versions(tmp_path / "out")
    assert embed_captions(dataset) == table
    assert versions(tmp_path / "out") == before
    add_captions(dataset, {1: CAPTIONS[1], 2: CAPTIONS[2]})
    embed_captions(dataset)
    vectors = stored(dataset, table)
    assert len(vectors) == 3 == dataset.catalog.rows(table)


def test_each_table_of_captions_has_its_own_vectors(dataset):
    add_captions(dataset, CAPTIONS)
    add_captions(dataset, {0: "Night."}, "captions/brief")
    assert embed_captions(dataset, "brief") == "embeddings/captions-minilm-brief"
    assert len(stored(dataset, "embeddings/captions-minilm-brief")) == 1
    assert len(stored(dataset, embed_captions(dataset, "facts-1"))) == len(CAPTIONS)


def test_without_captions_there_is_nothing_to_embed(dataset):
    with pytest.raises(LineageError, match="reelmill caption"):
        embed_captions(dataset)


def test_the_digest_names_the_weights():
    digest = query_encoder("embeddings/captions-minilm-x").digest
    assert len(digest) == 12
    assert int(digest, 16) >= 0


def test_vectors_are_independent_of_batch_composition():
    alone = encode_sentences([CAPTIONS[0]])
    batch = encode_sentences(["short", CAPTIONS[0], "a much longer text " * 20])
    np.testing.assert_allclose(batch[1], alone[0], atol=1e-5)
