import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenizer.feed.indexes import bucket_of
from tokenizer.feed.order import Order, Shuffle
from tokenizer.feed.sample_index import Bucket, Index, Kept

COUNTS = st.lists(st.integers(0, 9), min_size=1, max_size=80).filter(any)


def all_places(order: Order, samples: int) -> list[tuple[int, int, int]]:
    places = order.locate(np.arange(samples))
    return list(
        zip(places.file.tolist(), places.group.tolist(), places.sample.tolist(), strict=True)
    )


@settings(deadline=None)
@given(COUNTS, st.integers(1, 40), st.integers(1, 30), st.integers(0, 2**64 - 1))
def test_every_sample_has_one_position(counts, lanes, block, key):
    bucket = bucket_of(counts)
    found = all_places(Order(bucket, lanes, block, key), bucket.samples)
    every = [(g // 5, g % 5, s) for g, count in enumerate(counts) for s in range(count)]
    assert sorted(found) == every


@settings(deadline=None)
@given(COUNTS, st.integers(1, 40), st.integers(1, 30), st.data())
def test_a_position_needs_no_other(counts, lanes, block, data):
    """Asked for alone, in any company and by an order that was made anew, it is the same."""
    bucket = bucket_of(counts)
    whole = all_places(Order(bucket, lanes, block, 5), bucket.samples)
    some = data.draw(st.lists(st.integers(0, bucket.samples - 1), min_size=1, max_size=9))
    order = Order(bucket, lanes, block, 5)
    for _ in range(2):
        found = order.locate(np.array(some))
        assert found.file.tolist() == [whole[p][0] for p in some]
        assert found.group.tolist() == [whole[p][1] for p in some]
        assert found.sample.tolist() == [whole[p][2] for p in some]


def test_the_order_is_the_same_for_ever():
    """States that were saved count on it."""
    places = Order(bucket_of([3, 0, 2, 4, 1, 2, 3]), 3, 4, key=11).locate(np.arange(15))
    assert (places.file * 5 + places.group).tolist() == [
        0, 3, 6, 0, 3, 5, 0, 3, 2, 4, 6, 2, 3, 6, 5
    ]  # fmt: skip
    assert places.sample.tolist() == [2, 3, 2, 0, 2, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1]


def test_a_key_makes_an_order():
    bucket = bucket_of([5] * 40)
    orders = {key: all_places(Order(bucket, 8, 5, key), 200) for key in range(3)}
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_neighbours_come_from_far_apart_and_reading_is_local():
    """A run of `lanes` positions meets as many row groups; few are open at a time."""
    bucket = bucket_of([20] * 400)
    places = Order(bucket, lanes=16, block=20, key=3).locate(np.arange(bucket.samples))
    group = places.file * 5 + places.group
    runs = [len(set(group[at : at + 16].tolist())) for at in range(0, 8000, 16)]
    assert min(runs) >= 15
    first = {g: at for at, g in reversed(list(enumerate(group.tolist())))}
    last = {g: at for at, g in enumerate(group.tolist())}
    open_at = [sum(first[g] <= at <= last[g] for g in first) for at in range(0, 8000, 100)]
    assert max(open_at) <= 3 * 16
    starts = np.sort(list(first.values()))
    assert np.diff(starts).max() < 16 * 20 / 2


@pytest.mark.parametrize("lanes", [1, 2, 16])
def test_lanes_share_the_row_groups_out(lanes):
    """What one lane reads no other does, but for the row groups at their borders."""
    bucket = bucket_of([20] * 400)
    positions = np.arange(bucket.samples)
    places = Order(bucket, lanes, 20, key=3).locate(positions)
    pairs = np.unique([places.file * 5 + places.group, positions % lanes], axis=1)
    assert pairs.shape[1] <= 400 + lanes - 1


def test_shapes_get_lanes_by_their_samples():
    shuffle = Shuffle(lanes=32)
    assert shuffle.of(bucket_of([10] * 9), 100) == (29, 10)
    assert shuffle.of(bucket_of([0, 3, 0, 4]), 100) == (2, 4)
    assert shuffle.of(bucket_of([1]), 100) == (1, 1)
    assert Shuffle(8, block=3).of(bucket_of([10]), 10) == (8, 3)
    with pytest.raises(ValueError, match="lanes 0 and block None must be at least 1"):
        Shuffle(0)


def hundred_million() -> Index:
    """One sample to ten of 100 million rows left out by a filter, seven rows to a row group."""
    groups, per_file = 14_300_000, 143
    first = np.arange(0, groups + 1, per_file, dtype=np.uint32)
    counts = np.full(groups, 7, np.uint8)
    counts[::14] = 6
    bucket = Bucket(
        (7, 32, 57), np.arange(len(first) - 1, dtype=np.uint32), first, counts, int(counts.sum())
    )
    names = pa.array([f"{at:032x}.parquet" for at in range(len(first) - 1)])
    rows = 7 * groups
    bits = np.full(-(-rows // 8), 255, np.uint8)
    kept = Kept(np.arange(len(first) - 1) * per_file * 7 // 8, bits)
    return Index(names, np.ones(len(first) - 1, np.int64), (bucket,), kept, rows, 0, 0)


def test_a_hundred_million_samples_fit_into_64_mb():
    tracemalloc.start()
    index = hundred_million()
    bucket = index.buckets[0]
    assert bucket.samples > 99_000_000
    order = Order(bucket, *Shuffle().of(bucket, bucket.samples), key=1)
    at = np.array([0, 50_000_000, bucket.samples - 1])
    places = order.locate(at[:, None].ravel())
    near = order.locate(np.arange(70_000_000, 70_010_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak + index.paths.nbytes <= 64 << 20
    assert (places.sample < 7).all()
    assert np.unique([near.file, near.group, near.sample], axis=1).shape[1] == 10_000
