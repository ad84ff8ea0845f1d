import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer.feed.sequence_window import RowShapes, SequenceWindow, pack_shape, unpack_shape


def rows_of(frames: list[int], causal: list[bool] | None = None) -> RowShapes:
    ones = np.ones(len(frames), np.int64)
    flags = np.array(causal or [True] * len(frames), bool)
    return RowShapes(np.array(frames, np.int64), 2 * ones, 4 * ones, flags)


def listed(cut: SequenceWindow, rows: RowShapes) -> list[tuple[int, int, tuple[int, int, int]]]:
    result = cut.samples(rows)
    shapes = [unpack_shape(shape) for shape in result.shape.tolist()]
    return list(zip(result.row.tolist(), result.first_latent.tolist(), shapes, strict=True))


def test_whole_rows_keep_their_shapes():
    assert listed(SequenceWindow(), rows_of([7, 3])) == [(0, 0, (7, 2, 4)), (1, 0, (3, 2, 4))]


def test_windows_are_consecutive_and_the_remainder_is_dropped():
    assert listed(SequenceWindow(3), rows_of([7, 2, 3])) == [
        (0, 0, (3, 2, 4)), (0, 3, (3, 2, 4)), (2, 0, (3, 2, 4))
    ]  # fmt: skip


def test_windows_may_overlap():
    assert [first for _, first, _ in listed(SequenceWindow(3, stride=2), rows_of([8]))] == [0, 2, 4]


def test_causal_windows_start_rows_that_start_with_one_frame():
    result = listed(SequenceWindow(2, causal_only=True), rows_of([5, 5], [True, False]))
    assert result == [(0, 0, (2, 2, 4))]


@settings(deadline=None)
@given(st.lists(st.integers(1, 20), max_size=9), st.integers(1, 8), st.integers(1, 8))
def test_windows_are_inside_their_rows(frames, latents, stride):
    result = SequenceWindow(latents, stride).samples(rows_of(frames))
    assert (result.first_latent + latents <= np.array(frames, int)[result.row]).all()
    fewer = [len(range(0, n - latents + 1, stride)) for n in frames]
    assert np.bincount(result.row, minlength=len(frames)).tolist() == fewer


@settings(deadline=None)
@given(st.tuples(st.integers(1, 4000), st.integers(1, 4000), st.integers(1, 4000)))
def test_shapes_pack_into_one_number(shape):
    assert unpack_shape(pack_shape(shape)) == shape


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0,), "a window needs at least one latent frame, got 0"),
        ((3, -1), "a stride needs at least one latent frame, got -1"),
        ((None, 2), "a stride needs latent_frames, the length of a window, as well"),
    ],
)
def test_invalid_windows_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        SequenceWindow(*arguments)
