"""Words and pictures as vectors like those of a table."""

import json

import numpy as np
import pytest

from curation import records
from curation.dataset import Dataset
from curation.embed import CAPTION_VECTORS, OpenClip, query_encoder, recorded_model, table_name
from curation.embed.descriptor import FrameDct
from curation.records import Run
from curation.scores.base import AnalysisFrame

TIMES = np.arange(8) / 4


def test_the_descriptor_knows_pictures_alone(pictures):
    queries = query_encoder(table_name(FrameDct()))
    collector = FrameDct().load()()
    for rgb in pictures:
        collector.add(AnalysisFrame.from_rgb(rgb))
    stored = np.frombuffer(collector.vector(0, 8, TIMES, (0.0, 2.0)), "<f2").astype(np.float32)
    vector = queries.encode_frames(pictures, TIMES, (0.0, 2.0))
    assert vector.dtype == np.float32
    assert vector.shape == (queries.dim,)
    np.testing.assert_array_equal(vector, stored)
    with pytest.raises(ValueError, match="knows pictures, not words"):
        queries.encode_text("a red disc")
    with pytest.raises(ValueError, match="at least one frame"):
        queries.encode_frames([], TIMES[:0], (0.0, 0.0))


def test_a_model_of_open_clip_knows_both(folder, checkpoint, model, pictures):
    queries = query_encoder(table_name(OpenClip(str(folder))), str(folder))
    assert (queries.dim, queries.digest) == (16, checkpoint.digest)
    np.testing.assert_allclose(
        queries.encode_text("a disc"), model.encode_texts(["a disc"])[0], atol=1e-6
    )
    mean = model.encode_images([model.preprocess(rgb) for rgb in pictures]).mean(axis=0)
    vector = queries.encode_frames(iter(pictures), TIMES, (0.0, 2.0))
    np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)
    for words in ("", "  "):
        with pytest.raises(ValueError, match="no words"):
            queries.encode_text(words)
    with pytest.raises(ValueError, match="at least one frame"):
        queries.encode_frames([], TIMES[:0], (0.0, 0.0))


def test_settings_in_the_tables_name_do_not_matter_to_a_query(folder):
    table = table_name(OpenClip(str(folder), every=1, precision="bf16"))
    assert query_encoder(table, str(folder)).dim == 16


def test_other_weights_are_refused(folder):
    with pytest.raises(ValueError, match="was made by other weights than those of"):
        query_encoder("embeddings/open-clip-0123456789ab", str(folder))
    with pytest.raises(ValueError, match="name it"):
        query_encoder("embeddings/open-clip-0123456789ab")


@pytest.mark.parametrize("table", ["embeddings/unheard", "embeddings/frame-dct-0", "clips"])
def test_a_table_of_no_embedder(table):
    with pytest.raises(ValueError, match="no embedder of this version"):
        query_encoder(table, "anything")


def test_captions_know_words_alone(pictures):
    queries = query_encoder(f"{CAPTION_VECTORS}-facts")
    with pytest.raises(ValueError, match="not pictures"):
        queries.encode_frames(pictures, TIMES, (0.0, 2.0))
    with pytest.raises(ValueError, match="no words"):
        queries.encode_text("")


def recorded(dataset, *embedders):
    config = json.dumps({"scan": {"embedders": list(embedders)}})
    run = Run(str(len(embedders)), "scan", "", 0.1, config, "{}", "{}", "{}", "sources")
    dataset.catalog.append("runs", Run, records.to_table(Run, [run]))


def test_the_model_of_a_table_is_known_from_its_run(folder, tmp_path):
    dataset, table = Dataset(tmp_path), table_name(OpenClip(str(folder), every=1))
    assert recorded_model(dataset, table) is None
    recorded(dataset, "FrameDct")
    recorded(dataset, "FrameDct", {"OpenClip": {"model": "gone/away"}})
    assert recorded_model(dataset, table) is None
    recorded(dataset, "FrameDct", {"OpenClip": {"model": str(folder), "every": 1}}, "FrameDct")
    assert recorded_model(dataset, table) == str(folder)
    assert recorded_model(dataset, table_name(FrameDct())) is None
