"""Actions of batches are those of their samples' latent frames, by name; gaps are invalid."""

import json

import numpy as np
import pytest

from tests.tokenizer.feed.tables import add_shards, clip_id, token_row
from tokenizer.feed import SequenceWindow, TokenFeed, TokenTable
from tokenizer.feed.errors import BadShardError, FeedError
from tokenizer.feed.map_style import TokenDataset

SHAPE = (7, 2, 2)


def actions_of(clip, names):
    """Number k of latent t is clip·1000 + t·10 + k; the second number of clip 2 is missing at 3."""
    frames, numbers = np.arange(SHAPE[0])[:, None], np.arange(len(names))
    values = (clip * 1000 + frames * 10 + numbers).astype(np.float32)
    if clip == 2:
        values[3, 1] = np.nan
    return values


def row(clip, names):
    text = json.dumps(names) if names else None
    data = actions_of(clip, names).tobytes() if names else None
    return token_row(clip, 0, SHAPE, actions=data, action_names=text)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two robots, and a video without signals."""
    folder = tmp_path_factory.mktemp("actions")
    add_shards(folder, [[row(1, ["a.x", "a.y"]), row(3, [])], [row(2, ["b", "a.x", "a.y"])]])
    return folder


def test_a_batch_has_them_without_being_asked(place):
    feed = TokenFeed(place, batch_size=3, selection="all")
    assert feed.action_names == ("b", "a.x", "a.y")
    (batch,) = feed
    assert batch["actions"].shape == batch["actions_valid"].shape == (3, 7, 3)
    assert batch["actions"][~batch["actions_valid"]].eq(0).all()


def test_numbers_have_their_place_by_name(place):
    table = TokenTable(place, columns=["actions", "clip_id"])
    (batch,) = TokenFeed(table, batch_size=3)
    pairs = zip(batch["actions"], batch["actions_valid"], strict=True)
    found = dict(zip(batch["clip_id"], pairs, strict=True))
    values, valid = (part.numpy() for part in found[clip_id(1)])
    assert np.array_equal(values[:, 1:], actions_of(1, ["a.x", "a.y"]))
    assert valid.all(axis=0).tolist() == [False, True, True]
    values, valid = (part.numpy() for part in found[clip_id(2)])
    assert np.argwhere(~valid).tolist() == [[3, 1]]
    assert values[4].tolist() == [2040, 2041, 2042]
    assert not found[clip_id(3)][1].any()


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_windows_have_those_of_their_latents(place, stride):
    window = SequenceWindow(3, stride=stride)
    table = TokenTable(place, columns=["codes", "actions", "clip_id"], window=window)
    for batch in TokenFeed(table, batch_size=2):
        for clip, first, values in zip(
            batch["clip_id"], batch["first_latent"], batch["actions"], strict=True
        ):
            if clip == clip_id(1):
                start = int(first)
                expected = actions_of(1, ["a.x", "a.y"])[start : start + 3]
                assert np.array_equal(values[:, 1:].numpy(), expected)


def test_by_number(place):
    samples = TokenDataset(TokenTable(place, columns=["actions"]))[0]
    assert samples["actions"].shape == (7, 3)


def test_a_table_without_actions_says_so(tmp_path):
    add_shards(tmp_path, [[token_row(1, 0, SHAPE)]])
    assert TokenTable(tmp_path).columns == ("codes",)
    with pytest.raises(FeedError, match="has no actions"):
        TokenTable(tmp_path, columns=["codes", "actions"])


def test_actions_of_a_wrong_size_are_damage(tmp_path):
    bad = token_row(1, 0, SHAPE, actions=b"123", action_names='["a"]')
    add_shards(tmp_path, [[bad]])
    with pytest.raises(BadShardError, match="3 bytes of actions"):
        list(TokenFeed(tmp_path, batch_size=1, selection="all"))
