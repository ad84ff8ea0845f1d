"""Pooling a source's frames into clips' vectors."""

import pickle

import numpy as np
import pytest

from curation.embed.base import table_name
from curation.embed.clip_embedder import OpenClip, OpenClipCollector, mean_pool
from curation.errors import InfrastructureError
from curation.scores.base import AnalysisFrame
from tests.curation.embed.conftest import saved


def collect(model, pictures, every, batch=3):
    collector = OpenClipCollector(model, every, batch)
    for rgb in pictures:
        collector.add(AnalysisFrame.from_rgb(rgb))
    return collector


def vector(collector, first, last):
    packed = collector.vector(first, last, np.arange(first, last) / 4, (first / 4, last / 4))
    return np.frombuffer(packed, "<f2").astype(np.float32)


def alone(model, pictures):
    """Each frame's vector, one at a time."""
    return np.concatenate([model.encode_images([model.preprocess(rgb)]) for rgb in pictures])


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("span", [(0, 8), (1, 5), (2, 4), (5, 8)])
def test_a_clip_is_the_mean_of_its_own_frames(model, pictures, every, span):
    first, last = span
    indices = [i for i in range(first, last) if i % every == 0]
    mean = alone(model, [pictures[i] for i in indices]).mean(axis=0)
    clip_vector = vector(collect(model, pictures, every), first, last)
    np.testing.assert_allclose(clip_vector, mean / np.linalg.norm(mean), atol=1e-3)
    assert np.linalg.norm(clip_vector) == pytest.approx(1, abs=1e-3)


def test_vectors_are_independent_of_the_batch_size(model, pictures):
    spans = [(0, 3), (3, 8)]
    one = [vector(collect(model, pictures, 1, batch=1), *span) for span in spans]
    many = [vector(collect(model, pictures, 1, batch=100), *span) for span in spans]
    np.testing.assert_allclose(one, many, atol=2e-3)


def test_a_clip_without_a_sampled_frame_is_zero(model, pictures):
    collector = collect(model, pictures, every=4)
    assert not vector(collector, 1, 3).any()
    assert not vector(collector, 5, 5).any()
    assert not vector(collect(model, [], every=1), 0, 0).any()
    assert vector(collector, 1, 5).any()


def test_at_most_one_batch_is_buffered(model, pictures):
    collector = collect(model, pictures * 4, every=1, batch=5)
    assert len(collector._pending) < 5
    assert [part.shape for part in collector._parts] == [(30, 16)]


def test_the_table_is_named_by_the_weights_and_what_moves_vectors(folder, checkpoint, tmp_path):
    plain = OpenClip(str(folder))
    assert table_name(plain) == f"embeddings/open-clip-{checkpoint.digest}"
    assert plain.dim == 16
    changed = OpenClip(str(folder), every=1, precision="bf16", batch=7, device="cuda:1")
    assert changed.name == f"{plain.name}-every1-bf16"
    assert OpenClip(str(folder), batch=7, gpu_share=0.5).name == plain.name
    assert OpenClip(str(saved(tmp_path / "other", seed=5))).name != plain.name


def test_a_share_of_a_gpu_is_reserved_only_on_a_gpu(folder):
    assert OpenClip(str(folder)).gpus == 0
    assert OpenClip(str(folder), device="cuda", gpu_share=0.5).gpus == 0.5


def test_a_worker_with_other_weights_stops_the_run(tmp_path):
    place = saved(tmp_path / "model")
    embedder = OpenClip(str(place))
    embedder.name  # noqa: B018  the driver names the table, and so remembers the weights
    sent = pickle.loads(pickle.dumps(embedder))
    sent.load()
    saved(tmp_path / "other", seed=1).joinpath("open_clip_model.safetensors").replace(
        place / "open_clip_model.safetensors"
    )
    with pytest.raises(InfrastructureError, match="copy the same file to every machine"):
        pickle.loads(pickle.dumps(embedder)).load()


def test_the_mean_of_opposites_does_not_divide_by_zero():
    assert np.isfinite(mean_pool(np.array([[1, 0], [-1, 0]], np.float32))).all()
