"""Work behind its caller: in order, bounded, and its errors are raised."""

import threading
import time

import pytest

from curation.scan.in_order import _MAX_BEHIND, InOrder


def test_values_are_worked_on_in_order_in_one_other_thread():
    seen = []
    work = InOrder(lambda value: seen.append((value, threading.get_ident())))
    for value in range(100):
        work.put(value)
    work.finish()
    work.close()
    assert [value for value, _ in seen] == list(range(100))
    assert {thread for _, thread in seen} != {threading.get_ident()}
    assert len({thread for _, thread in seen}) == 1


def test_a_caller_waits_while_too_many_values_do():
    begun, go = [], threading.Event()

    def work(value):
        begun.append(value)
        go.wait()

    behind, last = InOrder(work), []
    caller = threading.Thread(
        target=lambda: [(behind.put(value), last.append(value)) for value in range(100)]
    )
    caller.start()
    end = time.monotonic() + 30
    while len(last) < _MAX_BEHIND:
        assert time.monotonic() < end
        time.sleep(0.01)
    caller.join(0.1)
    assert caller.is_alive()
    assert len(last) == _MAX_BEHIND
    go.set()
    caller.join()
    behind.finish()
    behind.close()
    assert begun == list(range(100))


def test_what_the_work_raises_reaches_the_caller():
    def work(value):
        if value == 3:
            raise ValueError("three")

    behind = InOrder(work)

    def put_all():
        for value in range(1000):
            behind.put(value)
        behind.finish()

    with pytest.raises(ValueError, match="three"):
        put_all()
    behind.close()
