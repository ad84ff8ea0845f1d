import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer.feed.order import Permutation, derive_key, mix64, shuffle_runs


@settings(deadline=None)
@given(n=st.integers(1, 3000), key=st.integers(0, 2**64 - 1))
def test_every_number_is_met_once(n, key):
    found = Permutation(n, key)(np.arange(n))
    assert np.array_equal(np.sort(found), np.arange(n))


@settings(deadline=None)
@given(n=st.integers(1, 2**40), number=st.integers(0, 2**40), key=st.integers(0, 2**64 - 1))
def test_large_domains_are_kept(n, number, key):
    numbers = np.array([number % n, 0, n - 1])
    found = Permutation(n, key)(numbers)
    assert ((found >= 0) & (found < n)).all()
    assert len(set(found.tolist())) == len(set(numbers.tolist()))


def test_an_order_is_the_same_for_ever():
    """A saved state goes on in the order that it was saved in, whatever the version."""
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


@pytest.mark.parametrize("n", [2, 5, 21])
def test_all_places_are_equally_likely(n):
    """Chi square over 1,000 keys, with room for one in a million."""
    keys = 1000
    seen = np.zeros((n, n))
    for key in range(keys):
        seen[np.arange(n), Permutation(n, derive_key(n, key))(np.arange(n))] += 1
    chi = ((seen - keys / n) ** 2 / (keys / n)).sum()
    free = (n - 1) ** 2
    assert chi < free + 5 * np.sqrt(2 * free) + 24


def test_neighbours_part():
    """In a random permutation two neighbours stay neighbours about twice in all."""
    n = 1 << 16
    found = Permutation(n, 3)(np.arange(n))
    assert (np.abs(np.diff(found)) == 1).sum() < 12
    assert abs(np.corrcoef(np.arange(n), found)[0, 1]) < 0.02


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(0, 2**64 - 1))
def test_runs_are_shuffled_in_themselves(lengths, key):
    runs = np.repeat(np.arange(len(lengths)), lengths)
    numbers = np.arange(len(runs)) + 1000
    found = shuffle_runs(numbers, runs, key)
    for run in range(len(lengths)):
        assert sorted(found[runs == run]) == numbers[runs == run].tolist()
