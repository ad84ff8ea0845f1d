import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenizer.feed.indexes import bucket_of
from tokenizer.feed.order import Order, Permutation, Shuffle, derive_key, mix64, shuffle_runs
from tokenizer.feed.sample_index import Bucket, RowMask, SampleIndex

COUNTS = st.lists(st.integers(0, 9), min_size=1, max_size=80).filter(any)


def all_locations(order: Order, samples: int) -> list[tuple[int, int, int]]:
    locations = order.locate(np.arange(samples))
    return list(
        zip(
            locations.file.tolist(),
            locations.group.tolist(),
            locations.sample.tolist(),
            strict=True,
        )
    )


@settings(deadline=None)
@given(COUNTS, st.integers(1, 40), st.integers(1, 30), st.integers(0, 2**64 - 1))
def test_every_sample_has_one_position(counts, streams, block_size, key):
    bucket = bucket_of(counts)
    result = all_locations(Order(bucket, streams, block_size, key), bucket.samples)
    every = [(g // 5, g % 5, s) for g, count in enumerate(counts) for s in range(count)]
    assert sorted(result) == every


@pytest.mark.slow
@settings(deadline=None)
@given(COUNTS, st.integers(1, 40), st.integers(1, 30), st.data())
def test_a_position_is_independent_of_others(counts, streams, block_size, data):
    """Located alone, with any others and by a new order, it is the same."""
    bucket = bucket_of(counts)
    whole = all_locations(Order(bucket, streams, block_size, 5), bucket.samples)
    some = data.draw(st.lists(st.integers(0, bucket.samples - 1), min_size=1, max_size=9))
    order = Order(bucket, streams, block_size, 5)
    for _ in range(2):
        result = order.locate(np.array(some))
        assert result.file.tolist() == [whole[p][0] for p in some]
        assert result.group.tolist() == [whole[p][1] for p in some]
        assert result.sample.tolist() == [whole[p][2] for p in some]


def test_the_order_never_changes():
    """Saved states depend on it."""
    locations = Order(bucket_of([3, 0, 2, 4, 1, 2, 3]), 3, 4, key=11).locate(np.arange(15))
    assert (locations.file * 5 + locations.group).tolist() == [
        0, 3, 6, 0, 3, 5, 0, 3, 2, 4, 6, 2, 3, 6, 5
    ]  # fmt: skip
    assert locations.sample.tolist() == [2, 3, 2, 0, 2, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1]


def test_a_key_determines_the_order():
    bucket = bucket_of([5] * 40)
    orders = {key: all_locations(Order(bucket, 8, 5, key), 200) for key in range(3)}
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_neighbours_are_far_apart_and_reads_are_local():
    """A run of `streams` positions meets as many row groups; few are open at a time."""
    bucket = bucket_of([20] * 400)
    locations = Order(bucket, streams=16, block_size=20, key=3).locate(np.arange(bucket.samples))
    group = locations.file * 5 + locations.group
    runs = [len(set(group[at : at + 16].tolist())) for at in range(0, 8000, 16)]
    assert min(runs) >= 15
    first = {g: at for at, g in reversed(list(enumerate(group.tolist())))}
    last = {g: at for at, g in enumerate(group.tolist())}
    open_at = [sum(first[g] <= at <= last[g] for g in first) for at in range(0, 8000, 100)]
    assert max(open_at) <= 3 * 16
    starts = np.sort(list(first.values()))
    assert np.diff(starts).max() < 16 * 20 / 2


@pytest.mark.parametrize("streams", [1, 2, 16])
def test_streams_divide_the_row_groups(streams):
    """What one stream reads no other does, but for the row groups at their borders."""
    bucket = bucket_of([20] * 400)
    positions = np.arange(bucket.samples)
    locations = Order(bucket, streams, 20, key=3).locate(positions)
    pairs = np.unique([locations.file * 5 + locations.group, positions % streams], axis=1)
    assert pairs.shape[1] <= 400 + streams - 1


def test_shapes_get_streams_by_their_samples():
    shuffle = Shuffle(streams=32)
    assert shuffle.for_bucket(bucket_of([10] * 9), 100) == (29, 10)
    assert shuffle.for_bucket(bucket_of([0, 3, 0, 4]), 100) == (2, 4)
    assert shuffle.for_bucket(bucket_of([1]), 100) == (1, 1)
    assert Shuffle(8, block_size=3).for_bucket(bucket_of([10]), 10) == (8, 3)
    with pytest.raises(ValueError, match="streams 0 and block_size None must be at least 1"):
        Shuffle(0)


def hundred_million() -> SampleIndex:
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
    kept = RowMask(np.arange(len(first) - 1) * per_file * 7 // 8, bits)
    return SampleIndex(names, np.ones(len(first) - 1, np.int64), (bucket,), kept, rows, 0, 0)


@pytest.mark.slow
def test_a_hundred_million_samples_fit_into_64_mb():
    tracemalloc.start()
    index = hundred_million()
    bucket = index.buckets[0]
    assert bucket.samples > 99_000_000
    order = Order(bucket, *Shuffle().for_bucket(bucket, bucket.samples), key=1)
    at = np.array([0, 50_000_000, bucket.samples - 1])
    locations = order.locate(at[:, None].ravel())
    near = order.locate(np.arange(70_000_000, 70_010_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak + index.paths.nbytes <= 64 << 20
    assert (locations.sample < 7).all()
    assert np.unique([near.file, near.group, near.sample], axis=1).shape[1] == 10_000


@settings(deadline=None)
@given(n=st.integers(1, 3000), key=st.integers(0, 2**64 - 1))
def test_a_permutation_has_every_number_once(n, key):
    result = Permutation(n, key)(np.arange(n))
    assert np.array_equal(np.sort(result), np.arange(n))


@settings(deadline=None)
@given(n=st.integers(1, 2**40), number=st.integers(0, 2**40), key=st.integers(0, 2**64 - 1))
def test_large_domains_are_permuted(n, number, key):
    numbers = np.array([number % n, 0, n - 1])
    result = Permutation(n, key)(numbers)
    assert ((result >= 0) & (result < n)).all()
    assert len(set(result.tolist())) == len(set(numbers.tolist()))


def test_permutations_never_change():
    """A saved state resumes in the order that it was saved in, whatever the version."""
    assert derive_key("row groups", 7) == 11978384683227035109
    assert mix64(np.array([0, 1, 2**63], np.uint64)).tolist() == [
        0, 6238072747940578789, 2720858781877447050
    ]  # fmt: skip
    assert Permutation(10, 7)(np.arange(10)).tolist() == [4, 9, 3, 0, 2, 7, 1, 8, 5, 6]
    assert Permutation(1_000_003, 7)(np.array([0, 1, 2])).tolist() == [570552, 236725, 927459]
    assert shuffle_runs(np.arange(6), np.array([0, 0, 0, 0, 1, 1]), 7).tolist() == [
        0,
        2,
        3,
        1,
        5,
        4,
    ]


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 5, 21])
def test_all_positions_are_equally_likely(n):
    """Chi square over 1,000 keys, with room for one in a million."""
    keys = 1000
    seen = np.zeros((n, n))
    for key in range(keys):
        seen[np.arange(n), Permutation(n, derive_key(n, key))(np.arange(n))] += 1
    chi = ((seen - keys / n) ** 2 / (keys / n)).sum()
    free = (n - 1) ** 2
    assert chi < free + 5 * np.sqrt(2 * free) + 24


def test_a_permutation_separates_neighbours():
    """In a random permutation two neighbours stay neighbours about twice in all."""
    n = 1 << 16
    result = Permutation(n, 3)(np.arange(n))
    assert (np.abs(np.diff(result)) == 1).sum() < 12
    assert abs(np.corrcoef(np.arange(n), result)[0, 1]) < 0.02


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(0, 2**64 - 1))
def test_runs_are_shuffled_within_themselves(lengths, key):
    runs = np.repeat(np.arange(len(lengths)), lengths)
    numbers = np.arange(len(runs)) + 1000
    result = shuffle_runs(numbers, runs, key)
    for run in range(len(lengths)):
        assert sorted(result[runs == run]) == numbers[runs == run].tolist()
