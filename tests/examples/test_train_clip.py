"""The tiny model of open_clip: what it is trained on, and that it is read back as a user's is."""

import json

import numpy as np
import pytest
import torch

import train_clip
from captioned_clips import FIELDS, all_subjects
from curation.embed.clip_embedder import OpenClip
from curation.embed.open_clip import ClipModel, find_checkpoint

pytestmark = pytest.mark.train


def test_held_out_pairs_are_never_seen():
    known, held = train_clip.split()
    assert len(known) + len(held) == len(all_subjects())
    assert len(held) == 192 >= train_clip.GALLERY
    assert len({(subject.colour, subject.shape) for subject in held}) == 6
    assert not {(t.colour, t.shape) for t in known} & {(t.colour, t.shape) for t in held}
    for field in FIELDS:
        assert {getattr(t, field) for t in known} == {getattr(t, field) for t in held}
    assert train_clip.split() == (known, held)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A few steps on a few subjects, as `main` does."""
    folder = tmp_path_factory.mktemp("clip")
    known, held = train_clip.split()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_clip, "split", lambda: (known[::40], held))
        train_clip.train(folder, steps=30, batch=24, variants=1, seed=0)
    return folder


def test_the_folder_is_one_of_open_clip_and_a_few_steps_learn(trained):
    assert json.loads((trained / "open_clip_config.json").read_text()) == train_clip.CONFIG
    embedder = OpenClip(str(trained))
    assert embedder.dim == 128
    model = ClipModel(find_checkpoint(str(trained)), "cpu", "fp32")
    seen = train_clip.split()[0][::40]
    renders = train_clip.rendered(seen, model, np.random.default_rng(5))
    vectors = [model.encode_images(list(frames.float())) for frames in renders.frames]
    clips = np.stack([frame_vectors.mean(axis=0) for frame_vectors in vectors])
    clips /= np.linalg.norm(clips, axis=1, keepdims=True)
    scores = model.encode_texts([subject.caption for subject in seen]) @ clips.T
    rank = (scores >= scores.diagonal()[:, None]).sum(axis=1)
    assert np.median(rank) <= len(seen) / 3  # by chance half


def test_recall_counts_the_clips_that_are_nearest_to_their_caption(trained, monkeypatch):
    model = ClipModel(find_checkpoint(str(trained)), "cpu", "fp32")
    _, held = train_clip.split()
    at = {subject.caption: number for number, subject in enumerate(held)}
    basis = torch.eye(len(held)).numpy()
    drawn = []
    clip_frames = train_clip.clip_frames

    def filmed(subject, *rest):
        drawn.append(at[subject.caption])
        return clip_frames(subject, *rest)

    monkeypatch.setattr(train_clip, "clip_frames", filmed)
    monkeypatch.setattr(model, "encode_images", lambda frames: basis[[drawn[-1]] * len(frames)])
    monkeypatch.setattr(model, "encode_texts", lambda words: basis[[at[each] for each in words]])
    assert train_clip.recall(model) == 1.0
    shifted = [(at[subject.caption] + 1) % len(held) for subject in held]
    monkeypatch.setattr(
        model, "encode_texts", lambda texts: basis[[shifted[at[text]] for text in texts]]
    )
    assert train_clip.recall(model) == 0.0
