import numpy as np
import pyarrow as pa

from tokenizer.feed.buffer_pool import Slots, Spare


def test_places_are_filled_in_any_order():
    slots = Slots(4, Spare())
    slots.put("codes", np.array([3, 0]), np.array([[1, 2], [3, 4]], np.uint16))
    slots.put("codes", np.array([1, 2]), np.array([[5, 6], [7, 8]], np.uint16))
    slots.put("text", np.array([2]), pa.array(["c"], pa.large_string()))
    slots.put("text", np.array([1, 0]), pa.array(["b", "a"], pa.large_string()))
    columns = slots.columns()
    assert columns["codes"].tolist() == [[3, 4], [5, 6], [7, 8], [1, 2]]
    assert columns["text"].to_pylist() == ["a", "b", "c", None]


def test_a_wider_kind_of_number_is_taken_in():
    slots = Slots(2, Spare())
    slots.put("width", np.array([0]), np.array([640]))
    slots.put("width", np.array([1]), np.array([np.nan]))
    assert np.array_equal(slots.columns()["width"], [640, np.nan], equal_nan=True)


def test_declared_columns_are_there_without_a_sample():
    slots = Slots(0, Spare())
    slots.declare("codes", (3, 2), np.dtype("<u2"))
    slots.declare_text("caption")
    columns = slots.columns()
    assert columns["codes"].shape == (0, 3, 2)
    assert columns["caption"].to_pylist() == []


def test_large_arrays_are_used_again_where_they_fit():
    spare = Spare()
    first = spare.take((1000, 1000), np.dtype(np.uint16))
    at = first.__array_interface__["data"][0]
    spare.give([first])
    small = spare.take((10,), np.dtype(np.uint16))
    again = spare.take((600_000,), np.dtype(np.float16))
    assert again.__array_interface__["data"][0] == at != small.__array_interface__["data"][0]
    assert again.shape == (600_000,)
    spare.give([small])
    assert spare.take((10,), np.dtype(np.uint16)) is not small
