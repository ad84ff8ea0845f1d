import numpy as np
import pyarrow as pa

from tokenizer.feed.batches import BufferPool, ColumnBuilder


def test_slots_are_written_in_any_order():
    builder = ColumnBuilder(4, BufferPool())
    builder.write("codes", np.array([3, 0]), np.array([[1, 2], [3, 4]], np.uint16))
    builder.write("codes", np.array([1, 2]), np.array([[5, 6], [7, 8]], np.uint16))
    builder.write("text", np.array([2]), pa.array(["c"], pa.large_string()))
    builder.write("text", np.array([1, 0]), pa.array(["b", "a"], pa.large_string()))
    columns = builder.columns()
    assert columns["codes"].tolist() == [[3, 4], [5, 6], [7, 8], [1, 2]]
    assert columns["text"].to_pylist() == ["a", "b", "c", None]


def test_a_column_widens_to_the_type_of_its_values():
    builder = ColumnBuilder(2, BufferPool())
    builder.write("width", np.array([0]), np.array([640]))
    builder.write("width", np.array([1]), np.array([np.nan]))
    assert np.array_equal(builder.columns()["width"], [640, np.nan], equal_nan=True)


def test_declared_columns_exist_without_a_sample():
    builder = ColumnBuilder(0, BufferPool())
    builder.declare("codes", (3, 2), np.dtype("<u2"))
    builder.declare_text("caption")
    columns = builder.columns()
    assert columns["codes"].shape == (0, 3, 2)
    assert columns["caption"].to_pylist() == []


def test_large_arrays_are_reused_if_they_fit():
    pool = BufferPool()
    first = pool.acquire((1000, 1000), np.dtype(np.uint16))
    address = first.__array_interface__["data"][0]
    pool.release([first])
    small = pool.acquire((10,), np.dtype(np.uint16))
    reused = pool.acquire((600_000,), np.dtype(np.float16))
    assert reused.__array_interface__["data"][0] == address != small.__array_interface__["data"][0]
    assert reused.shape == (600_000,)
    pool.release([small])
    assert pool.acquire((10,), np.dtype(np.uint16)) is not small
