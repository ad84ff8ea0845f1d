import numpy as np

from curation.dedup.alignment import shown
from curation.dedup.signature import (
    COARSE,
    FINE,
    SignatureWatcher,
    at_rate,
    packed_rows,
    picture_basis,
    unpacked_rows,
)
from curation.scores.look import Look


def look(gray: np.ndarray) -> Look:
    return Look.at(np.repeat(gray.astype(np.uint8)[:, :, None], 3, axis=2))


def noise(seed: int, size=(90, 160)) -> np.ndarray:
    coarse = np.random.default_rng(seed).uniform(40, 220, (size[0] // 10, size[1] // 10))
    return np.kron(coarse, np.ones((10, 10)))


def signature(pictures, times_s=None):
    watcher = SignatureWatcher()
    for picture in pictures:
        watcher.see(look(picture))
    times = np.arange(len(pictures)) / 4 if times_s is None else np.array(times_s)
    return watcher.signature("c", "s", slice(0, None), times)


def test_a_signature_has_a_row_for_each_quarter_of_a_second():
    made = signature([noise(n) for n in range(6)])
    assert (made.clip_id, made.source_id, made.frames, made.framings) == ("c", "s", 6, 1)
    assert len(made.coarse) == 6 * COARSE
    assert len(made.fine) == FINE
    (framing,) = shown(made).framings
    assert framing.coarse.shape == (6, COARSE)
    assert abs(np.linalg.norm(framing.fine) - 1) < 1e-9


def test_looks_at_other_times_are_brought_to_the_rate():
    values = np.array([[0.0], [1.0], [2.0]])
    assert at_rate(values, np.array([1.0, 1.5, 2.0])).ravel().tolist() == [0, 0.5, 1, 1.5, 2]
    assert at_rate(values[:1], np.array([7.0])).tolist() == [[0.0]]
    assert signature([noise(1), noise(2)], [0.0, 1.0]).frames == 5


def test_a_clip_that_shows_nothing_has_no_framing():
    flat = np.full((90, 160), 128)
    grain = flat + np.random.default_rng(0).normal(0, 2, flat.shape)
    assert signature([flat, flat]).framings == 0
    assert signature([grain, grain]).framings == 0
    assert signature([]).framings == 0
    assert signature([flat, noise(1)]).framings == 1


def test_a_picture_with_bars_is_kept_in_both_framings():
    barred = np.pad(noise(3), ((20, 20), (0, 0)))
    made = shown(signature([barred] * 4))
    plain = shown(signature([noise(3)] * 4))
    assert made.bars.round(2).tolist() == [0.15, 0.15, 0, 0]
    inside = made.framings[1]
    assert float(inside.fine @ plain.framings[0].fine) > 0.97
    assert float(made.framings[0].fine @ plain.framings[0].fine) < 0.7
    assert len(plain.framings) == 1


def test_how_much_stands_still_is_told():
    still = shown(signature([noise(1)] * 4)).framings[0].still
    moving = shown(signature([noise(n) for n in range(8)])).framings[0].still
    assert still > 0.99
    assert moving < 0.3


def test_packed_rows_come_back_nearly():
    sizes = np.array([[1, 50, 400, 3e3, 8e3]]).T
    values = np.random.default_rng(0).normal(size=(5, COARSE)) * sizes
    found = unpacked_rows(*packed_rows(values))
    assert (np.abs(found - values).max(axis=1) <= np.abs(values).max(axis=1) / 127).all()
    assert unpacked_rows(*packed_rows(np.zeros((1, 3)))).tolist() == [[0, 0, 0]]


def test_pictures_of_coefficients_keep_lengths_and_products():
    for fine, count, pixels in ((False, COARSE, 256), (True, FINE, 1024)):
        basis = picture_basis(fine)
        assert basis.shape == (count, pixels)
        assert np.abs(basis @ basis.T - np.eye(count)).max() < 1e-9
