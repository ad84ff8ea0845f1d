import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer.feed.distributed import Consumer, local_draws
from tokenizer.feed.steps import draw


def parts_of(positions, streams, world, padding=0):
    drawn = draw(np.array(positions), padding=padding)
    return [local_draws([drawn], [streams], Consumer(rank, world))[0] for rank in range(world)]


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 200), st.integers(1, 64), st.integers(1, 20))
def test_consumers_get_equal_parts_of_everything(start, length, streams, world):
    parts = parts_of(range(start, start + length), streams, world)
    assert sorted(p for part in parts for p in part.positions) == [*range(start, start + length)]
    lengths = [len(part.positions) for part in parts]
    assert max(lengths) - min(lengths) <= 1
    assert all((np.diff(part.positions) > 0).all() for part in parts)


@pytest.mark.parametrize(("batch", "world"), [(64, 4), (32, 8), (128, 2), (16, 4)])
def test_a_consumer_reads_its_own_streams(batch, world):
    """With 32 streams, divided by the consumers: each stream belongs to one of them."""
    owners = [set() for _ in range(32)]
    for start in range(0, 1024, batch):
        for rank, part in enumerate(parts_of(range(start, start + batch), 32, world)):
            for position in part.positions:
                owners[position % 32].add(rank)
    assert all(len(ranks) == 1 for ranks in owners)


def test_odd_numbers_of_consumers_mostly_read_their_own_streams():
    owners = [set() for _ in range(32)]
    for start in range(0, 960, 96):
        for rank, part in enumerate(parts_of(range(start, start + 96), 32, 3)):
            for position in part.positions:
                owners[position % 32].add(rank)
    assert max(len(ranks) for ranks in owners) == 2
    assert sum(len(ranks) for ranks in owners) <= 32 + 2


def test_padding_stays_with_its_positions():
    parts = parts_of([8, 9, 0, 1], 4, 2, padding=2)
    padding_of = dict(
        pair for p in parts for pair in zip(p.positions.tolist(), p.padding.tolist(), strict=True)
    )
    assert padding_of == {8: False, 9: False, 0: True, 1: True}


def test_tables_of_a_mixture_are_divided_alike():
    draws = [draw(np.arange(32), source=0), draw(np.arange(16), source=1)]
    for rank in range(4):
        part = local_draws(draws, [32, 16], Consumer(rank, 4))
        assert [len(d.positions) for d in part] == [8, 4]
        assert [d.source for d in part] == [0, 1]


def test_more_consumers_than_samples_leave_some_empty():
    parts = parts_of([5, 6], 8, 5)
    assert sorted(len(part.positions) for part in parts) == [0, 0, 0, 1, 1]


def test_a_rank_outside_the_world_is_refused():
    with pytest.raises(ValueError, match="rank 4 is not one of 0 … 3"):
        Consumer(4, 4)


def test_rank_and_world_size_come_from_torchrun(monkeypatch):
    assert Consumer.from_environment() == Consumer(0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert Consumer.from_environment() == Consumer(2, 3)
