import numpy as np
import pytest
import torch

from tests.tokenizer.feed.tables import add_shards, add_simple_shards, clip_id, codes_of, token_row
from tests.tokenizer.feed.test_shard_reader import damage, shard_of
from tokenizer.feed import BadShardError, SequenceWindow, TokenDataset, TokenTable

CLIPS = {clip_id(clip): clip for clip in range(100)}
NAMES = ["codes", "clip_id", "window", "fps"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("map")
    add_simple_shards(place, clips=20)
    return place


def test_every_sample_has_a_number(place):
    samples = TokenDataset(TokenTable(place, columns=NAMES))
    assert len(samples) == 40
    keys = set()
    for number in range(40):
        sample = samples[number]
        key = CLIPS[sample["clip_id"]], int(sample["window"])
        assert np.array_equal(sample["codes"], codes_of(*key, (3, 2, 4)))
        assert float(sample["fps"]) == 24.0 + key[0]
        keys.add(key)
    assert len(keys) == 40


def test_numbers_are_read_together_in_any_order(place):
    samples = TokenDataset(TokenTable(place, columns=NAMES))
    asked = [39, 0, 17, 17, 3]
    result = samples.__getitems__(asked)
    for number, sample in zip(asked, result, strict=True):
        assert sample["clip_id"] == samples[number]["clip_id"]
        assert int(sample["position"]) >= 0


def test_a_loader_shuffles_and_stacks(place):
    samples = TokenDataset(TokenTable(place, columns=NAMES))
    samples[0]
    loader = torch.utils.data.DataLoader(samples, batch_size=8, shuffle=True, num_workers=2)
    batches = [zip(b["clip_id"], b["window"].tolist(), strict=True) for b in loader]
    result = [key for batch in batches for key in batch]
    assert len(result) == len(set(result)) == 40
    assert next(iter(loader))["codes"].shape == (8, 3, 2, 4)


def test_shapes_follow_each_other(tmp_path):
    rows = [token_row(clip, 0, [(3, 2, 4), (5, 2, 4)][clip % 2]) for clip in range(9)]
    add_shards(tmp_path, [rows])
    samples = TokenDataset(TokenTable(tmp_path, columns=NAMES))
    assert [len(samples[n]["codes"]) for n in range(9)] == [3] * 5 + [5] * 4
    cut = TokenDataset(TokenTable(tmp_path, columns=NAMES, window=SequenceWindow(2)))
    assert len(cut) == 5 + 2 * 4
    assert {tuple(sample["codes"].shape) for sample in cut.__getitems__(range(13))} == {(2, 2, 4)}


@pytest.mark.parametrize("number", [-1, 40])
def test_a_number_out_of_range_is_an_error(place, number):
    with pytest.raises(IndexError, match=f"there is no sample {number}; there are 40"):
        TokenDataset(place)[number]


def test_a_damaged_row_group_is_named(tmp_path):
    add_simple_shards(tmp_path, clips=10)
    samples = TokenDataset(tmp_path)
    damage(shard_of(tmp_path), 1)
    with pytest.raises(BadShardError, match="row group 1"):
        [samples[number] for number in range(20)]
