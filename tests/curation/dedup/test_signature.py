import numpy as np

from curation import records
from curation.dedup.letterbox_variants import Framings
from curation.embed.signature import (
    COARSE,
    FINE,
    SignatureWatcher,
    at_rate,
    packed_rows,
    pictures,
)
from curation.records import Signature
from curation.scores.frame import AnalysisFrame


def look(gray: np.ndarray) -> AnalysisFrame:
    return AnalysisFrame.at(np.repeat(gray.astype(np.uint8)[:, :, None], 3, axis=2))


def noise(seed: int, size=(90, 160)) -> np.ndarray:
    coarse = np.random.default_rng(seed).uniform(40, 220, (size[0] // 10, size[1] // 10))
    return np.kron(coarse, np.ones((10, 10)))


def signature(shown, times_s=None):
    watcher = SignatureWatcher()
    for picture in shown:
        watcher.see(look(picture))
    times = np.arange(len(shown)) / 4 if times_s is None else np.array(times_s)
    return watcher.signature("c", "s", slice(0, None), times)


def framings(*made: Signature) -> Framings:
    return Framings.of(records.table(Signature, made))


def test_a_signature_has_a_row_for_each_quarter_of_a_second():
    made = signature([noise(n) for n in range(6)])
    assert (made.clip_id, made.source_id, made.frames, made.framings) == ("c", "s", 6, 1)
    assert len(made.coarse) == 6 * COARSE
    assert len(made.fine) == FINE
    found = framings(made)
    assert found.coarse(np.array([0])).shape == (1, 6, COARSE)
    assert abs(np.linalg.norm(found.pictures(np.array([0]))) - 1) < 1e-9


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
    found = framings(signature([barred] * 4), signature([noise(3)] * 4))
    assert found.bars.round(2).tolist() == [[0.15, 0.15, 0, 0], [0, 0, 0, 0]]
    assert found.owners().tolist() == [0, 0, 1]
    barred_picture, inside, plain = found.pictures(np.arange(3))
    assert inside @ plain > 0.97
    assert barred_picture @ plain < 0.7


def test_how_much_stands_still_is_told():
    clips = signature([noise(1)] * 4), signature([noise(n) for n in range(8)])
    still, moving = framings(*clips).still
    assert still > 0.99
    assert moving < 0.3


def test_packed_rows_come_back_nearly():
    sizes = np.array([[1, 50, 400, 3e3, 8e3]]).T
    values = np.random.default_rng(0).normal(size=(5, COARSE)) * sizes
    scales, multiples = packed_rows(values)
    found = np.frombuffer(multiples, np.int8).reshape(5, -1) * np.frombuffer(scales, "<f2")[:, None]
    assert (np.abs(found - values).max(axis=1) <= np.abs(values).max(axis=1) / 127).all()
    assert packed_rows(np.zeros((1, 3)))[1] == bytes(3)


def test_clips_of_several_lengths_are_unpacked_each_on_its_own():
    lengths = (3, 5, 4)
    clips = [signature([noise(n) for n in range(count)]) for count in lengths]
    together = framings(*clips)
    assert together.frames.tolist() == list(lengths)
    for at, made in enumerate(clips):
        alone = framings(made)
        zero, here = np.array([0]), np.array([at])
        assert (together.coarse(here) == alone.coarse(zero)).all()
        assert (together.looks()[at] == alone.looks()[0]).all()


def test_looks_are_the_same_in_parts(monkeypatch):
    clips = [signature([noise(n) for n in range(count)]) for count in (3, 5, 4, 1, 9, 2)]
    together = framings(*clips)
    whole = together.looks()
    for frames in (1, 4, 7):
        monkeypatch.setattr("curation.dedup.letterbox_variants._BLOCK", frames)
        assert (together.looks() == whole).all()


def test_pictures_of_coefficients_keep_lengths_and_products():
    for count, pixels in ((COARSE, 256), (FINE, 1024)):
        basis = pictures(np.eye(count))
        assert basis.shape == (count, pixels)
        assert np.abs(basis @ basis.T - np.eye(count)).max() < 1e-9
