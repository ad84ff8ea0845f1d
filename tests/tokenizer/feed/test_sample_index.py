import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenizer.feed.indexes import bucket_of, index_of
from tokenizer.feed.sample_index import PrefixSums, RowMask

COUNTS = st.lists(st.integers(0, 9), min_size=1, max_size=300).filter(any)


@settings(deadline=None)
@given(COUNTS)
def test_a_total_falls_into_the_number_that_reaches_it(counts):
    sums = PrefixSums(len(counts), np.array(counts, np.uint8).__getitem__)
    assert sums.total == sum(counts)
    result, into = sums.find(np.arange(sums.total))
    assert result.tolist() == [at for at, count in enumerate(counts) for _ in range(count)]
    assert into.tolist() == [place for count in counts for place in range(count)]


def test_totals_are_found_in_any_order():
    sums = PrefixSums(200, np.ones(200, np.uint8).__getitem__)
    result, into = sums.find(np.array([150, 3, 199, 3]))
    assert result.tolist() == [150, 3, 199, 3]
    assert into.tolist() == [0, 0, 0, 0]


def test_sums_do_not_overflow():
    sums = PrefixSums(100_000, np.full(100_000, 255, np.uint8).__getitem__)
    assert sums.total == 25_500_000
    assert [int(x[0]) for x in sums.find(np.array([25_499_999]))] == [99_999, 254]


def test_a_row_group_has_a_file_and_a_number():
    bucket = dataclasses.replace(
        bucket_of([1] * 12, per_file=5), files=np.array([2, 4, 9], np.uint32)
    )
    file, group = bucket.row_group(np.array([0, 4, 5, 11]))
    assert file.tolist() == [2, 2, 4, 9]
    assert group.tolist() == [0, 4, 0, 1]


@pytest.mark.parametrize(("start", "stop"), [(0, 3), (2, 9), (8, 10), (9, 10), (4, 4)])
def test_masked_rows_are_found_by_file(start, stop):
    kept = np.array([1, 0, 0, 1, 1, 1, 0, 1, 0, 1], bool)
    bits = np.concatenate([np.packbits(np.ones(11, bool)), np.packbits(kept)])
    result = RowMask(np.array([0, 2]), bits).rows(1, start, stop)
    assert result.tolist() == kept[start:stop].tolist()


def test_digests_of_different_indexes_differ():
    index = index_of(bucket_of([1, 2, 3]))
    assert index.digest() == index_of(bucket_of([1, 2, 3])).digest()
    others = [
        index_of(bucket_of([1, 3, 2])),
        index_of(bucket_of([1, 2, 3], shape=(4, 2, 4))),
        dataclasses.replace(index, sizes=index.sizes + 1),
        dataclasses.replace(index, row_mask=RowMask(np.zeros(1, np.int64), np.zeros(1, np.uint8))),
    ]
    assert len({index.digest(), *(other.digest() for other in others)}) == 5


def test_memory_is_counted():
    index = index_of(bucket_of([7] * 1000, per_file=10))
    assert 1000 + 100 * 8 + 101 * 4 + 100 * 4 <= index.nbytes <= 8_000
