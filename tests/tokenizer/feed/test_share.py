import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer.feed.distributed import Consumer, share
from tokenizer.feed.steps import draw


def shares(positions, lanes, world, padding=0):
    drawn = draw(np.array(positions), padding=padding)
    return [share([drawn], [lanes], Consumer(rank, world))[0] for rank in range(world)]


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 200), st.integers(1, 64), st.integers(1, 20))
def test_consumers_get_equal_parts_of_everything(start, length, lanes, world):
    parts = shares(range(start, start + length), lanes, world)
    assert sorted(p for part in parts for p in part.positions) == [*range(start, start + length)]
    lengths = [len(part.positions) for part in parts]
    assert max(lengths) - min(lengths) <= 1
    assert all((np.diff(part.positions) > 0).all() for part in parts)


@pytest.mark.parametrize(("batch", "world"), [(64, 4), (32, 8), (128, 2), (16, 4)])
def test_a_consumer_keeps_to_its_lanes(batch, world):
    """With 32 lanes, divided by the consumers: each lane belongs to one of them."""
    owners = [set() for _ in range(32)]
    for start in range(0, 1024, batch):
        for rank, part in enumerate(shares(range(start, start + batch), 32, world)):
            for position in part.positions:
                owners[position % 32].add(rank)
    assert all(len(ranks) == 1 for ranks in owners)


def test_odd_numbers_of_consumers_keep_mostly_to_theirs():
    owners = [set() for _ in range(32)]
    for start in range(0, 960, 96):
        for rank, part in enumerate(shares(range(start, start + 96), 32, 3)):
            for position in part.positions:
                owners[position % 32].add(rank)
    assert max(len(ranks) for ranks in owners) == 2
    assert sum(len(ranks) for ranks in owners) <= 32 + 2


def test_padding_stays_with_its_positions():
    parts = shares([8, 9, 0, 1], 4, 2, padding=2)
    found = dict(
        pair for p in parts for pair in zip(p.positions.tolist(), p.padding.tolist(), strict=True)
    )
    assert found == {8: False, 9: False, 0: True, 1: True}


def test_tables_of_a_mixture_are_shared_out_alike():
    draws = [draw(np.arange(32), source=0), draw(np.arange(16), source=1)]
    for rank in range(4):
        part = share(draws, [32, 16], Consumer(rank, 4))
        assert [len(d.positions) for d in part] == [8, 4]
        assert [d.source for d in part] == [0, 1]


def test_more_consumers_than_samples_leave_some_without():
    parts = shares([5, 6], 8, 5)
    assert sorted(len(part.positions) for part in parts) == [0, 0, 0, 1, 1]


def test_a_consumer_is_one_of_them():
    with pytest.raises(ValueError, match="rank 4 is not one of 0 … 3"):
        Consumer(4, 4)


def test_torchrun_says_who_this_is(monkeypatch):
    assert Consumer.here() == Consumer(0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert Consumer.here() == Consumer(2, 3)
