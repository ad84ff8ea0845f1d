"""Matching of footage, on frames made of moving pictures."""

import numpy as np
import pytest

from curation import records
from curation.dedup.footage_match import FootageMatch, match_footage
from curation.dedup.letterbox_variants import LetterboxVariants
from curation.dedup.similarity import trimmed_energies
from curation.embed.signature import SignatureCollector
from curation.records import Signature
from curation.scores.base import AnalysisFrame

SIZE = (90, 160)
RATE = 24.0


def blobs(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform([0, 0, 4, -60, -40, -30], [160, 90, 16, 60, 40, 30], (7, 6))


def picture(seed: int, time_s: float, back: int = 0) -> np.ndarray:
    """Soft blobs that move over a still background, gray levels [90, 160]."""
    rng = np.random.default_rng(1000 + back)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    light = 60 + 40 * np.sin(x * rng.uniform(0.1, 0.3)) * np.cos(y * rng.uniform(0.1, 0.3))
    for left, top, size, across, _, level in blobs(seed):
        middle = (left + across * time_s) % 160, (top + 0.4 * across * time_s) % 90
        light = light + (60 + level) * np.exp(
            -((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / (2 * size**2)
        )
    return light


def clip(paint, start_s: float = 0.0, seconds: float = 4.0, speed: float = 1.0):
    """The signature of what `paint` shows from a moment on, four looks a second."""
    watcher = SignatureCollector()
    times = np.arange(0, seconds, 0.25)
    for time in times:
        level = np.clip(paint(start_s + speed * time), 0, 255).astype(np.uint8)
        watcher.add(AnalysisFrame.from_rgb(np.repeat(level[:, :, None], 3, axis=2)))
    return watcher.signature("c", "s", slice(0, None), times)


def variants_of(*signatures: Signature) -> LetterboxVariants:
    return LetterboxVariants.of(records.to_table(Signature, signatures))


def align(one: Signature, other: Signature) -> FootageMatch:
    """Two clips on their own."""
    return match_footage(variants_of(one, other), np.array([0]), np.array([1]))


def scene(time_s):
    return picture(1, time_s)


def test_a_clip_agrees_with_itself():
    match = align(clip(scene), clip(scene))
    assert match.similarity > 0.99
    assert (match.overlap_s, match.offset_s) == (4.0, 0.0)


def test_a_match_is_independent_of_batch_composition():
    """Of other lengths and letterbox variants, with copies and unrelated clips in between."""
    clips = [clip(change, at, seconds) for change in (scene, boxed, marked, paler_with_bars)
             for at, seconds in ((0.0, 4.0), (0.5, 3.0), (30.0, 4.0))]  # fmt: skip
    one, other = np.triu_indices(len(clips), 1)
    many = match_footage(variants_of(*clips), one, other)
    alone = [align(clips[a], clips[b]) for a, b in zip(one, other, strict=True)]
    for name in ("similarity", "overlap_s", "offset_s"):
        separately = np.concatenate([getattr(match, name) for match in alone])
        assert getattr(many, name).tolist() == separately.tolist()
    assert 10 < (many.similarity > 0.8).sum() < len(one) - 10


@pytest.mark.parametrize(("start_s", "seconds", "speed"), [
    (0.0, 4.0, 1.05), (0.0, 4.0, 0.95), (1.1, 2.6, 1.0), (0.4, 3.0, 1.03), (0.125, 3.5, 1.0),
])  # fmt: skip
def test_trims_and_other_speeds_are_found_at_their_time(start_s, seconds, speed):
    match = align(clip(scene), clip(scene, start_s, seconds, speed))
    assert match.similarity > 0.85
    assert match.offset_s == pytest.approx(start_s, abs=0.15)
    assert match.overlap_s >= min(seconds, (4 - start_s) / speed) - 0.51


def boxed(time_s):
    return np.pad(scene(time_s), ((20, 20), (0, 0)))


def marked(time_s):
    light = scene(time_s).copy()
    light[6:15, 130:150] = 250
    return light


def marked_in_the_bar(time_s):
    light = boxed(time_s)
    light[4:14, 130:150] = 250
    return light


def paler(time_s):
    return 0.7 * scene(time_s) + 40


def paler_with_bars(time_s):
    return 0.7 * boxed(time_s) + 40


@pytest.mark.parametrize("change", [boxed, marked, paler])
def test_bars_marks_and_contrast_hide_no_copy(change):
    assert align(clip(scene), clip(change)).similarity > 0.9


@pytest.mark.parametrize("change", [marked_in_the_bar, paler_with_bars])
def test_a_bar_that_is_not_seen_as_one_hides_no_copy(change):
    """The copies do not have the same black bars, so each framing is compared with each."""
    assert clip(boxed).bars != clip(change).bars
    assert align(clip(boxed), clip(change)).similarity > 0.85


def dim(time_s):
    return 20 + 0.4 * scene(time_s)


def dim_and_marked(time_s):
    light = dim(time_s)
    light[6:15, 130:150] = 250
    return light


@pytest.mark.parametrize("turned", [False, True])
def test_a_mark_brighter_than_all_else_hides_no_copy(turned):
    """Whichever of the two has it."""
    one, other = clip(dim), clip(dim_and_marked)
    assert align(*((other, one) if turned else (one, other))).similarity > 0.8


def test_what_a_moment_alone_shows_hides_no_copy():
    """Copies are sampled at moments of their own; one may show what falls between the other's."""

    def slow(time_s):
        return picture(1, 0.03 * time_s)

    def passed(time_s):
        light = slow(time_s).copy()
        if 1.9 < time_s < 2.1:
            light[30:60, 40:70] = 200
        return light

    assert align(clip(slow), clip(passed)).similarity > 0.9


def test_a_bright_insert_hides_no_copy():
    """Of a dim, slow scene, though for under a fifth of its frames."""

    def slow(time_s):
        return 30 + 0.2 * picture(1, 0.03 * time_s)

    def interrupted(time_s):
        return picture(2, time_s, back=7) if 4.4 < time_s < 5.3 else slow(time_s)

    assert align(clip(slow, seconds=10.0), clip(interrupted, seconds=10.0)).similarity > 0.9


def test_pictures_that_cancel_over_time_are_compared_by_their_motion():
    """The mean of their frames shows nothing at all."""
    signs = np.kron(np.random.default_rng(3).choice([-1.0, 1.0], (9, 16)), np.ones((10, 10)))

    def blinking(contrast):
        return lambda time_s: 128 + contrast * signs * (1, 1, -2)[round(4 * time_s) % 3]

    one, other = clip(blinking(40), seconds=3.0), clip(blinking(38), seconds=3.0)
    assert align(one, other).similarity > 0.95


def test_another_event_before_the_same_camera_is_no_copy():
    other = clip(lambda time: picture(2, time))
    assert align(clip(scene), other).similarity < 0.5
    assert align(clip(scene), clip(scene, start_s=30.0)).similarity < 0.6


def test_another_place_is_no_copy():
    assert align(clip(scene), clip(lambda time: picture(1, time, back=5))).similarity < 0.6


def test_where_nothing_moves_the_still_picture_decides():
    still = clip(lambda _: picture(1, 0.0))
    assert align(still, clip(lambda _: picture(1, 0.0))).similarity > 0.98
    assert align(still, clip(lambda _: picture(2, 0.0))).similarity < 0.8


def words(seed: int) -> np.ndarray:
    """A white card with a line of strokes as dark and as broad as letters."""
    card = np.full(SIZE, 245.0)
    for left in range(40, 120, 4):
        rng = np.random.default_rng((seed, left))
        card[40 : 40 + rng.integers(4, 12), left : left + rng.integers(1, 4)] = 10
    return card


def test_title_cards_with_other_words_are_no_copies():
    cards = [clip(lambda _, seed=seed: words(seed)) for seed in range(5)]
    assert align(cards[0], cards[0]).similarity > 0.98
    assert max(align(cards[0], other).similarity for other in cards[1:]) < 0.75


def test_words_on_black_are_found_between_bars_that_cannot_be_seen():
    def card(seed: int):
        return clip(lambda _: 255 - words(seed))

    def boxed_card(seed: int):
        return clip(lambda _: np.pad(255 - words(seed), ((13, 13), (0, 0)), constant_values=10))

    assert variants_of(card(0), boxed_card(0)).has_guessed_bars(np.arange(2)).all()
    assert align(card(0), boxed_card(0)).similarity > 0.85
    assert max(align(card(0), boxed_card(seed)).similarity for seed in range(1, 5)) < 0.75


def test_the_same_bars_are_no_evidence():
    def night(time_s):
        return np.pad(picture(3, time_s, back=3) * 0.5, ((20, 20), (0, 0)))

    assert align(clip(boxed), clip(night)).similarity < 0.5


def test_one_frame_is_compared_as_a_picture():
    one = clip(scene, seconds=0.25)
    assert align(one, one).similarity > 0.98
    assert align(one, clip(scene)).overlap_s == 0.25


def test_a_mark_is_left_out_unless_it_is_what_there_is_to_see():
    rng = np.random.default_rng(0)
    one = rng.normal(size=256)
    other = one.copy()
    other[:20] += 10
    faint, spots = np.full(256, 0.01), np.full(256, 0.01)
    faint[:20], spots[:20] = 10, rng.normal(size=20) * 10
    energies = trimmed_energies(np.stack([one, other, faint]), np.stack([other, one, spots]))
    assert (energies.cosine[:2] > 0.99).all()
    assert energies.cosine[2] < 0.7
