import numpy as np

from curation import records
from curation.dedup.letterbox_variants import LetterboxVariants
from curation.embed.signature import (
    NUM_COARSE,
    NUM_FINE,
    SignatureCollector,
    inverse_dct,
    quantize_rows,
    resample,
)
from curation.records import Signature
from curation.scores.base import AnalysisFrame


def look(gray: np.ndarray) -> AnalysisFrame:
    return AnalysisFrame.from_rgb(np.repeat(gray.astype(np.uint8)[:, :, None], 3, axis=2))


def noise(seed: int, size=(90, 160)) -> np.ndarray:
    coarse = np.random.default_rng(seed).uniform(40, 220, (size[0] // 10, size[1] // 10))
    return np.kron(coarse, np.ones((10, 10)))


def signature(shown, times_s=None):
    watcher = SignatureCollector()
    for picture in shown:
        watcher.add(look(picture))
    times = np.arange(len(shown)) / 4 if times_s is None else np.array(times_s)
    return watcher.signature("c", "s", slice(0, None), times)


def variants_of(*signatures: Signature) -> LetterboxVariants:
    return LetterboxVariants.of(records.to_table(Signature, signatures))


def test_a_signature_has_a_row_for_each_quarter_of_a_second():
    row = signature([noise(n) for n in range(6)])
    assert (row.clip_id, row.source_id, row.frames, row.framings) == ("c", "s", 6, 1)
    assert len(row.coarse) == 6 * NUM_COARSE
    assert len(row.fine) == NUM_FINE
    variants = variants_of(row)
    assert variants.coarse(np.array([0])).shape == (1, 6, NUM_COARSE)
    assert abs(np.linalg.norm(variants.pictures(np.array([0]))) - 1) < 1e-9


def test_looks_at_other_times_are_brought_to_the_rate():
    values = np.array([[0.0], [1.0], [2.0]])
    assert resample(values, np.array([1.0, 1.5, 2.0])).ravel().tolist() == [0, 0.5, 1, 1.5, 2]
    assert resample(values[:1], np.array([7.0])).tolist() == [[0.0]]
    assert signature([noise(1), noise(2)], [0.0, 1.0]).frames == 5


def test_a_clip_that_shows_nothing_has_no_variant():
    flat = np.full((90, 160), 128)
    grain = flat + np.random.default_rng(0).normal(0, 2, flat.shape)
    assert signature([flat, flat]).framings == 0
    assert signature([grain, grain]).framings == 0
    assert signature([]).framings == 0
    assert signature([flat, noise(1)]).framings == 1


def test_a_picture_with_bars_has_both_variants():
    barred = np.pad(noise(3), ((20, 20), (0, 0)))
    variants = variants_of(signature([barred] * 4), signature([noise(3)] * 4))
    assert variants.bars.round(2).tolist() == [[0.15, 0.15, 0, 0], [0, 0, 0, 0]]
    assert variants.clip_rows().tolist() == [0, 0, 1]
    barred_picture, inside, plain = variants.pictures(np.arange(3))
    assert inside @ plain > 0.97
    assert barred_picture @ plain < 0.7


def test_the_share_of_what_stands_still_is_measured():
    clips = signature([noise(1)] * 4), signature([noise(n) for n in range(8)])
    still, moving = variants_of(*clips).still
    assert still > 0.99
    assert moving < 0.3


def test_packed_rows_come_back_nearly():
    sizes = np.array([[1, 50, 400, 3e3, 8e3]]).T
    values = np.random.default_rng(0).normal(size=(5, NUM_COARSE)) * sizes
    scales, multiples = quantize_rows(values)
    unpacked = (
        np.frombuffer(multiples, np.int8).reshape(5, -1) * np.frombuffer(scales, "<f2")[:, None]
    )
    assert (np.abs(unpacked - values).max(axis=1) <= np.abs(values).max(axis=1) / 127).all()
    assert quantize_rows(np.zeros((1, 3)))[1] == bytes(3)


def test_clips_of_several_lengths_are_unpacked_each_on_its_own():
    lengths = (3, 5, 4)
    clips = [signature([noise(n) for n in range(count)]) for count in lengths]
    together = variants_of(*clips)
    assert together.frames.tolist() == list(lengths)
    for at, clip in enumerate(clips):
        alone = variants_of(clip)
        zero, here = np.array([0]), np.array([at])
        assert (together.coarse(here) == alone.coarse(zero)).all()
        assert (together.mean_frames()[at] == alone.mean_frames()[0]).all()


def test_mean_frames_are_independent_of_the_block_size(monkeypatch):
    clips = [signature([noise(n) for n in range(count)]) for count in (3, 5, 4, 1, 9, 2)]
    together = variants_of(*clips)
    expected = together.mean_frames()
    for frames in (1, 4, 7):
        monkeypatch.setattr("curation.dedup.letterbox_variants._BLOCK", frames)
        assert (together.mean_frames() == expected).all()


def test_pictures_of_coefficients_keep_lengths_and_products():
    for count, pixels in ((NUM_COARSE, 256), (NUM_FINE, 1024)):
        basis = inverse_dct(np.eye(count))
        assert basis.shape == (count, pixels)
        assert np.abs(basis @ basis.T - np.eye(count)).max() < 1e-9
