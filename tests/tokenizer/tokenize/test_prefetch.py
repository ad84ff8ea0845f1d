import threading
import time

import pytest

from tokenizer.tokenize.prefetch import prefetch


def counting(log, name, things, error=None):
    """A source that logs each thing as it is made."""

    def source():
        try:
            for thing in range(things):
                log.append((name, thing))
                yield name, thing
            if error is not None:
                raise error
        finally:
            log.append((name, "closed"))

    return source


@pytest.mark.parametrize("threads", [1, 3, 20])
@pytest.mark.parametrize("depth", [1, 4])
def test_items_come_source_by_source_in_order(threads, depth):
    sources = [counting([], name, things) for name, things in enumerate((3, 0, 5, 1, 2))]
    found = [list(things) for things in prefetch(sources, threads, depth)]
    assert found == [[(n, i) for i in range(k)] for n, k in enumerate((3, 0, 5, 1, 2))]


def test_an_error_is_raised_in_its_source_and_the_others_go_on():
    sources = [counting([], "a", 2, KeyError("a")), counting([], "b", 1), counting([], "c", 0)]
    found, errors = [], []
    for things in prefetch(sources, 2):
        try:
            found += things
        except KeyError as error:
            errors.append(str(error))
    assert found == [("a", 0), ("a", 1), ("b", 0)]
    assert errors == ["'a'"]


def settled(log) -> list:
    """The log when nobody has written to it for a while."""
    seen = -1
    while seen != len(log):
        seen = len(log)
        time.sleep(0.1)
    return list(log)


def test_reading_ahead_is_bounded():
    log = []
    sources = [counting(log, name, 50) for name in range(10)]
    reading = prefetch(sources, threads=2, depth=3)
    first = next(reading)
    assert next(first) == (0, 0)
    made = settled(log)
    assert {name for name, _ in made} == {0, 1}, "one thread a source"
    assert len(made) == 2 * (3 + 1) + 1, "three wait and one is in hand, and one was taken"
    reading.close()


def test_leaving_early_ends_the_reading():
    log = []
    sources = [counting(log, name, 1000) for name in range(6)]
    threads = threading.active_count()
    reading = prefetch(sources, threads=2)
    next(next(reading))
    reading.close()
    assert threading.active_count() == threads
    begun = {name for name, _ in log}
    assert begun <= {0, 1, 2}
    assert all((name, "closed") in log for name in begun)
    assert len(log) < 20


def test_a_source_may_be_abandoned_for_the_next():
    log = []
    sources = [counting(log, name, 1000) for name in range(3)]
    assert [next(things) for things in prefetch(sources, threads=1)] == [(0, 0), (1, 0), (2, 0)]
    assert [(name, "closed") in log for name in range(3)] == [True] * 3
