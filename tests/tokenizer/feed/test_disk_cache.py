import os
import pickle
import threading

from tokenizer.feed.disk_cache import DiskCache


def size_bytes(folder) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_cached_bytes_are_returned(tmp_path):
    cache = DiskCache(tmp_path / "c", 1 << 20)
    assert cache.get("shard 0 100") is None
    cache.put("shard 0 100", b"x" * 100)
    assert cache.get("shard 0 100").to_pybytes() == b"x" * 100
    assert cache.get("shard 0 101") is None
    assert DiskCache(tmp_path / "c", 1 << 20).get("shard 0 100").size == 100


def test_the_least_recently_read_files_are_evicted(tmp_path):
    cache = DiskCache(tmp_path, 16_000)
    for at in range(100):
        cache.put(f"range {at}", b"x" * 1000)
        os.utime(cache._path(f"range {at}"), ns=(at, at))
        if at >= 5:
            assert cache.get("range 5") is not None
        assert size_bytes(tmp_path) <= 17_000
    assert cache.get("range 4") is None
    assert cache.get("range 99") is not None


def test_a_view_outlives_its_file(tmp_path):
    cache = DiskCache(tmp_path, 2_000)
    cache.put("first", b"a" * 1000)
    view = cache.get("first")
    for at in range(5):
        cache.put(f"other {at}", b"b" * 1000)
    assert cache.get("first") is None
    assert view.to_pybytes() == b"a" * 1000


def test_a_failing_disk_is_ignored(tmp_path):
    (tmp_path / "file").write_text("")
    cache = DiskCache(tmp_path / "file", 1000)
    cache.put("a", b"x")
    assert cache.get("a") is None


def test_threads_may_write_concurrently(tmp_path):
    def work(worker: int) -> None:
        cache = DiskCache(tmp_path, 50_000)
        for at in range(60):
            cache.put(f"range {at}", bytes([at]) * 1000)
            result = cache.get(f"range {(at * worker) % 60}")
            assert result is None or set(result.to_pybytes()) == {(at * worker) % 60}

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert size_bytes(tmp_path) <= 50_000 + 4 * 50_000 // 16
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_a_cache_can_be_pickled(tmp_path):
    cache = DiskCache(tmp_path, 1000)
    cache.put("a", b"x")
    assert pickle.loads(pickle.dumps(cache)).get("a").to_pybytes() == b"x"
