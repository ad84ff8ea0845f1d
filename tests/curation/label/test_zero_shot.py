"""Zero-shot labels and the aesthetic score from stored vectors."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from curation import records
from curation.dataset import Dataset
from curation.embed.base import table_name
from curation.embed.clip_embedder import OpenClip
from curation.embed.open_clip import ModelError
from curation.label.label_file import Aesthetic, Label, Labels, LabelsError
from curation.label.zero_shot import label_clips
from curation.records import ClipLabel, Embedding
from tests.outputs import versions
from tests.rows import MeasuredClip, add_source, make_clip

DAY, NIGHT = "a picture by day", "a picture at night"


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """Says ten times the first number of a vector."""
    weight = torch.zeros(1, 16)
    weight[0, 0] = 10
    path = tmp_path_factory.mktemp("head") / "head.safetensors"
    save_file({"weight": weight, "bias": torch.zeros(1)}, path)
    return str(path)


@pytest.fixture
def labels(folder, head):
    light = {"day": Label((DAY, "daylight")), "night": Label((NIGHT,), 0.6)}
    return Labels("mine", str(folder), {"light": light}, Aesthetic(head, 5.0))


@pytest.fixture
def dataset(tmp_path, folder, model):
    """Clips whose vectors are those of the prompts, and one whose vector is zero."""
    dataset = Dataset(tmp_path / "out")
    clips = [make_clip("a" * 64, at * 24, at * 24 + 24) for at in range(4)]
    add_source(dataset, "a.mp4", [MeasuredClip(clip) for clip in clips])
    embed(dataset, folder, clips[0], model.encode_texts([DAY, "daylight"]).mean(axis=0))
    embed(dataset, folder, clips[1], model.encode_texts([NIGHT])[0])
    embed(dataset, folder, clips[2], np.zeros(16))
    return dataset


def embed(dataset, folder, clip, vector):
    vector = vector / max(np.linalg.norm(vector), 1e-6)
    row = Embedding(clip.clip_id, clip.source_id, 16, vector.astype("<f2").tobytes())
    table = table_name(OpenClip(str(folder), every=1))
    dataset.catalog.append(table, Embedding, records.to_table(Embedding, [row]))


def scores_by_clip(dataset, table):
    rows = defaultdict(dict)
    for row in records.from_table(ClipLabel, dataset.catalog.read(table, ClipLabel)):
        rows[row.clip_id][row.label] = (row.score, row.holds)
    return [
        rows.get(clip, {}) for clip in (make_clip("a" * 64, t, t + 24).clip_id for t in (0, 24, 48))
    ]


def test_each_clip_gets_its_own_label(dataset, labels, model):
    table, counts = label_clips(dataset, labels)
    assert table.startswith("labels/mine-")
    day, night, empty = scores_by_clip(dataset, table)
    assert empty == {}
    day_vector = model.encode_texts([DAY, "daylight"]).mean(axis=0)
    night_vector = model.encode_texts([NIGHT])[0]
    texts = np.stack([t / np.linalg.norm(t) for t in (day_vector, night_vector)])
    powers = np.exp(model.scale * (texts @ texts.T))
    shares = powers / powers.sum(axis=1, keepdims=True)
    for clip, share in ((day, shares[0]), (night, shares[1])):
        assert clip["light/day"][0] == pytest.approx(share[0], abs=5e-3)
        assert clip["light/night"][0] == pytest.approx(share[1], abs=5e-3)
        assert clip["light/day"][1] == (clip["light/day"][0] >= 0.5)
        assert clip["light/night"][1] == (clip["light/night"][0] >= 0.6)
    assert day["light/day"][0] > 0.5 > day["light/night"][0]
    assert night["light/night"][0] > 0.5
    assert counts["light/day"] == 1


def test_the_aesthetic_score_is_the_heads(dataset, labels, model):
    table, counts = label_clips(dataset, labels)
    _, night, _ = scores_by_clip(dataset, table)
    expected = 10 * model.encode_texts([NIGHT])[0][0]
    assert night["aesthetic"][0] == pytest.approx(expected, abs=0.02)
    assert night["aesthetic"][1] == (expected >= 5)
    low = replace(labels, aesthetic=replace(labels.aesthetic, threshold=-100.0))
    assert label_clips(dataset, low)[1]["aesthetic"] == 2
    assert counts["aesthetic"] == sum(
        row["aesthetic"][1] for row in scores_by_clip(dataset, table)[:2]
    )


def test_a_second_run_fills_only_what_is_new(dataset, labels, folder, model, tmp_path):
    table, _ = label_clips(dataset, labels)
    rows, before = dataset.catalog.rows(table), versions(tmp_path / "out")[table]
    embed(dataset, folder, make_clip("a" * 64, 72, 96), model.encode_texts([NIGHT])[0])
    assert label_clips(dataset, labels)[0] == table
    assert dataset.catalog.rows(table) == rows + 3
    assert versions(tmp_path / "out")[table] > before


def test_other_prompts_or_thresholds_fill_another_table(dataset, labels):
    group = labels.groups["light"]
    sharper = {"light": {**group, "day": replace(group["day"], threshold=0.7)}}
    other = {"light": {**group, "day": Label(("noon",))}}
    names = {
        label_clips(dataset, replace(labels, groups=each))[0]
        for each in (labels.groups, sharper, other)
    }
    assert len(names) == 3


def test_a_model_that_embedded_nothing_says_what_to_do(tmp_path, labels):
    with pytest.raises(ModelError, match=r"add `OpenClip: \{model: .*scan.embedders"):
        label_clips(Dataset(tmp_path / "empty"), labels)


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ({"day": Label((DAY,))}, "two labels or more"),
        ({"day": Label(()), "night": Label((NIGHT,))}, "prompts with words"),
        ({"day": Label((" ",)), "night": Label((NIGHT,))}, "prompts with words"),
        ({"day": Label((DAY,), 1.5), "night": Label((NIGHT,))}, "threshold has to be in 0–1"),
    ],
)
def test_labels_that_mean_nothing_are_refused(group, words):
    with pytest.raises(LabelsError, match=words):
        Labels("mine", "model", {"light": group})
