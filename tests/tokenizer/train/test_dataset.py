import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from curation.dataset import Dataset
from tests.tokenizer.conftest import moving_pattern
from tests.tokenizer.train.conftest import rendered_clips
from tokenizer.train.crops import read_crops
from tokenizer.train.dataset import PackingSettings, new_split, pack_crops

SMALL = PackingSettings(
    frames=9, side=48, size_mib=0.25, short_sides=(48, 64), group_column="recording"
)
LISTED = [("a", "CC BY 4.0"), ("a", "CC BY 4.0"), ("b", "CC0"), ("c", "all rights reserved")]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Dataset:
    """Four sources, two of one recording and one that may not be used."""
    return rendered_clips(tmp_path_factory.mktemp("out"), LISTED)


def written(path: Path, **split: list[str]) -> Path:
    path.write_text(json.dumps(split))
    return path


def test_crops_follow_the_split_and_the_licence(rendered, tmp_path):
    split = written(tmp_path / "split.json", train=["a", "c"], validation=["b"])
    path = tmp_path / "crops.safetensors"
    allowed = dataclasses.replace(SMALL, allowed_licences="^CC")
    facts = pack_crops(rendered, path, split, allowed)
    assert set(facts.licences) == {"CC BY 4.0"}
    assert facts.split == {"train": ["a"], "validation": ["b"]}
    train, _ = read_crops(path, "train")
    validation, _ = read_crops(path, "validation")
    assert train.shape[1:] == validation.shape[1:] == (9, 48, 48, 3)
    assert len(train) == sum(facts.licences.values())
    assert len(train) > 3
    assert path.stat().st_size < 0.4 * 2**20


def test_the_same_draws_give_the_same_file(rendered, tmp_path):
    split = written(tmp_path / "split.json", train=["a", "c"], validation=["b"])
    for name in ("one", "two"):
        pack_crops(rendered, tmp_path / name, split, SMALL)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_split_is_created_once_and_then_read(rendered, tmp_path):
    split = tmp_path / "split.json"
    facts = pack_crops(rendered, tmp_path / "crops", split, SMALL)
    made = json.loads(split.read_text())
    assert sorted(made["train"] + made["validation"]) == ["a", "b", "c"]
    assert facts.split == made
    written(split, train=["b"], validation=["a", "c"])
    assert pack_crops(rendered, tmp_path / "crops", split, SMALL).split["train"] == ["b"]


def test_adding_groups_moves_none_to_the_other_side():
    few = new_split([f"g{n}" for n in range(40)], 0.25)
    many = new_split([f"g{n}" for n in range(80)], 0.25)
    assert set(few["train"]) <= set(many["train"])
    assert set(few["validation"]) <= set(many["validation"])
    assert 3 < len(few["validation"]) < 20
    assert new_split(["only", "two"], 0.0)["validation"] != []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"train": ["a"]}', "needs lists train and validation"),
        ("[", "is no split"),
        ('{"train": ["a"], "validation": ["a"]}', "has a on both sides"),
        (
            '{"train": ["a"], "validation": ["z"]}',
            "no clip of 9 frames is in the groups for validation",
        ),
    ],
)
def test_an_invalid_split_is_an_error(rendered, tmp_path, content, message):
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        pack_crops(rendered, tmp_path / "crops", tmp_path / "split.json", SMALL)
    assert not (tmp_path / "crops").exists()


def test_without_an_allowed_licence_there_is_nothing_to_pack(rendered, tmp_path):
    nothing = PackingSettings(allowed_licences="^public domain$")
    with pytest.raises(ValueError, match="a licence that matches"):
        pack_crops(rendered, tmp_path / "crops", tmp_path / "split.json", nothing)


def test_crops_are_pieces_of_the_clips(rendered, tmp_path):
    split = written(tmp_path / "split.json", train=["b"], validation=["a"])
    pack_crops(rendered, tmp_path / "crops", split, SMALL)
    crops, _ = read_crops(tmp_path / "crops", "train")
    whole = moving_pattern(20, speed=3)
    assert np.abs(crops.float().mean((0, 1, 2, 3)).numpy() - whole.mean((0, 1, 2))).max() < 25
