"""Shots from probabilities, from pictures, and of fixed length."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from curation.media.decode import AnalysisSampling, decode_streams
from curation.media.probe import probe
from curation.media.sandbox import Limits
from curation.media.timeline import Timeline
from curation.sample.film import Film, Shot
from curation.sample.scenes import SCENES
from curation.scan.shots import (
    SHOT_DETECTORS,
    ContentChange,
    FixedWindows,
    TransNetV2,
    shots_from_transitions,
    split_into_windows,
)


def timeline(frames, fps=24.0, starts=None):
    seconds = np.arange(frames + 1) / fps if starts is None else np.asarray(starts, float)
    return Timeline(None, Fraction(1, 24), seconds, np.arange(0), starts is not None)


def between(marks):
    return shots_from_transitions(np.array([mark == "#" for mark in marks]))


@pytest.mark.parametrize(
    ("marks", "shots"),
    [
        ("....", [(0, 4)]),
        (".", [(0, 1)]),
        ("...#....", [(0, 4), (4, 8)]),
        ("...##....", [(0, 4), (5, 9)]),
        ("...####..", [(0, 4), (7, 9)]),
        ("...#...#..", [(0, 4), (4, 8), (8, 10)]),
        ("#....", [(1, 5)]),
        ("###..", [(3, 5)]),
        ("....#", [(0, 5)]),
        ("...##", [(0, 4)]),
        ("..#.#..", [(0, 3), (3, 5), (5, 7)]),
        ("#", [(0, 1)]),
        ("###", [(0, 3)]),
    ],
)
def test_shots_lie_between_transitions(marks, shots):
    assert between(marks) == shots


def test_shots_never_overlap_and_stay_within_the_source():
    for seed in range(200):
        rng = np.random.default_rng(seed)
        marks = rng.random(rng.integers(1, 60)) < rng.random()
        shots = shots_from_transitions(marks)
        edges = [edge for shot in shots for edge in shot]
        assert edges == sorted(edges)
        assert all(a < b for a, b in shots)
        assert (edges[0] >= 0, edges[-1] <= len(marks)) == (True, True)
        inside = {frame for a, b in shots for frame in range(a, b)}
        assert marks.all() or {int(n) for n in np.flatnonzero(~marks)} <= inside


def test_equal_windows():
    line = timeline(240)
    assert split_into_windows((0, 240), line, 10.0, equal=True) == [(0, 240)]
    assert split_into_windows((0, 240), line, 9.99, equal=True) == [(0, 120), (120, 240)]
    assert split_into_windows((12, 84), line, 1.0, equal=True) == [(12, 36), (36, 60), (60, 84)]
    assert split_into_windows((0, 25), line, 0.5, equal=True) == [(0, 9), (9, 17), (17, 25)]


def test_windows_of_one_length():
    line = timeline(100)
    assert split_into_windows((0, 100), line, 1.0, equal=False) == [
        (0, 24), (24, 48), (48, 72), (72, 96), (96, 100),
    ]  # fmt: skip
    assert split_into_windows((0, 1), line, 1.0, equal=False) == [(0, 1)]


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("length_s", [1e-3, 1e-9, 1e-300])
def test_a_window_has_at_least_one_frame(equal, length_s):
    line = timeline(100)
    windows = split_into_windows((10, 100), line, length_s, equal=equal)
    assert windows == [(frame, frame + 1) for frame in range(10, 100)]


def test_windows_count_seconds_where_the_rate_varies():
    starts = [*np.arange(24) / 24, *(1 + np.arange(25) / 12)]
    line = timeline(48, starts=starts)
    assert line.starts_s[-1] == pytest.approx(3)
    assert split_into_windows((0, 48), line, 1.0, equal=True) == [(0, 24), (24, 36), (36, 48)]


def test_a_gap_longer_than_the_window_makes_no_empty_one():
    line = timeline(4, starts=[0, 0.1, 5.0, 5.1, 5.2])
    shots = split_into_windows((0, 4), line, 1.0, equal=False)
    assert [frame for a, b in shots for frame in range(a, b)] == [0, 1, 2, 3]
    assert all(a < b for a, b in shots)


def test_fixed_windows_ignore_the_picture():
    finder = FixedWindows(2.0).load()()
    finder.feed(np.zeros((7, 27, 48, 3), np.uint8))
    assert finder.finish(timeline(100)) == [(0, 48), (48, 96), (96, 100)]
    assert FixedWindows(2.0).backend == "FixedWindows 2 s"


@pytest.fixture(scope="module")
def cut_source(made):
    """Frames at 48×27 of a source with cuts at 31, 60 and 88."""
    path = str(made("cuts.mp4", 120, cuts=(31, 60, 88)))
    low = []
    line = decode_streams(path, probe(path, Limits()), AnalysisSampling(), Limits(),
                 on_lowres=lambda frames: low.extend(frames.copy()), on_analysis=len)  # fmt: skip
    return np.array(low), line


def feed(finder, frames, sizes):
    """Feeds frames in pieces of the given sizes, repeatedly."""
    start = turn = 0
    while start < len(frames):
        size = sizes[turn % len(sizes)]
        finder.feed(frames[start : start + size])
        start, turn = start + size, turn + 1


@pytest.mark.parametrize("sizes", [(120,), (1,), (7, 0, 13)])
def test_content_change_finds_the_cuts(sizes, cut_source):
    low, line = cut_source
    finder = ContentChange().load()()
    feed(finder, low, sizes)
    assert finder.finish(line) == [(0, 31), (31, 60), (60, 88), (88, 120)]


def test_content_change_takes_a_flash_and_a_pan_for_no_cut():
    rng = np.random.default_rng(1)
    still = np.repeat(rng.integers(0, 255, (1, 27, 48, 3)).astype(np.uint8), 30, axis=0)
    finder = ContentChange().load()()
    finder.feed(still)
    assert finder.finish(timeline(30)) == [(0, 30)]
    pan = np.stack([np.roll(still[0], 5 * n, axis=1) for n in range(30)])
    finder = ContentChange().load()()
    finder.feed(pan)
    assert finder.finish(timeline(30)) == [(0, 30)]
    finder = ContentChange(ratio=0.0).load()()
    finder.feed(pan)
    assert len(finder.finish(timeline(30))) == 30


def test_content_change_of_one_frame():
    finder = ContentChange().load()()
    finder.feed(np.full((1, 27, 48, 3), 200, np.uint8))
    assert finder.finish(timeline(1)) == [(0, 1)]


@pytest.fixture(scope="module")
def network():
    return TransNetV2().load()


def film_frames():
    """A moving shot, one that stands still for six seconds, and another moving one."""
    frozen = SCENES["harbour"]((96, 54))(0)
    film = Film(
        [Shot(SCENES["street_by_day"]((96, 54)), 40), Shot(lambda _: frozen, 150),
         Shot(SCENES["country_road"]((96, 54)), 40)], 24,
    )  # fmt: skip
    box = Image.Resampling.BOX
    return np.stack([np.asarray(picture.resize((48, 27), box)) for picture in film.pictures()])


def shots_of(finder, frames, sizes):
    feed(finder, frames, sizes)
    return finder.finish(timeline(len(frames)))


def test_the_network_finds_the_cuts(network, cut_source):
    low, line = cut_source
    finder = network()
    finder.feed(low)
    assert finder.finish(line) == [(0, 31), (31, 60), (60, 88), (88, 120)]


@pytest.mark.slow
def test_windows_without_a_change_are_skipped_without_a_difference(network):
    frames = film_frames()
    calls = []
    finder = network()
    original = finder._network
    finder._network = lambda window: calls.append(1) or original(window)
    shots = shots_of(finder, frames, (64,))
    assert shots == [(0, 40), (40, 190), (190, 230)]
    assert len(calls) == 2  # of five
    everything = TransNetV2(prefilter=False).load()()
    assert shots_of(everything, frames, (230,)) == shots


class FakeNetwork:
    """The probability of a frame is its gray level; records its windows."""

    def __init__(self):
        self.windows = []

    def __call__(self, window):
        self.windows.append(window)
        return window[25:75, 0, 0, 0] / 255


def reference(frames):
    """Windows as the network's authors cut them: padded with the end frames, all at once."""
    pad = 25 + 50 - (len(frames) % 50 or 50)
    padded = np.concatenate([frames[:1].repeat(25, 0), frames, frames[-1:].repeat(pad, 0)])
    return [padded[start : start + 100] for start in range(0, len(padded) - 99, 50)]


@pytest.mark.parametrize(
    "count", [1, 2, 24, 25, 49, 50, 51, 74, 75, 76, 100, 101, 149, 150, 151, 260]
)
@pytest.mark.parametrize("sizes", [(1000,), (1,), (33, 0, 1), (50,)], ids=str)
def test_windows_are_those_of_the_authors(count, sizes, network):
    frames = np.zeros((count, 27, 48, 3), np.uint8)
    frames[...] = np.random.default_rng(count).integers(0, 256, (count, 1, 1, 1))
    finder, fake = network(), FakeNetwork()
    finder._network = fake
    finder._prefilter = False
    shots = shots_of(finder, frames, sizes)
    assert np.array_equal(np.array(fake.windows), np.array(reference(frames)))
    assert shots == shots_from_transitions(frames[:, 0, 0, 0] / np.float32(255) > 0.3)
    assert sum(len(part) for part in finder._probabilities) >= count


@pytest.mark.parametrize(
    "count", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (50, 51, 101))]
)
def test_streaming_gives_the_probabilities_of_one_batch(count, network, cut_source):
    frames = cut_source[0][:count]
    once, pieces = network(), network()
    shots = shots_of(once, frames, (count,))
    assert shots_of(pieces, frames, (7, 31, 1)) == shots
    assert np.array_equal(
        np.concatenate(once._probabilities), np.concatenate(pieces._probabilities)
    )
    assert shots[0][0] == 0
    assert shots[-1][1] == count


def test_backends_name_what_decides_the_shots():
    assert TransNetV2(precision="fp32").backend == "TransNetV2 0.3 prefiltered cpu fp32"
    full = TransNetV2(0.5, prefilter=False, device="cuda")
    assert full.backend == "TransNetV2 0.5 all cuda fp32"
    assert TransNetV2().backend.rsplit(" ", 1)[0] == "TransNetV2 0.3 prefiltered cpu"
    assert TransNetV2().backend.rsplit(" ", 1)[1] in ("fp32", "bf16")
    assert ContentChange().backend == "ContentChange 18 3"
    assert list(SHOT_DETECTORS) == ["TransNetV2", "ContentChange", "FixedWindows"]
