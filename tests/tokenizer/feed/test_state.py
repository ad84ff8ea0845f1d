import json

import pytest

from tokenizer.feed.state import MAX_BYTES, StateMismatchError, make_state, restore_cursor
from tokenizer.feed.steps import FeedCursor

FEED = {"table": "tokens/causal-8x8x8-1a2b3c4d", "version": 12, "rows": "0f" * 8, "seed": 7}
VERSIONS = {f"scores/some-group-{at}-v2": 1000 + at for at in range(12)}


def test_a_state_is_small_and_can_be_restored():
    state = make_state(FeedCursor(3, 99_999_999), FEED, VERSIONS)
    text = json.dumps(state)
    assert len(text) <= MAX_BYTES == 1024
    assert restore_cursor(json.loads(text), FEED) == FeedCursor(3, 99_999_999)
    assert json.loads(text)["versions"] == VERSIONS


def test_a_state_of_another_feed_is_refused_with_the_differences():
    state = make_state(FeedCursor(0, 1), FEED, {})
    with pytest.raises(
        StateMismatchError,
        match=r"seed: 7 in the state, 8 here; version: 12 in the state, 13 here\); if a table has"
        r" grown since, open it with versions=state\['versions'\]",
    ):
        restore_cursor(state, {**FEED, "version": 13, "seed": 8})
    with pytest.raises(StateMismatchError, match="batches: nothing in the state, 64/short here"):
        restore_cursor(state, {**FEED, "batches": "64/short"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "a state of format 2, where 1 is known"),
        ({"epoch": -1}, "a state at epoch -1, 1 consumed"),
        ({"consumed": "5"}, "a state at epoch 0, '5' consumed"),
    ],
)
def test_an_invalid_state_is_refused(change, words):
    with pytest.raises(StateMismatchError, match=words):
        restore_cursor({**make_state(FeedCursor(0, 1), FEED, {}), **change}, FEED)


def test_a_state_never_grows_beyond_its_limit():
    many = {f"table {at}": "1 tokens/causal-8x8x8-1a2b3c4d@12 0123456789ab" for at in range(30)}
    with pytest.raises(ValueError, match=r"a state of \d+ bytes: long names, or many tables"):
        make_state(FeedCursor(0, 0), many, {})
